"""The Celery tasks: thin shells that check their arguments and hand over to the use case.

The broker is not trusted: a message is a list of job ids and nothing else, and one that is not is refused.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from celery import Task, shared_task

from config.celery import RESCUE_JOB, SETTLE_JOBS
from tasks.settle import Settler

log = structlog.get_logger(__name__)

MAX_CHUNK = 100
"""Jobs in one message at the most; the setting for the chunk size has the same bound."""

LAST_RESORT_SHARE = 1.1
"""Of the hard time limit: when the kernel ends a process that Celery should have killed by then."""

_factory: Callable[[], Settler] | None = None
_settlers: dict[int, Settler] = {}


def provide_settler(factory: Callable[[], Settler]) -> None:
    """Wire in how a worker process makes its settler.

    Args:
        factory: Called once in each process that runs a task, after the fork: connections are never shared.
    """
    global _factory  # noqa: PLW0603 - the one place where the worker's process hands itself to Celery's tasks
    _factory = factory
    _settlers.clear()


def settler() -> Settler:
    """Give this process's settler, made when it is first asked for.

    Raises:
        RuntimeError: When no factory was provided.
    """
    if _factory is None:
        raise RuntimeError("no settler was provided: start the worker with `jobworker work`")
    process = os.getpid()
    if process not in _settlers:
        _settlers[process] = _factory()
    return _settlers[process]


class TimedTask(Task):  # type: ignore[type-arg]  # generic in its stubs only
    """Measures every run, whatever its end, and binds its id to what it logs and to what it asks Dataverse."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task and observe how long it took, in seconds."""
        started = time.monotonic()
        ids = structlog.contextvars.bound_contextvars(task_id=self.request.id, correlation_id=self.request.id)
        with ids, _last_resort(self.app.conf.task_time_limit):
            try:
                return super().__call__(*args, **kwargs)
            finally:
                settler().metrics.task_duration.labels(self.name).observe(time.monotonic() - started)


@contextmanager
def _last_resort(time_limit: float | None) -> Iterator[None]:
    """Have the kernel end this process should it outlive its hard time limit, in seconds.

    Celery forgets the limits of running tasks when it loses its connection to Redis. A handler that hangs then, deaf to
    signals or not, would have its claim renewed without end.
    """
    if time_limit is None:
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, time_limit * LAST_RESORT_SHARE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@shared_task(name=SETTLE_JOBS, base=TimedTask)
def settle_jobs(job_ids: object) -> None:
    """Settle a chunk of jobs.

    Args:
        job_ids: A list of 1 to `MAX_CHUNK` job ids as text; anything else is refused with a log line.
    """
    ids = _checked(job_ids, SETTLE_JOBS)
    if ids:
        settler().settle(ids)


@shared_task(name=RESCUE_JOB, base=TimedTask)
def rescue_job(job_id: object) -> None:
    """Take over one job whose claim has expired.

    Args:
        job_id: The job's id as text; anything else is refused with a log line.
    """
    for one in _checked([job_id], RESCUE_JOB):
        settler().rescue(one)


def _checked(job_ids: object, task: str) -> list[UUID]:
    ids = _read(job_ids)
    if not ids:
        log.error("message_refused", task=task, why="its argument is not a list of job ids")
    return ids


def _read(job_ids: object) -> list[UUID]:
    if not isinstance(job_ids, list) or len(job_ids) > MAX_CHUNK:
        return []
    try:
        return list(dict.fromkeys(UUID(one) for one in job_ids))
    except (ValueError, TypeError, AttributeError):
        return []
