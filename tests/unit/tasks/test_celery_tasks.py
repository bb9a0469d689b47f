"""The Celery tasks: what a message may hold, and whose settler carries it out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
import structlog
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from config.celery import RESCUE_JOB, SETTLE_JOBS
from config.metrics import JobMetrics
from config.settings import JobsSettings
from tasks import celery_tasks
from tasks.celery_tasks import MAX_CHUNK, provide_settler, rescue_job, settle_jobs, settler
from tasks.settle import Settler

IDS = [str(UUID(int=number)) for number in range(1, MAX_CHUNK + 2)]  # fixed: every process collects the same tests


@dataclass
class RecordingSettler:
    """Stands where a settler does and remembers what it was handed."""

    metrics: JobMetrics = field(default_factory=lambda: JobMetrics(CollectorRegistry()))
    settled: list[list[UUID]] = field(default_factory=list)
    rescued: list[UUID] = field(default_factory=list)
    contexts: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    def settle(self, ids: list[UUID]) -> None:
        self.settled.append(ids)
        self.contexts.append(structlog.contextvars.get_contextvars())
        if self.error:
            raise self.error

    def rescue(self, job_id: UUID) -> None:
        self.rescued.append(job_id)

    def runs(self, task: str) -> float:
        found = [sample for family in self.metrics.task_duration.collect() for sample in family.samples]
        return sum(each.value for each in found if each.name.endswith("_count") and each.labels["task"] == task)


@pytest.fixture(autouse=True)
def _wiring_as_before() -> Iterator[None]:
    factory, made = celery_tasks._factory, dict(celery_tasks._settlers)
    yield
    celery_tasks._factory = factory
    celery_tasks._settlers.clear()
    celery_tasks._settlers.update(made)


@pytest.fixture
def recording() -> RecordingSettler:
    made = RecordingSettler()
    provide_settler(lambda: cast("Settler", made))
    return made


def test_a_chunk_of_ids_is_settled_in_order(recording: RecordingSettler) -> None:
    settle_jobs(IDS[:3])

    assert recording.settled == [[UUID(one) for one in IDS[:3]]]
    assert recording.rescued == []


def test_a_job_that_is_named_twice_is_settled_once(recording: RecordingSettler) -> None:
    settle_jobs([IDS[0], IDS[1], IDS[0].upper(), IDS[1].replace("-", "")])

    assert recording.settled == [[UUID(IDS[0]), UUID(IDS[1])]]


def test_a_chunk_may_be_as_large_as_its_setting(recording: RecordingSettler) -> None:
    settle_jobs(IDS[:MAX_CHUNK])

    assert len(recording.settled[0]) == MAX_CHUNK
    assert JobsSettings.model_validate({"chunk_size": MAX_CHUNK}).chunk_size == MAX_CHUNK
    with pytest.raises(ValueError, match="less than or equal"):
        JobsSettings.model_validate({"chunk_size": MAX_CHUNK + 1})


def test_one_job_is_rescued(recording: RecordingSettler) -> None:
    rescue_job(IDS[0])

    assert recording.rescued == [UUID(IDS[0])]
    assert recording.settled == []


@pytest.mark.parametrize(
    "message",
    [
        None, "", IDS[0], 5, 5.5, True, {}, {"job_ids": IDS[:1]}, [], [None], [5], [IDS[:1]], ["not a guid"], [""],
        [IDS[0], "not a guid"], [IDS[0][:-1]], [{}], [b"bytes"], IDS, IDS[:1] * (MAX_CHUNK + 1),
    ],
    ids=lambda message: repr(message)[:20],
)  # fmt: skip
def test_anything_but_a_chunk_of_ids_is_refused_with_a_log_line(recording: RecordingSettler, message: object) -> None:
    with capture_logs() as logged:
        settle_jobs(message)

    assert recording.settled == []
    assert [(event["event"], event["task"]) for event in logged] == [("message_refused", SETTLE_JOBS)]


@pytest.mark.parametrize("message", [None, "", "not a guid", 5, True, [], IDS[:1], {}])
def test_anything_but_an_id_is_not_rescued(recording: RecordingSettler, message: object) -> None:
    with capture_logs() as logged:
        rescue_job(message)

    assert recording.rescued == []
    assert [(event["event"], event["task"]) for event in logged] == [("message_refused", RESCUE_JOB)]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_no_message_makes_the_task_raise(message: object) -> None:
    read = celery_tasks._read(message)

    assert all(isinstance(one, UUID) for one in read)
    assert len(read) == len(set(read)) <= MAX_CHUNK


def test_every_run_is_measured_whatever_its_end(recording: RecordingSettler) -> None:
    settle_jobs(IDS[:1])
    settle_jobs("refused")
    recording.error = RuntimeError("Dataverse is away")
    with pytest.raises(RuntimeError, match="away"):
        settle_jobs(IDS[:1])
    rescue_job(IDS[0])

    assert (recording.runs(SETTLE_JOBS), recording.runs(RESCUE_JOB)) == (3, 1)


def test_the_tasks_id_is_on_everything_that_is_logged_meanwhile(recording: RecordingSettler) -> None:
    settle_jobs.apply(args=(IDS[:1],), task_id="the-task")

    assert recording.contexts == [{"task_id": "the-task", "correlation_id": "the-task"}]
    assert structlog.contextvars.get_contextvars() == {}


def test_a_process_makes_its_settler_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RecordingSettler] = []

    def factory() -> Settler:
        made.append(RecordingSettler())
        return cast("Settler", made[-1])

    provide_settler(factory)
    assert made == []  # not before the fork
    assert settler() is settler()
    assert len(made) == 1

    monkeypatch.setattr(celery_tasks, "os", SimpleNamespace(getpid=lambda: os.getpid() + 1))  # as if forked
    assert settler() is cast("Settler", made[1])

    provide_settler(factory)
    assert settler() is cast("Settler", made[2])


def test_without_its_machinery_a_task_says_what_to_start() -> None:
    celery_tasks._factory = None

    with pytest.raises(RuntimeError, match="jobworker work"):
        settle_jobs(IDS[:1])


def test_the_tasks_are_registered_under_their_names() -> None:
    app = Celery("test", set_as_current=False)
    app.finalize()

    assert {SETTLE_JOBS, RESCUE_JOB} <= app.tasks.keys()
