"""Hands the settle flow's hints to the queue. Hints are a matter of speed, never of safety: a lost one is logged."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.queue import JobQueue

log = structlog.get_logger(__name__)


class QueueHints:
    """Implements `tasks.ports.Hints` over the job queue."""

    def __init__(self, queue: JobQueue, now: Callable[[], datetime], horizon: timedelta) -> None:
        """Make it.

        Args:
            queue: Where hints go.
            now: Dataverse's clock.
            horizon: How far ahead a next look is worth remembering; the sweep finds what lies beyond.
        """
        self._queue = queue
        self._now = now
        self._horizon = horizon

    def look_again(self, job_id: UUID, at: datetime) -> None:
        """Have the job looked at when that instant has come."""
        if at <= self._now() + self._horizon:
            with _never_raising("look_again", [job_id]):
                self._queue.look_again({job_id: at})

    def release(self, ids: Sequence[UUID]) -> None:
        """Tell that these jobs are no longer queued."""
        with _never_raising("release", ids):
            self._queue.release(ids)

    def forget(self, ids: Sequence[UUID]) -> None:
        """Tell that these jobs need no further look."""
        with _never_raising("forget", ids):
            self._queue.forget(ids)

    def rescue(self, job_id: UUID) -> None:
        """Have a job with an expired claim taken over, alone."""
        with _never_raising("rescue", [job_id]):
            self._queue.enqueue_rescue(job_id, self._now())


@contextmanager
def _never_raising(hint: str, ids: Sequence[UUID]) -> Iterator[None]:
    try:
        yield
    except (RedisError, OperationalError) as error:
        log.warning("hint_lost", hint=hint, jobs=len(ids), error=type(error).__name__)
