"""More than one attempt: failing handlers, time limits, leases that are kept or lost, rescues."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from structlog.testing import capture_logs

from tasks.finish import RETRY_DELAY
from tasks.model import Claim, ClaimVerdict, Job, JobStatus, Packet, Reason
from tasks.response import read_claim, write_claim
from tasks.rules import Policy
from tasks.settle import SOON
from tests.builders import NOW, a_claim
from tests.unit.tasks.in_memory import LEASE, ROUNDS, Luck, StoreError
from tests.unit.tasks.scene import Worker, document, ended, endings, failing
from tests.unit.tasks.table import Table

COMPLETE = (JobStatus.SUCCEEDED, "complete")


def complete(table: Table) -> UUID:
    return table.create(packets=[1, 2, 3])


def claimed(table: Table, **claim: Any) -> UUID:
    """Create a complete job that another worker of ours has claimed, expired by now."""
    made = a_claim(**{"lease_expires_at": NOW, **claim})
    job_id = complete(table)
    table.rows[job_id].status = JobStatus.PROCESSING
    table.rows[job_id].response_json = write_claim(made)
    return job_id


def claim_on(table: Table, job_id: UUID) -> Claim:
    claim = read_claim(table.rows[job_id].response_json)
    assert claim is not None
    return claim


def test_a_handler_that_fails_once_is_tried_again_after_a_rest(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    worker.plan(job_id, failing(ValueError("once")))

    worker.settle(job_id)

    assert worker.hints.looks == {job_id: [NOW + RETRY_DELAY]}
    assert claim_on(table, job_id).lease_expires_at == NOW + RETRY_DELAY
    worker.rescue(job_id)
    assert worker.handler.handled == [job_id]  # not before its rest is over
    table.pass_time(RETRY_DELAY)
    worker.plan(job_id)
    worker.rescue(job_id)
    assert ended(table, job_id) == COMPLETE
    assert document(table, job_id)["attempt"] == 2


def test_each_failed_attempt_rests_longer_but_never_longer_than_a_lease(table: Table) -> None:
    worker = Worker(table, policy=Policy(max_attempts=100, lease=timedelta(seconds=25)))
    job_id = complete(table)
    worker.plan(job_id, *[failing(ValueError("again"))] * 4)

    rests = []
    worker.settle(job_id)
    for _ in range(3):
        rests.append((worker.hints.looks[job_id][-1] - table.now).total_seconds())
        table.pass_time(timedelta(seconds=25))
        worker.rescue(job_id)
    rests.append((worker.hints.looks[job_id][-1] - table.now).total_seconds())

    assert rests == [10, 20, 25, 25]


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_a_handler_that_always_fails_ends_the_job_at_the_last_attempt(table: Table, allowed: int) -> None:
    worker = Worker(table, policy=Policy(max_attempts=allowed))
    job_id = complete(table)
    worker.plan(job_id, *[failing(ValueError("broken for good"))] * 5)

    worker.settle(job_id)
    for _ in range(allowed):
        table.pass_time(LEASE)
        worker.rescue(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, Reason.HANDLER_FAILED)
    assert document(table, job_id)["attempt"] == allowed
    assert document(table, job_id)["error"] == {"type": "ValueError", "message": "broken for good"}
    assert len(worker.handler.handled) == allowed


def test_the_soft_time_limit_ends_what_is_done_and_hands_back_the_rest(table: Table, worker: Worker) -> None:
    done, struck, waiting = complete(table), complete(table), complete(table)
    worker.plan(struck, failing(SoftTimeLimitExceeded()))

    with capture_logs() as logged:
        worker.settle(done, struck, waiting)

    assert ended(table, done) == COMPLETE
    assert worker.handler.handled == [done, struck]
    assert worker.hints.looks == {struck: [NOW + RETRY_DELAY], waiting: [NOW]}
    assert "handler_out_of_time" in [event["event"] for event in logged]
    other = Worker(table, "worker-2")
    other.rescue(waiting)
    assert ended(table, waiting) == COMPLETE
    table.pass_time(RETRY_DELAY)
    other.rescue(struck)
    assert ended(table, struck) == COMPLETE


def test_the_soft_time_limit_at_the_last_attempt_ends_the_job(table: Table) -> None:
    worker = Worker(table, policy=Policy(max_attempts=1))
    struck, waiting = complete(table), complete(table)
    worker.plan(struck, failing(SoftTimeLimitExceeded()))

    worker.settle(struck, waiting)

    assert ended(table, struck) == (JobStatus.FAILED, Reason.HANDLER_FAILED)
    assert table.status(waiting) == JobStatus.PROCESSING
    assert claim_on(table, waiting).lease_expires_at == NOW


@pytest.mark.parametrize("luck", [[Luck.REFUSED], [Luck.FAILS] * ROUNDS])
def test_a_claim_that_could_not_be_handed_back_is_looked_at_when_it_expires(
    table: Table, worker: Worker, luck: list[Luck]
) -> None:
    job_id = complete(table)
    worker.plan(job_id, failing(ValueError("once")))
    worker.store.script("renew", *luck)

    worker.settle(job_id)

    assert worker.hints.looks == {job_id: [NOW + LEASE]}
    assert claim_on(table, job_id).lease_expires_at == NOW + LEASE


def for_a_while(table: Table, *, ticks: Callable[[], object]) -> Callable[[Job, Iterator[Packet]], None]:
    """Make a handler that works for three leases and lets something happen after each half of one."""

    def work(job: Job, packets: Iterator[Packet]) -> None:
        for _ in range(6):
            table.pass_time(LEASE / 2)
            ticks()

    return work


def test_long_work_keeps_its_claim(table: Table, worker: Worker) -> None:
    job_id, other = complete(table), Worker(table, "worker-2")

    def tick() -> None:
        worker.leases.tick()
        other.settle(job_id)
        other.rescue(job_id)

    worker.plan(job_id, for_a_while(table, ticks=tick))
    worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert document(table, job_id)["attempt"] == 1
    assert document(table, job_id)["worker"] == "worker-1"
    assert other.handler.handled == []
    assert not other.hints.rescues


def test_a_lease_that_was_not_kept_goes_to_whoever_takes_over(table: Table, worker: Worker) -> None:
    job_id, other = complete(table), Worker(table, "worker-2")
    worker.plan(job_id, for_a_while(table, ticks=lambda: other.rescue(job_id)))

    with capture_logs() as logged:
        worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert document(table, job_id)["worker"] == "worker-2"
    assert len(endings(table, job_id)) == 1
    assert "settlement_lost" in [event["event"] for event in logged]


def test_a_claim_whose_renewal_failed_is_settled_all_the_same(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    worker.store.script("renew", *[Luck.FAILS] * ROUNDS)

    def work(job: Job, packets: Iterator[Packet]) -> None:
        table.pass_time(LEASE / 3)
        worker.leases.tick()
        assert worker.leases.current() == (None,)

    worker.plan(job_id, work)
    worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert worker.handler.handled == [job_id]


def test_a_claim_that_was_renewed_is_handed_back_as_it_is_now(table: Table, worker: Worker) -> None:
    renewed, waiting = complete(table), complete(table)

    def work(job: Job, packets: Iterator[Packet]) -> None:
        table.pass_time(LEASE / 2)
        worker.leases.tick()
        raise SoftTimeLimitExceeded

    worker.plan(renewed, work)
    worker.settle(renewed, waiting)

    assert claim_on(table, waiting).lease_expires_at == table.now
    assert claim_on(table, renewed).lease_expires_at == table.now + RETRY_DELAY
    assert claim_on(table, renewed).attempt == 1  # a renewal is not an attempt


def test_an_expired_claim_is_taken_over(table: Table, worker: Worker) -> None:
    job_id = claimed(table, worker="worker-0", attempt=1)

    with capture_logs() as logged:
        worker.rescue(job_id)

    assert ended(table, job_id) == COMPLETE
    assert document(table, job_id)["attempt"] == 2
    assert worker.metric("jobworker_rescued_total", outcome="claimed") == 1
    assert worker.metric("jobworker_claims_total", outcome="won") == 1
    rescued = logged[0]
    assert (rescued["event"], rescued["attempt"], rescued["lost_worker"]) == ("job_rescued", 2, "worker-0")


@pytest.mark.parametrize("method", ["settle", "rescue"])
def test_a_claim_that_holds_is_looked_at_when_it_expires(table: Table, worker: Worker, method: str) -> None:
    job_id = claimed(table, lease_expires_at=NOW + timedelta(seconds=1))

    getattr(worker, method)(job_id)

    assert table.changes == []
    assert worker.hints.looks == {job_id: [NOW + timedelta(seconds=1)]}
    assert not worker.hints.rescues


def test_an_expired_claim_met_in_a_chunk_is_taken_over_alone(table: Table, worker: Worker) -> None:
    expired, other = claimed(table), complete(table)

    worker.settle(expired, other)

    assert worker.hints.rescues == [expired]
    assert table.status(expired) == JobStatus.PROCESSING
    assert ended(table, other) == COMPLETE


@pytest.mark.parametrize(("attempt", "allowed"), [(1, 1), (3, 3), (9, 3)])
def test_past_the_allowed_attempts_a_job_fails_as_worker_lost(table: Table, attempt: int, allowed: int) -> None:
    worker = Worker(table, policy=Policy(max_attempts=allowed))
    job_id = claimed(table, attempt=attempt)

    worker.rescue(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, Reason.WORKER_LOST)
    assert document(table, job_id)["attempt"] == attempt + 1
    assert worker.handler.handled == []
    assert worker.metric("jobworker_rescued_total", outcome="worker_lost") == 1
    assert worker.metric("jobworker_rescued_total", outcome="claimed") == 0


def test_whoever_takes_over_does_not_decide_again(table: Table, worker: Worker) -> None:
    job_id = claimed(table, verdict=ClaimVerdict.FAIL, reason=Reason.PACKETS_MISSING)

    worker.rescue(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, Reason.PACKETS_MISSING)
    assert document(table, job_id)["missing_sequence_numbers"] == []  # they came in the meantime


def test_of_two_who_take_over_one_does(table: Table, worker: Worker) -> None:
    job_id, other = claimed(table), Worker(table, "worker-2")
    worker.store.before = lambda step: other.rescue(job_id) if step == "claim" else None

    worker.rescue(job_id)

    assert document(table, job_id)["worker"] == "worker-2"
    assert len(endings(table, job_id)) == 1
    assert worker.handler.handled == []
    assert worker.metric("jobworker_rescued_total", outcome="lost") == 1


def test_a_takeover_that_is_refused_is_tried_again_soon(table: Table, worker: Worker) -> None:
    job_id = claimed(table)
    worker.store.script("claim", Luck.REFUSED)

    worker.rescue(job_id)

    assert worker.hints.looks == {job_id: [NOW + SOON]}
    assert worker.metric("jobworker_rescued_total", outcome="error") == 1
    assert claim_on(table, job_id).attempt == 1


def test_a_rescue_that_cannot_read_is_tried_again_soon(table: Table, worker: Worker) -> None:
    job_id = claimed(table)
    worker.store.script("look", Luck.FAILS)

    with pytest.raises(StoreError):
        worker.rescue(job_id)

    assert worker.hints.looks == {job_id: [NOW + SOON]}
    assert worker.hints.released == [job_id]


def test_what_needs_no_rescue_is_left_alone(table: Table, worker: Worker) -> None:
    still_open, ended_already, deleted = complete(table), table.create(status=JobStatus.FAILED), uuid4()
    for job_id in (still_open, ended_already, deleted):
        worker.rescue(job_id)

    assert table.changes == []
    assert worker.hints.released == [still_open, ended_already, deleted]
    assert worker.hints.forgotten == [ended_already, deleted]


def test_a_job_reopened_by_a_neighbour_begins_again(table: Table, worker: Worker) -> None:
    job_id = claimed(table, attempt=3)
    table.edit(job_id, status=JobStatus.READY)

    worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert document(table, job_id)["attempt"] == 1
