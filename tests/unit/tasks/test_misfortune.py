"""The settle flow where things go wrong: races, deletions, lost answers, a Dataverse that is away."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from structlog.testing import capture_logs

from tasks.model import JobStatus, Reason
from tasks.response import read_claim
from tasks.settle import SOON
from tests.builders import NOW
from tests.unit.tasks.in_memory import LEASE, ROUNDS, Luck, StoreError
from tests.unit.tasks.scene import Worker, document, ended, endings, failing, into
from tests.unit.tasks.table import Table

COMPLETE = (JobStatus.SUCCEEDED, "complete")


def just_before(worker: Worker, step: str, act: Callable[[], object]) -> None:
    """Let something happen once, just before the worker's next step of that name."""
    waiting = [act]

    def before(name: str) -> None:
        if name == step and waiting:
            waiting.pop()()

    worker.store.before = before


def complete(table: Table) -> UUID:
    return table.create(packets=[1, 2, 3])


MOVES: dict[str, Callable[[Table, UUID], object]] = {
    "told ready": lambda table, job_id: table.edit(job_id, status=JobStatus.READY),
    "claimed": lambda table, job_id: Worker(table, "worker-2").settle(job_id),
    "taken": lambda table, job_id: table.edit(job_id, status=JobStatus.PROCESSING),
    "ended": lambda table, job_id: table.edit(job_id, status=JobStatus.SKIPPED),
    "edited": lambda table, job_id: table.edit(job_id, regarding="another_table"),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_a_lost_race_leaves_the_job_to_the_winner(
    table: Table, worker: Worker, move: Callable[[Table, UUID], object]
) -> None:
    contested, other = complete(table), complete(table)
    just_before(worker, "claim", lambda: move(table, contested))

    worker.settle(contested, other)

    assert worker.handler.handled == [other]
    assert not [change for change in table.changes if change.job_id == contested and change.by == "worker-1"]
    assert ended(table, other) == COMPLETE
    assert worker.metric("jobworker_claims_total", outcome="lost") == 1
    assert not worker.hints.looks


def test_a_job_deleted_before_its_claim_is_dropped(table: Table, worker: Worker) -> None:
    deleted, other = complete(table), complete(table)
    just_before(worker, "claim", lambda: table.delete(deleted))

    with capture_logs() as logged:
        worker.settle(deleted, other)

    assert [event["event"] for event in logged] == ["job_gone", "job_settled"]
    assert ended(table, other) == COMPLETE
    assert not worker.hints.looks


def test_a_claim_whose_answer_was_lost_is_recognised(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    worker.store.script("claim", Luck.ANSWER_LOST)

    worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert len(into(table, job_id, JobStatus.PROCESSING)) == 1


def test_a_claim_that_never_arrived_is_sent_again(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    worker.store.script("claim", Luck.FAILS, Luck.FAILS)

    worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert document(table, job_id)["attempt"] == 1


def test_a_claim_that_is_refused_is_tried_again_soon(table: Table, worker: Worker) -> None:
    refused, other = complete(table), complete(table)
    worker.store.script("claim", Luck.REFUSED)

    worker.settle(refused, other)

    assert table.status(refused) == JobStatus.WAITING
    assert worker.hints.looks == {refused: [NOW + SOON]}
    assert worker.metric("jobworker_claims_total", outcome="error") == 1
    assert ended(table, other) == COMPLETE


def test_a_claim_that_nobody_could_find_out_about_is_taken_over_when_it_expires(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    worker.store.script("claim", Luck.ANSWER_LOST, *[Luck.FAILS] * ROUNDS)
    worker.store.script("read_back", *[Luck.FAILS] * ROUNDS)

    worker.settle(job_id)
    assert worker.hints.looks == {job_id: [NOW + SOON]}
    assert worker.handler.handled == []

    table.pass_time(SOON)
    worker.settle(job_id)
    assert worker.hints.looks[job_id][-1] == NOW + LEASE
    table.pass_time(LEASE)
    worker.settle(job_id)
    assert worker.hints.rescues == [job_id]
    worker.rescue(job_id)

    assert ended(table, job_id) == COMPLETE
    assert len(into(table, job_id, JobStatus.PROCESSING)) == 1


def test_a_neighbour_who_edits_another_column_does_not_cost_the_settlement(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    just_before(worker, "settle", lambda: table.edit(job_id, regarding="another_table"))

    worker.settle(job_id)

    assert ended(table, job_id) == COMPLETE
    assert table.rows[job_id].regarding == "another_table"


@pytest.mark.parametrize("step", ["settle", "read_back"])
@pytest.mark.parametrize("status", [JobStatus.SKIPPED, JobStatus.FAILED, JobStatus.WAITING])
def test_what_a_neighbour_decided_meanwhile_stands(table: Table, worker: Worker, step: str, status: JobStatus) -> None:
    moved, other = complete(table), complete(table)
    if step == "read_back":
        worker.store.script("settle", Luck.FAILS)
    just_before(worker, step, lambda: table.edit(moved, status=status, response_json=None))

    with capture_logs() as logged:
        worker.settle(moved, other)

    assert table.status(moved) == status
    assert endings(table, moved) == []
    assert ended(table, other) == COMPLETE
    assert "settlement_lost" in [event["event"] for event in logged]


@pytest.mark.parametrize("step", ["settle", "read_back"])
def test_a_job_deleted_before_its_settlement_is_dropped(table: Table, worker: Worker, step: str) -> None:
    deleted, other = complete(table), complete(table)
    if step == "read_back":
        worker.store.script("settle", Luck.ANSWER_LOST)
    just_before(worker, step, lambda: table.delete(deleted))

    worker.settle(deleted, other)

    assert ended(table, other) == COMPLETE
    assert worker.metric("jobworker_jobs_settled_total", status="Succeeded", reason="complete") == 1


def test_a_settlement_whose_answer_was_lost_is_recognised_and_not_repeated(table: Table, worker: Worker) -> None:
    job_id = complete(table)
    worker.store.script("settle", Luck.ANSWER_LOST)

    worker.settle(job_id)

    assert len(endings(table, job_id)) == 1
    assert worker.store.asked.count("settle") == 1
    assert worker.metric("jobworker_jobs_settled_total", status="Succeeded", reason="complete") == 1


def test_a_settlement_that_could_not_be_written_is_carried_out_by_the_rescue(table: Table, worker: Worker) -> None:
    unlucky, other = complete(table), complete(table)
    worker.store.script("settle", *[Luck.FAILS] * ROUNDS)

    worker.settle(unlucky, other)

    assert table.status(unlucky) == JobStatus.PROCESSING
    assert worker.hints.looks == {unlucky: [NOW + LEASE]}
    assert ended(table, other) == COMPLETE
    table.pass_time(LEASE)
    worker.rescue(unlucky)
    assert ended(table, unlucky) == COMPLETE
    assert document(table, unlucky)["attempt"] == 2


@pytest.mark.parametrize("step", ["look", "conflicting"])
def test_when_dataverse_cannot_be_read_every_job_is_looked_at_again(table: Table, worker: Worker, step: str) -> None:
    jobs = [table.create(packets=[1, 2, 2, 3]) for _ in range(3)]
    worker.store.script(step, Luck.FAILS)

    with pytest.raises(StoreError):
        worker.settle(*jobs)

    assert table.changes == []
    assert worker.hints.looks == {job_id: [NOW + SOON] for job_id in jobs}
    assert worker.hints.released == jobs
    worker.settle(*jobs)
    assert {ended(table, job_id) for job_id in jobs} == {COMPLETE}


def test_numbers_that_cannot_be_read_undo_no_handlers_work(table: Table, worker: Worker) -> None:
    late = table.create(packets=[2])
    table.pass_time(timedelta(days=2))
    other = complete(table)
    worker.store.script("sequence_numbers", Luck.FAILS)

    with pytest.raises(StoreError):
        worker.settle(late, other)

    assert worker.handler.handled == []
    for job_id in (late, other):
        worker.rescue(job_id)
    assert ended(table, late) == (JobStatus.FAILED, Reason.PACKETS_MISSING)
    assert document(table, late)["missing_sequence_numbers"] == [1, 3]
    assert ended(table, other) == COMPLETE
    assert worker.handler.handled == [other]


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt()])
def test_a_process_told_to_end_hands_back_what_it_holds(table: Table, worker: Worker, error: BaseException) -> None:
    done, stopped, waiting = complete(table), complete(table), complete(table)
    worker.plan(stopped, failing(error))

    with pytest.raises(type(error)):
        worker.settle(done, stopped, waiting)

    for job_id in (done, stopped, waiting):
        assert table.status(job_id) == JobStatus.PROCESSING
        assert worker.hints.looks[job_id] == [NOW]
        Worker(table, "worker-2").rescue(job_id)  # at once, not when the lease would have ended
        assert ended(table, job_id) == COMPLETE


def test_once_settlements_are_on_their_way_only_their_leases_decide(table: Table, worker: Worker) -> None:
    settled, caught = complete(table), complete(table)
    worker.store.before = failing_at("settle", 2, SystemExit())

    with pytest.raises(SystemExit):
        worker.settle(settled, caught)

    assert ended(table, settled) == COMPLETE
    claim = read_claim(table.rows[caught].response_json)
    assert claim is not None
    assert claim.lease_expires_at == NOW + LEASE
    assert "renew" not in worker.store.asked
    table.pass_time(LEASE)
    worker.rescue(caught)
    assert ended(table, caught) == COMPLETE


def failing_at(step: str, occurrence: int, error: BaseException) -> Callable[[str], None]:
    """Raise at the n-th step of that name."""
    seen: list[str] = []

    def before(name: str) -> None:
        seen.append(name)
        if name == step and seen.count(step) == occurrence:
            raise error

    return before


@pytest.mark.parametrize("step", ["look", "claim", "settle", "renew"])
@pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), StoreError("away"), SystemExit()])
def test_whatever_strikes_at_whichever_step_every_job_still_ends_once(
    table: Table, worker: Worker, step: str, error: BaseException
) -> None:
    jobs = [complete(table) for _ in range(3)]
    worker.plan(jobs[0], failing(ValueError("once")))
    worker.store.before = failing_at(step, 1, error)

    with pytest.raises(type(error)):
        worker.settle(*jobs)

    assert worker.hints.released == jobs
    table.pass_time(LEASE)
    healthy = Worker(table, "worker-2")
    for job_id in jobs:
        healthy.settle(job_id)
        healthy.rescue(job_id)
        assert ended(table, job_id) == COMPLETE
        assert len(endings(table, job_id)) == 1


def test_a_failed_hand_back_costs_no_settlement(table: Table, worker: Worker) -> None:
    failing_once, done = complete(table), complete(table)
    worker.plan(failing_once, failing(ValueError("once")))
    worker.store.before = failing_at("renew", 1, StoreError("away"))

    with pytest.raises(StoreError):
        worker.settle(failing_once, done)

    assert ended(table, done) == COMPLETE
    assert worker.handler.handled.count(done) == 1


def test_one_bad_job_does_not_touch_its_chunk(table: Table, worker: Worker) -> None:
    jobs = [complete(table) for _ in range(8)]
    good, failed, moved, deleted = jobs[:2], jobs[2], jobs[3], jobs[4]
    foreign, waiting, gone = (
        table.create(status=JobStatus.PROCESSING),
        table.create(packets=[1]),
        table.create(),
    )
    table.delete(gone)
    worker.plan(failed, failing(ValueError("broken")))

    def meanwhile() -> None:
        table.edit(moved, status=JobStatus.FAILED)
        table.delete(deleted)

    just_before(worker, "claim", meanwhile)
    worker.settle(*jobs[:5], foreign, waiting, gone, *jobs[5:])

    for job_id in (*good, *jobs[5:]):
        assert ended(table, job_id) == COMPLETE
    assert table.status(failed) == JobStatus.PROCESSING
    assert set(worker.hints.looks) == {failed, waiting}
