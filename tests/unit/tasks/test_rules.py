"""The decision table: every row a test, its boundaries, and what must hold for any job."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model import (
    NO_PACKETS,
    Fail,
    Handle,
    Job,
    JobStatus,
    LeaveAlone,
    LookAgain,
    PacketCount,
    Reason,
    Skip,
    Verdict,
)
from tasks.rules import Policy, decide, needs_comparison
from tests.builders import NOW, a_job, count_of

POLICY = Policy()
READY, WAITING = JobStatus.READY, JobStatus.WAITING
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("status", [*(one for one in JobStatus if not one.is_open), None])
def test_row_1_a_job_that_is_not_open_is_left_alone(status: JobStatus | None) -> None:
    assert decide(a_job(status=status), count_of([1, 2, 3]), NOW, POLICY) == LeaveAlone(Reason.NOT_OPEN)


@pytest.mark.parametrize("status", [WAITING, READY])
def test_row_2_a_deactivated_job_is_skipped(status: JobStatus) -> None:
    assert decide(a_job(status=status, is_active=False), NO_PACKETS, NOW, POLICY) == Skip(Reason.DEACTIVATED)


@pytest.mark.parametrize("kind", [None, 192_350_001, 0])
def test_row_3_another_type_is_skipped(kind: int | None) -> None:
    assert decide(a_job(type=kind), count_of([1, 2, 3]), NOW, POLICY) == Skip(Reason.UNSUPPORTED_TYPE)


def test_row_3_the_operator_decides_which_types_are_handled() -> None:
    policy = Policy(types=frozenset({7}))
    assert decide(a_job(type=7), count_of([1, 2, 3]), NOW, policy) == Handle(Reason.COMPLETE)


def test_row_4_nothing_expected_and_nothing_there_is_skipped() -> None:
    assert decide(a_job(expected_packets=0), NO_PACKETS, NOW, POLICY) == Skip(Reason.NO_PACKETS_EXPECTED)


def test_row_5_ready_without_an_expected_number_fails() -> None:
    job = a_job(status=READY, expected_packets=None)
    assert decide(job, count_of([1]), NOW, POLICY) == Fail(Reason.EXPECTED_COUNT_MISSING)


@pytest.mark.parametrize(("expected", "numbers"), [(3, [1, 2, 3, 4]), (0, [1]), (1, [5, 9])])
def test_row_6_more_packets_than_expected_fail(expected: int, numbers: list[int]) -> None:
    assert decide(a_job(expected_packets=expected), count_of(numbers), NOW, POLICY) == Fail(Reason.TOO_MANY_PACKETS)


@pytest.mark.parametrize("numbers", [[1, None], [1, 2, 4], [2, 3, 4], [0, 2, 3], [1, 2, 3, None], [None]])
def test_row_7_a_gap_or_a_missing_number_fails(numbers: list[int | None]) -> None:
    assert decide(a_job(), count_of(numbers), NOW, POLICY) == Fail(Reason.SEQUENCE_INVALID)


def test_row_8_copies_that_differ_fail() -> None:
    count = count_of([1, 2, 2, 3], conflicting=True)
    assert decide(a_job(), count, NOW, POLICY) == Fail(Reason.DUPLICATE_CONFLICT)


@pytest.mark.parametrize("numbers", [[1, 2, 3], [0, 1, 2], [3, 1, 2]])
@pytest.mark.parametrize("status", [WAITING, READY])
def test_row_9_a_complete_job_is_handled(numbers: list[int], status: JobStatus) -> None:
    assert decide(a_job(status=status), count_of(numbers), NOW, POLICY) == Handle(Reason.COMPLETE)


def test_row_9_equal_copies_are_the_same_packet() -> None:
    count = count_of([1, 2, 2, 3], conflicting=False)
    assert decide(a_job(), count, NOW, POLICY) == Handle(Reason.COMPLETE)


def test_row_10_a_waiting_job_waits_for_its_idle_timeout() -> None:
    newest = NOW - timedelta(minutes=59, seconds=59)
    job = a_job(created_on=NOW - timedelta(hours=5))
    expected = LookAgain(Reason.PACKETS_PENDING, NOW + SECOND)
    assert decide(job, count_of([1], newest=newest), NOW, POLICY) == expected


def test_row_10_a_waiting_job_waits_no_longer_than_its_deadline() -> None:
    job = a_job(created_on=NOW - timedelta(hours=23, minutes=59, seconds=59))
    assert decide(job, count_of([1], newest=NOW), NOW, POLICY) == LookAgain(Reason.PACKETS_PENDING, NOW + SECOND)


def test_row_10_without_packets_the_creation_is_the_last_activity() -> None:
    job = a_job(created_on=NOW - timedelta(minutes=10), expected_packets=None)
    expected = LookAgain(Reason.PACKETS_PENDING, NOW + timedelta(minutes=50))
    assert decide(job, NO_PACKETS, NOW, POLICY) == expected


def test_row_11_a_ready_job_waits_for_the_end_of_its_grace() -> None:
    job = a_job(status=READY, modified_on=NOW - timedelta(minutes=4, seconds=59))
    assert decide(job, count_of([1]), NOW, POLICY) == LookAgain(Reason.PACKETS_PENDING, NOW + SECOND)


@pytest.mark.parametrize(
    "job",
    [
        a_job(status=READY, modified_on=NOW - timedelta(minutes=5)),
        a_job(created_on=NOW - timedelta(hours=24)),
        a_job(created_on=NOW - timedelta(hours=1)),
        a_job(created_on=NOW - timedelta(hours=1), expected_packets=None),
    ],
)
def test_row_12_at_the_instant_itself_the_time_is_up(job: Job) -> None:
    count = NO_PACKETS if job.status is WAITING else count_of([1])
    assert decide(job, count, NOW, POLICY) == Fail(Reason.PACKETS_MISSING)


def test_copies_must_be_compared_only_where_the_verdict_hangs_on_it() -> None:
    job, copies = a_job(), count_of([1, 2, 2, 3])
    assert needs_comparison(job, copies, NOW, POLICY)
    assert not needs_comparison(job, count_of([1, 2, 2]), NOW, POLICY)
    assert not needs_comparison(job, count_of([1, 2, 2, 3], conflicting=False), NOW, POLICY)
    with pytest.raises(ValueError, match="compared"):
        decide(job, copies, NOW, POLICY)


numbers = st.lists(st.one_of(st.none(), st.integers(0, 6), st.integers(0, 2**31 - 1)), max_size=8)
ages = st.integers(0, 200_000).map(lambda seconds: NOW - timedelta(seconds=seconds))
jobs = st.builds(
    a_job,
    status=st.sampled_from([*JobStatus, None]),
    is_active=st.booleans(),
    type=st.sampled_from([None, 192_350_000, 192_350_001]),
    expected_packets=st.one_of(st.none(), st.integers(0, 8), st.just(2**31 - 1)),
    created_on=ages,
    modified_on=ages,
)


def counts(numbers: list[int | None], conflicting: bool | None = False) -> PacketCount:
    return count_of(numbers, conflicting=conflicting)


def by_the_table(job: Job, arrived: list[int | None], count: PacketCount) -> Verdict:
    """The table once more, written from its text and from the packets themselves."""
    distinct = {number for number in arrived if number is not None}
    expected = job.expected_packets
    complete = expected is not None and distinct in (
        set(range(min(expected, 99))),
        set(range(1, min(expected, 99) + 1)),
    )
    complete = complete and len(distinct) == expected
    if job.status not in (WAITING, READY):
        return LeaveAlone(Reason.NOT_OPEN)
    if not job.is_active:
        return Skip(Reason.DEACTIVATED)
    if job.type != 192_350_000:
        return Skip(Reason.UNSUPPORTED_TYPE)
    if expected == 0 and not arrived:
        return Skip(Reason.NO_PACKETS_EXPECTED)
    if job.status is READY and expected is None:
        return Fail(Reason.EXPECTED_COUNT_MISSING)
    if expected is not None and len(distinct) > expected:
        return Fail(Reason.TOO_MANY_PACKETS)
    if None in arrived or (len(distinct) == expected and not complete):
        return Fail(Reason.SEQUENCE_INVALID)
    if complete:
        return Fail(Reason.DUPLICATE_CONFLICT) if count.conflicting and count.duplicates else Handle(Reason.COMPLETE)
    activity = max(job.created_on, count.newest or job.created_on)
    idle, old = activity + timedelta(hours=1), job.created_on + timedelta(hours=24)
    if job.status is WAITING and idle > NOW and old > NOW:
        return LookAgain(Reason.PACKETS_PENDING, min(idle, old))
    grace = job.modified_on + timedelta(minutes=5)
    if job.status is READY and grace > NOW:
        return LookAgain(Reason.PACKETS_PENDING, grace)
    return Fail(Reason.PACKETS_MISSING)


@given(jobs, numbers, st.booleans())
def test_decisions_are_those_of_the_table(job: Job, arrived: list[int | None], conflicting: bool) -> None:
    count = counts(arrived, conflicting)
    assert decide(job, count, NOW, POLICY) == by_the_table(job, arrived, count)


@given(jobs, numbers, st.randoms(use_true_random=False))
def test_decisions_do_not_depend_on_the_order_of_packets(
    job: Job, arrived: list[int | None], shuffler: random.Random
) -> None:
    shuffled = list(arrived)
    shuffler.shuffle(shuffled)
    assert decide(job, counts(arrived), NOW, POLICY) == decide(job, counts(shuffled), NOW, POLICY)


@given(jobs, numbers, st.one_of(st.none(), st.integers(0, 9)))
def test_another_packet_never_turns_complete_into_missing(
    job: Job, arrived: list[int | None], another: int | None
) -> None:
    if not isinstance(decide(job, counts(arrived), NOW, POLICY), Handle):
        return
    after = decide(job, counts([*arrived, another]), NOW, POLICY)
    assert after != Fail(Reason.PACKETS_MISSING)
    assert not isinstance(after, LookAgain)


@given(jobs, numbers)
def test_a_next_look_lies_ahead_and_decides_then(job: Job, arrived: list[int | None]) -> None:
    verdict = decide(job, counts(arrived), NOW, POLICY)
    if isinstance(verdict, LookAgain):
        assert verdict.at > NOW
        assert decide(job, counts(arrived), verdict.at, POLICY) == Fail(Reason.PACKETS_MISSING)


@given(jobs, numbers)
def test_undecided_is_only_what_needs_a_comparison(job: Job, arrived: list[int | None]) -> None:
    count = counts(arrived, None)
    if needs_comparison(job, count, NOW, POLICY):
        with pytest.raises(ValueError, match="compared"):
            decide(job, count, NOW, POLICY)
    else:
        decide(job, count, NOW, POLICY)
