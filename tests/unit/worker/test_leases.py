"""Claims are renewed in the background for as long as work on them lasts, and no longer."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from queue import Empty, Queue
from typing import cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from tasks.ports import Held, JobStore
from tests.builders import NOW, a_claim, a_job
from worker.dataverse.errors import DataverseError, OutcomeUnknownError, SignInError, UnavailableError
from worker.leases import KeptClaims, LeaseKeeper

LEASE = timedelta(seconds=0.3)
LONG = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
PATIENCE = 10.0
"""Seconds after which something that is awaited counts as not coming."""

Answer = Callable[[Sequence[Held]], Sequence[Held | None]]


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the store was asked, and when."""

    held: Sequence[Held]
    until: Sequence[datetime]
    at: float


@dataclass(slots=True)
class Store:
    """Stands where the store does: answers renewals as it is told, and all after those well."""

    clock: datetime = NOW
    answers: deque[Answer] = field(default_factory=deque)
    renewals: "Queue[Renewal]" = field(default_factory=Queue)

    def now(self) -> datetime:
        return self.clock

    def renew(self, held: Sequence[Held], until: Sequence[datetime]) -> Sequence[Held | None]:
        self.renewals.put(Renewal(list(held), list(until), time.monotonic()))
        return self.answers.popleft()(held) if self.answers else [renewed(one) for one in held]

    def next_renewal(self) -> Renewal:
        """Wait for the next renewal; what came of the one before is known by then."""
        return self.renewals.get(timeout=PATIENCE)


@dataclass(slots=True)
class Gate:
    """An answer that is on its way until the gate is opened."""

    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, held: Sequence[Held]) -> Sequence[Held | None]:
        assert self.opened.wait(PATIENCE)
        return [renewed(one) for one in held]

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        self.opened.set()


@pytest.fixture
def store() -> Store:
    return Store()


def some_held(number: int) -> list[Held]:
    """Hold claims on jobs, each read with the ETag 1."""
    return [Held(a_job(id=UUID(int=each)), a_claim(), 'W/"1"') for each in range(1, number + 1)]


def renewed(held: Held, times: int = 1) -> Held:
    """Give what a claim is after renewals: the same, guarded by a new ETag."""
    number = int(held.etag.strip('W/"'))
    return replace(held, etag=f'W/"{number + times}"')


def losing(*positions: int) -> Answer:
    """Answer that the claims at these positions are lost."""
    return lambda held: [None if position in positions else renewed(one) for position, one in enumerate(held)]


def failing(error: DataverseError) -> Answer:
    """Answer nothing, but raise."""

    def fail(_: Sequence[Held]) -> Sequence[Held | None]:
        raise error

    return fail


def keep(store: Store, held: Sequence[Held], lease: timedelta = LEASE) -> AbstractContextManager[KeptClaims]:
    return LeaseKeeper(cast("JobStore", store), lease).keep(held)


def keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lease-keeper"]


# Renewing


def test_claims_are_renewed_at_a_third_of_their_lease(store: Store) -> None:
    lease = timedelta(seconds=0.6)
    started = time.monotonic()
    with keep(store, some_held(1), lease):
        instants = [started, *(store.next_renewal().at for _ in range(4))]

    pauses = [later - earlier for earlier, later in pairwise(instants)]
    third, half = lease.total_seconds() / 3, lease.total_seconds() / 2
    assert min(pauses) == pytest.approx(third, abs=half - third)  # the others may be longer on a busy machine
    assert min(pauses) > third - 0.01


def test_each_renewal_is_for_a_whole_lease_from_now_on_dataverses_clock(store: Store) -> None:
    def answer_a_minute_later(held: Sequence[Held]) -> Sequence[Held | None]:
        store.clock += MINUTE
        return [renewed(one) for one in held]

    store.answers.append(answer_a_minute_later)
    with keep(store, some_held(2)):
        first, second = store.next_renewal(), store.next_renewal()

    assert first.until == [NOW + LEASE] * 2
    assert second.until == [NOW + MINUTE + LEASE] * 2


def test_before_the_first_renewal_the_claims_are_as_they_were_won(store: Store) -> None:
    held = some_held(2)

    with keep(store, held, LONG) as kept:
        assert kept.current() == tuple(held)


def test_a_renewed_claim_stands_where_the_old_one_did_and_is_what_is_renewed_next(store: Store) -> None:
    held = some_held(3)
    gate = Gate()
    store.answers.extend([losing(), gate])

    with keep(store, held) as kept, gate:
        assert store.next_renewal().held == held
        expected = [renewed(one) for one in held]
        assert store.next_renewal().held == expected
        assert kept.current() == tuple(expected)


def test_the_claims_that_were_handed_in_are_left_as_they_are(store: Store) -> None:
    held = some_held(2)
    before = list(held)

    with keep(store, held):
        store.next_renewal()
        store.next_renewal()

    assert held == before


def test_without_claims_there_is_nothing_to_renew(store: Store) -> None:
    with keep(store, []) as kept:
        assert kept.current() == ()
        with pytest.raises(Empty):
            store.renewals.get(timeout=LEASE.total_seconds())


# Lost claims


def test_a_lost_claim_is_none_in_its_place_and_only_the_others_are_renewed_on(store: Store) -> None:
    first, second, third = held = some_held(3)
    gate = Gate()
    store.answers.extend([losing(1), gate])

    with capture_logs() as logged, keep(store, held) as kept, gate:
        store.next_renewal()
        assert store.next_renewal().held == [renewed(first), renewed(third)]
        assert kept.current() == (renewed(first), None, renewed(third))

    assert [(event["event"], event["job_id"]) for event in logged] == [("claim_lost_while_working", str(second.job.id))]


def test_claims_that_are_lost_one_after_the_other_are_told_apart(store: Store) -> None:
    first, second, third, fourth = held = some_held(4)
    gate = Gate()
    store.answers.extend([losing(0), losing(1), gate])  # the second time, of those that are left

    with capture_logs() as logged, keep(store, held) as kept, gate:
        for _ in range(2):
            store.next_renewal()
        assert store.next_renewal().held == [renewed(second, 2), renewed(fourth, 2)]
        assert kept.current() == (None, renewed(second, 2), None, renewed(fourth, 2))

    assert [event["job_id"] for event in logged] == [str(first.job.id), str(third.job.id)]


def test_when_all_claims_are_lost_the_store_is_not_asked_any_more(store: Store) -> None:
    store.answers.append(losing(0, 1))

    with keep(store, some_held(2)) as kept:
        store.next_renewal()
        with pytest.raises(Empty):
            store.renewals.get(timeout=LEASE.total_seconds())
        assert kept.current() == (None, None)


# Errors of the store


@pytest.mark.parametrize("kind", [UnavailableError, OutcomeUnknownError, SignInError])
def test_a_renewal_that_fails_is_logged_and_tried_again(store: Store, kind: type[DataverseError]) -> None:
    held = some_held(2)
    gate = Gate()
    store.answers.extend([failing(kind("Dataverse is away")), gate])

    with capture_logs() as logged, keep(store, held) as kept, gate:
        store.next_renewal()
        assert store.next_renewal().held == held
        assert kept.current() == tuple(held)  # nobody said that they are lost
        gate.opened.set()
        assert store.next_renewal().held == [renewed(one) for one in held]

    assert logged == [{"event": "renewal_failed", "log_level": "warning", "error": kind.__name__, "claims": 2}]


def test_however_often_a_renewal_fails_the_next_is_tried(store: Store) -> None:
    store.answers.extend(failing(UnavailableError("away")) for _ in range(4))

    with capture_logs() as logged, keep(store, some_held(1)):
        for _ in range(5):
            store.next_renewal()

    assert [event["event"] for event in logged] == ["renewal_failed"] * 4


# The end


def test_nothing_is_renewed_after_the_context_ended(store: Store) -> None:
    with keep(store, some_held(1)):
        store.next_renewal()
        assert len(keepers()) == 1

    assert keepers() == []


def test_an_error_of_the_work_ends_renewing_as_well(store: Store) -> None:
    def work() -> None:
        with keep(store, some_held(1)):
            store.next_renewal()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()

    assert keepers() == []


def test_work_that_is_done_early_need_not_wait_for_the_next_renewal(store: Store) -> None:
    started = time.monotonic()
    with keep(store, some_held(1), LONG):
        pass

    assert time.monotonic() - started < PATIENCE
    assert store.renewals.empty()


def test_a_renewal_under_way_is_waited_for_and_counts(store: Store) -> None:
    (held,) = some_held(1)
    gate, left = Gate(), threading.Event()
    store.answers.append(gate)
    claims = keep(store, [held])
    kept = claims.__enter__()
    store.next_renewal()

    def leave() -> None:
        claims.__exit__(None, None, None)
        left.set()

    with ThreadPoolExecutor(1) as pool, gate:
        leaving = pool.submit(leave)
        assert kept._ended.wait(PATIENCE)
        assert not left.wait(0.2)
        assert kept.current() == (held,)
        gate.opened.set()
        leaving.result(PATIENCE)

    assert kept.current() == (renewed(held),)
    assert store.renewals.empty()


def test_a_process_can_end_while_claims_are_kept(store: Store) -> None:
    with keep(store, some_held(1), LONG):
        (keeper,) = keepers()
        assert keeper.daemon
