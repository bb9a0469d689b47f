"""The poller's questions: what each finds, what it spares, and what it does when it is broken off."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from config.metrics import PollerMetrics
from tasks.model import Claim, ClaimVerdict, JobStatus
from tasks.rules import Policy
from tests.builders import NOW, a_job
from tests.unit.worker.poller.conftest import Published, Rows
from worker.poller.arrivals import Arrived
from worker.poller.changed import Changed
from worker.poller.due import Due
from worker.poller.questions import Found, Question, Travel
from worker.poller.rescue import Rescue
from worker.poller.sweep import Sweep
from worker.poller.triage import Triage
from worker.queue import JobQueue

OVERLAP = timedelta(seconds=10)
HORIZON = timedelta(hours=2)
READY, WAITING, PROCESSING = JobStatus.READY, JobStatus.WAITING, JobStatus.PROCESSING


@pytest.fixture
def triage(queue: JobQueue) -> Triage:
    return Triage(queue, Policy(), HORIZON)


@pytest.fixture
def metrics() -> PollerMetrics:
    return PollerMetrics(CollectorRegistry())


def found(question: Question) -> dict[str, list[object]]:
    by_source: dict[str, list[object]] = {}
    for batch in question.ask():
        by_source.setdefault(batch.source, []).extend(batch.ids)
    return {source: ids for source, ids in by_source.items() if ids}


def test_a_ready_job_is_found_once_and_again_when_it_changes(rows: Rows, triage: Triage) -> None:
    job = rows.add(a_job(status=READY, modified_on=NOW, etag="1"))
    changed = Changed(rows, triage, OVERLAP)

    assert found(changed) == {"ready": [job]}
    assert found(changed) == {}
    rows.pass_time(2)
    rows.jobs[job] = replace(rows.jobs[job], etag="2", modified_on=rows.clock)
    assert found(changed) == {"ready": [job]}


def test_a_new_job_that_can_only_wait_costs_no_look_but_is_due(rows: Rows, triage: Triage, queue: JobQueue) -> None:
    job = rows.add(a_job(created_on=NOW, modified_on=NOW))

    assert found(Changed(rows, triage, OVERLAP)) == {}

    assert queue.take_due(NOW + timedelta(hours=1), 10) == [job]


@pytest.mark.parametrize("column", [{"expected_packets": 0}, {"is_active": False}, {"type": None}])
def test_a_new_job_that_can_end_at_once_is_found(rows: Rows, triage: Triage, column: dict[str, object]) -> None:
    job = rows.add(a_job(created_on=NOW, modified_on=NOW, **column))

    assert found(Changed(rows, triage, OVERLAP)) == {"changed": [job]}


def test_an_old_job_that_was_edited_is_found_whatever_it_looks_like(rows: Rows, triage: Triage) -> None:
    job = rows.add(a_job(created_on=NOW - timedelta(minutes=30), modified_on=NOW), 1, 2)

    assert found(Changed(rows, triage, OVERLAP)) == {"changed": [job]}


def test_a_row_that_is_committed_late_is_found_within_the_overlap(rows: Rows, triage: Triage) -> None:
    changed = Changed(rows, triage, OVERLAP)
    found(changed)
    rows.pass_time(9)
    found(changed)
    job = rows.add(a_job(status=READY, modified_on=rows.clock - timedelta(seconds=8)))

    assert found(changed) == {"ready": [job]}


def test_a_question_that_is_broken_off_is_asked_again(rows: Rows, triage: Triage) -> None:
    jobs = [rows.add(a_job(status=READY, modified_on=NOW)) for _ in range(5)]
    changed = Changed(rows, triage, OVERLAP)
    broken: Iterator[Found] = changed.ask()
    seen = list(next(broken).ids)
    del broken

    again = found(changed)["ready"]
    assert set(seen) | set(again) == set(jobs)


def test_a_complete_job_is_found_by_its_packets_and_an_incomplete_one_is_not(rows: Rows, triage: Triage) -> None:
    complete = rows.add(a_job(), 1, 2, 3)
    incomplete = rows.add(a_job(), 1)
    arrived = Arrived(rows, triage, OVERLAP)

    assert found(arrived) == {"arrivals": [complete]}
    assert rows.asked.count("survey") == 1
    assert found(arrived) == {}
    assert rows.asked.count("survey") == 1  # nothing arrived since, so nothing is counted again

    rows.arrive(incomplete, 2, 3)
    assert found(arrived) == {"arrivals": [incomplete]}


def test_due_jobs_are_all_taken_out(rows: Rows, queue: JobQueue) -> None:
    jobs = {rows.add(a_job()) for _ in range(4)}
    queue.look_again(dict.fromkeys(jobs, NOW))

    assert set(found(Due(rows, queue))["due"]) == jobs
    assert found(Due(rows, queue)) == {}


def _claim(lease_expires_at: object) -> Claim:
    return Claim("worker", 1, lease_expires_at, WAITING, ClaimVerdict.HANDLE, "complete")  # type: ignore[arg-type]


def test_expired_claims_are_found_alone_and_others_left(rows: Rows, metrics: PollerMetrics) -> None:
    expired = rows.add(a_job(status=PROCESSING, claim=_claim(NOW)))
    rows.add(a_job(status=PROCESSING, claim=_claim(NOW + timedelta(seconds=1))))
    rows.add(a_job(status=PROCESSING))
    rescue = Rescue(rows, metrics, timedelta(minutes=5), monotonic=lambda: 0.0)

    (batch,) = rescue.ask()

    assert (batch.source, list(batch.ids), batch.travel) == ("rescue", [expired], Travel.ALONE)
    assert metrics.foreign_processing._value.get() == 1
    assert metrics.open.labels("Processing")._value.get() == 3


def test_rows_in_processing_are_read_once_while_they_do_not_change(rows: Rows, metrics: PollerMetrics) -> None:
    for _ in range(30):
        rows.add(a_job(status=PROCESSING, claim=_claim(NOW + timedelta(hours=1))))
    rows.page_size = 100
    times = iter([0.0, 10.0, 61.0, 62.0])
    rescue = Rescue(rows, metrics, timedelta(minutes=5), monotonic=lambda: next(times))

    list(rescue.ask())
    read = rows.asked.count("with_claims")
    assert list(rescue.ask()) == []  # too early
    list(rescue.ask())

    assert read == 2
    assert rows.asked.count("with_claims") == read


def test_the_sweep_finds_what_no_hint_stands_for(
    rows: Rows, triage: Triage, queue: JobQueue, metrics: PollerMetrics
) -> None:
    complete = rows.add(a_job(), 1, 2, 3)
    waiting = rows.add(a_job(), 1)
    hinted = rows.add(a_job(), 1, 2, 3)
    ready = rows.add(a_job(status=READY), 1, 2, 3)
    queue.enqueue([hinted], NOW)
    sweep = Sweep(rows, queue, metrics, triage, timedelta(minutes=15), monotonic=lambda: 0.0)

    assert found(sweep) == {"sweep": [complete, ready]}

    assert found(sweep) == {}  # not yet time for the next
    assert queue.hinted([waiting]) == {waiting}
    assert metrics.open.labels("Waiting")._value.get() == 3
    assert metrics.open.labels("Ready")._value.get() == 1


def test_a_next_look_beyond_the_horizon_takes_no_room_in_redis(rows: Rows, queue: JobQueue) -> None:
    triage = Triage(queue, Policy(packet_idle_timeout=timedelta(days=2), deadline=timedelta(days=3)), HORIZON)
    job = a_job()

    assert triage.needing_a_worker([job], {}, NOW) == []
    assert queue.hinted([job.id]) == set()


def test_copies_are_left_for_a_worker_to_compare(rows: Rows, triage: Triage) -> None:
    job = rows.add(a_job(), 1, 2, 2, 3)

    assert found(Arrived(rows, triage, OVERLAP)) == {"arrivals": [job]}


def test_messages_hold_nothing_but_ids(rows: Rows, queue: JobQueue, published: Published) -> None:
    job = rows.add(a_job(name="a name"), 1, 2, 3)
    queue.enqueue([job], NOW)

    assert published.sent[0][1] == [str(job)]
