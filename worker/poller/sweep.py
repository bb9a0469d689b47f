"""The sweep over all open jobs: needs no hint and no memory, so nothing that was lost stays lost."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import structlog

from config.metrics import PollerMetrics
from tasks.model import JobStatus
from worker.poller.ports import JobPage, PollStore
from worker.poller.questions import Found
from worker.poller.triage import Triage
from worker.queue import JobQueue

log = structlog.get_logger(__name__)


class Sweep:
    """Reads and counts all open jobs that no hint stands for, at every interval and when a poller begins to lead."""

    def __init__(
        self,
        store: PollStore,
        queue: JobQueue,
        metrics: PollerMetrics,
        triage: Triage,
        interval: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._triage = triage
        self._interval = interval
        self._monotonic = monotonic
        self._begun: float | None = None

    def ask(self) -> Iterator[Found]:
        """Sweep when it is time."""
        begun = self._monotonic()
        if self._begun is not None and begun - self._begun < self._interval.total_seconds():
            return
        statuses: Counter[JobStatus] = Counter({JobStatus.WAITING: 0, JobStatus.READY: 0})
        for page in self._store.open_jobs():
            statuses.update(job.status for job in page.jobs if job.status is not None)
            yield Found("sweep", self._needing_a_worker(page))
        for status, jobs in statuses.items():
            self._metrics.open.labels(status.label).set(jobs)
        self._begun = begun
        log.info("swept", jobs=statuses.total(), seconds=round(self._monotonic() - begun, 3))

    def _needing_a_worker(self, page: JobPage) -> list[UUID]:
        hinted = self._queue.hinted([job.id for job in page.jobs])
        unhinted = [job for job in page.jobs if job.id not in hinted]
        counts = self._store.counts([job.id for job in unhinted]) if unhinted else {}
        return self._triage.needing_a_worker(unhinted, counts, page.now)
