"""The settle flow where nothing goes wrong: every verdict, its document, its metrics, its hints."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from tasks.handlers import PermanentError
from tasks.model import Job, JobStatus, Packet, Reason
from tasks.response import read_claim
from tests.builders import NOW
from tests.unit.tasks.in_memory import Luck
from tests.unit.tasks.scene import Worker, document, ended, endings, into
from tests.unit.tasks.table import Table

HOUR = timedelta(hours=1)


def later(table: Table, job_id: UUID) -> UUID:
    """Let all the time pass that the job is given."""
    table.pass_time(timedelta(days=2))
    return job_id


VERDICTS = {
    "deactivated": ({"is_active": False}, JobStatus.SKIPPED, "deactivated"),
    "another type": ({"kind": 1}, JobStatus.SKIPPED, "unsupported_type"),
    "no type": ({"kind": None}, JobStatus.SKIPPED, "unsupported_type"),
    "nothing expected": ({"expected": 0}, JobStatus.SKIPPED, "no_packets_expected"),
    "ready without a number": (
        {"status": JobStatus.READY, "expected": None},
        JobStatus.FAILED,
        "expected_count_missing",
    ),
    "too many": ({"packets": [1, 2, 3, 4]}, JobStatus.FAILED, "too_many_packets"),
    "a gap": ({"packets": [1, 2, 4]}, JobStatus.FAILED, "sequence_invalid"),
    "no number": ({"packets": [1, None]}, JobStatus.FAILED, "sequence_invalid"),
    "complete from 1": ({"packets": [3, 1, 2]}, JobStatus.SUCCEEDED, "complete"),
    "complete from 0": ({"packets": [0, 1, 2]}, JobStatus.SUCCEEDED, "complete"),
    "complete and ready": ({"status": JobStatus.READY, "packets": [1, 2, 3]}, JobStatus.SUCCEEDED, "complete"),
    "equal copies": ({"packets": [1, 2, 2, 3]}, JobStatus.SUCCEEDED, "complete"),
}


@pytest.mark.parametrize(("given", "status", "reason"), VERDICTS.values(), ids=VERDICTS.keys())
def test_each_verdict_is_claimed_then_settled(
    table: Table, worker: Worker, given: dict[str, object], status: JobStatus, reason: str
) -> None:
    job_id = table.create(**given)  # type: ignore[arg-type]

    worker.settle(job_id)

    assert ended(table, job_id) == (status, reason)
    assert [change.after for change in table.changes] == [JobStatus.PROCESSING, status]
    assert worker.metric("jobworker_jobs_settled_total", status=status.label, reason=reason) == 1
    assert worker.metric("jobworker_claims_total", outcome="won") == 1
    assert worker.hints.released == [job_id]
    assert worker.hints.forgotten == [job_id]
    assert not worker.hints.looks


def test_the_response_tells_everything(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[1, 2, 2, 3])
    table.pass_time(timedelta(seconds=10))
    worker.plan(job_id, lambda *_: table.pass_time(timedelta(seconds=2)))

    worker.settle(job_id)

    assert document(table, job_id) == {
        "schema": "jobworker/1",
        "status": "Succeeded",
        "reason": "complete",
        "message": "All 3 packets arrived and were handled.",
        "expected_packets": 3,
        "received_packets": 3,
        "duplicate_packets": 1,
        "missing_sequence_numbers": [],
        "missing_more": 0,
        "attempt": 1,
        "worker": "worker-1",
        "started_at": "2026-03-01T12:00:10.000Z",
        "finished_at": "2026-03-01T12:00:12.000Z",
        "duration_ms": 2000,
        "handler": "default",
        "result": None,
        "error": None,
    }


def test_the_claim_stands_there_while_the_handler_runs(table: Table, worker: Worker) -> None:
    job_id = table.create(status=JobStatus.READY, packets=[1, 2, 3])
    seen: list[object] = []

    def look_on(job: Job, packets: Iterator[Packet]) -> None:
        document(table, job_id)
        seen.extend([table.status(job_id), read_claim(table.rows[job_id].response_json)])

    worker.plan(job_id, look_on)
    worker.settle(job_id)

    status, claim = seen
    assert status == JobStatus.PROCESSING
    assert claim is not None
    assert (claim.worker, claim.attempt, claim.claimed_from) == ("worker-1", 1, JobStatus.READY)  # type: ignore[attr-defined]
    assert claim.lease_expires_at == NOW + worker.policy.lease  # type: ignore[attr-defined]


def test_copies_that_differ_are_a_conflict(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[1, 2, 3])
    table.add_packet(job_id, 2, payload="{ }")

    worker.settle(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, Reason.DUPLICATE_CONFLICT)
    assert worker.handler.handled == []


def test_copies_are_compared_only_where_the_verdict_hangs_on_it(table: Table, worker: Worker) -> None:
    incomplete = table.create(packets=[1, 1])
    without = table.create(packets=[1, 2, 3])

    worker.settle(incomplete, without)

    assert "conflicting" not in worker.store.asked


@pytest.mark.parametrize(
    ("arrived", "listed", "more", "received"),
    [([], [1, 2, 3], 0, 0), ([2], [1, 3], 0, 1), ([0], [1, 2], 0, 1), ([3, 1, 1], [2], 0, 2)],
)
def test_what_never_came_is_listed(
    table: Table, worker: Worker, arrived: list[int], listed: list[int], more: int, received: int
) -> None:
    job_id = later(table, table.create(packets=arrived))

    worker.settle(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, Reason.PACKETS_MISSING)
    found = document(table, job_id)
    assert (found["missing_sequence_numbers"], found["missing_more"]) == (listed, more)
    assert found["received_packets"] == received
    assert ("sequence_numbers" in worker.store.asked) == bool(arrived)


def test_the_largest_number_of_missing_packets_is_counted_not_listed(table: Table, worker: Worker) -> None:
    job_id = later(table, table.create(expected=2**31 - 1, packets=[7]))

    worker.settle(job_id)

    found = document(table, job_id)
    assert len(found["missing_sequence_numbers"]) == 100
    assert found["missing_more"] == 2**31 - 1 - 1 - 100


def test_without_an_expected_number_nothing_can_be_listed(table: Table, worker: Worker) -> None:
    job_id = later(table, table.create(expected=None, packets=[1]))

    worker.settle(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, Reason.PACKETS_MISSING)
    assert document(table, job_id)["missing_sequence_numbers"] == []


def test_an_incomplete_job_is_looked_at_again_when_its_time_comes(table: Table, worker: Worker) -> None:
    waiting = table.create(packets=[1])
    ready = table.create(status=JobStatus.READY, packets=[1])

    worker.settle(waiting, ready)

    assert worker.hints.looks == {waiting: [NOW + HOUR], ready: [NOW + timedelta(minutes=5)]}
    assert worker.hints.released == [waiting, ready]
    assert worker.hints.forgotten == []
    assert table.changes == []
    assert worker.store.asked == ["look"]


@pytest.mark.parametrize("status", [None, 192_350_009, *(each for each in JobStatus if each.is_final)])
def test_a_job_that_is_not_open_is_left_alone(table: Table, worker: Worker, status: int | None) -> None:
    job_id = table.create(status=status, packets=[1, 2, 3])

    worker.settle(job_id)
    worker.rescue(job_id)

    assert table.changes == []
    assert not worker.hints.looks
    assert not worker.hints.rescues


def test_ended_and_deleted_jobs_are_forgotten(table: Table, worker: Worker) -> None:
    done, deleted, foreign = table.create(status=JobStatus.FAILED), uuid4(), table.create(status=JobStatus.PROCESSING)

    with capture_logs() as logged:
        worker.settle(done, deleted, foreign)

    assert worker.hints.forgotten == [done, deleted]
    assert [event["event"] for event in logged] == ["job_gone"]


def test_what_somebody_else_processes_is_never_touched(table: Table, worker: Worker) -> None:
    job_id = later(table, table.create(status=JobStatus.PROCESSING, packets=[1, 2, 3]))
    table.rows[job_id].response_json = '{"worker": "theirs", "attempt": 1}'

    worker.settle(job_id)
    worker.rescue(job_id)

    assert table.changes == []
    assert not worker.hints.looks
    assert not worker.hints.rescues


def test_a_chunk_shares_its_requests(table: Table, worker: Worker) -> None:
    jobs = [table.create(packets=[1, 2, 3]) for _ in range(10)]

    worker.settle(*jobs)

    assert worker.store.asked.count("look") == 1
    assert {ended(table, job_id) for job_id in jobs} == {(JobStatus.SUCCEEDED, "complete")}
    assert worker.handler.handled == jobs


def test_a_handlers_result_stands_in_the_response(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[2, 1, 2, 3])

    worker.settle(job_id)

    found = document(table, job_id)
    assert (found["handler"], found["result"]) == ("default", {"numbers": [1, 2, 3]})


def test_what_a_handler_rejects_fails_under_its_reason(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[1, 2, 3])

    def reject(*_: object) -> None:
        raise PermanentError("This plan has no tasks.", "empty_plan")

    worker.plan(job_id, reject)
    worker.settle(job_id)

    assert ended(table, job_id) == (JobStatus.FAILED, "empty_plan")
    assert document(table, job_id)["error"] == {"type": "PermanentError", "message": "This plan has no tasks."}
    assert worker.metric("jobworker_jobs_settled_total", status="Failed", reason="empty_plan") == 1


def test_packets_and_copies_are_counted(table: Table, worker: Worker) -> None:
    worker.settle(table.create(packets=[1, 2, 2, 2]), table.create(packets=[1]), table.create())

    assert worker.metric("jobworker_packets_counted_total") == 5
    assert worker.metric("jobworker_packets_duplicate_total") == 2


def test_how_long_jobs_took_is_measured_on_dataverses_clock(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[1, 2])
    table.pass_time(timedelta(seconds=100))
    table.add_packet(job_id, 3)
    table.pass_time(timedelta(seconds=20))

    worker.settle(job_id)

    assert worker.metric("jobworker_job_duration_seconds_sum", status="Succeeded") == 120
    assert worker.metric("jobworker_job_wait_seconds_sum", status="Succeeded") == 20


@pytest.mark.parametrize("fail_with_action", [True, False])
def test_the_products_action_follows_a_failure_if_the_operator_wants_it(table: Table, fail_with_action: bool) -> None:
    worker = Worker(table, fail_with_action=fail_with_action)
    failed, succeeded, skipped = (
        table.create(packets=[1, 2, 4]),
        table.create(packets=[1, 2, 3]),
        table.create(is_active=False),
    )

    worker.settle(failed, succeeded, skipped)

    assert worker.store.marked == ([(failed, Reason.SEQUENCE_INVALID)] if fail_with_action else [])
    assert len(endings(table, failed)) == 1


def test_the_products_action_is_not_called_for_what_was_not_settled(table: Table) -> None:
    worker = Worker(table, fail_with_action=True)
    job_id = table.create(packets=[1, 2, 4])
    worker.store.script("settle", Luck.REFUSED)

    worker.settle(job_id)

    assert worker.store.marked == []


def test_settling_again_changes_nothing(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[1, 2, 3])
    worker.settle(job_id)
    settled = document(table, job_id)

    worker.settle(job_id)
    worker.rescue(job_id)
    Worker(table, "worker-2").settle(job_id)

    assert document(table, job_id) == settled
    assert len(into(table, job_id, JobStatus.PROCESSING)) == 1
    assert worker.handler.handled == [job_id]


def test_each_fact_is_one_event_with_the_jobs_id(table: Table, worker: Worker) -> None:
    job_id = table.create(packets=[1, 2, 3])

    with capture_logs() as logged:
        worker.settle(job_id)

    assert logged == [
        {
            "event": "job_settled",
            "log_level": "info",
            "job_id": str(job_id),
            "status": "Succeeded",
            "reason": "complete",
            "attempt": 1,
        }
    ]
