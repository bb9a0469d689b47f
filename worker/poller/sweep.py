"""The sweep over all open jobs: needs no hint and no memory, so nothing that was lost stays lost."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from config.metrics import PollerMetrics
from tasks.model import NO_PACKETS, Job, JobStatus, LookAgain, PacketCount
from tasks.rules import Policy, decide, needs_comparison
from worker.poller.ports import JobPage, PollStore
from worker.poller.questions import Found
from worker.queue import JobQueue

log = structlog.get_logger(__name__)


class Sweep:
    """Reads and counts all open jobs that no hint stands for, at every interval and when a poller begins to lead."""

    def __init__(
        self,
        store: PollStore,
        queue: JobQueue,
        metrics: PollerMetrics,
        policy: Policy,
        interval: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._policy = policy
        self._interval = interval
        self._monotonic = monotonic
        self._begun: float | None = None

    @property
    def horizon(self) -> timedelta:
        """How far ahead a next look is worth a hint: up to the end of the next sweep, which finds what lies beyond."""
        return self._interval * 2

    def ask(self) -> Iterator[Found]:
        """Sweep when it is time."""
        begun = self._monotonic()
        if self._begun is not None and begun - self._begun < self._interval.total_seconds():
            return
        statuses: Counter[JobStatus] = Counter({JobStatus.WAITING: 0, JobStatus.READY: 0})
        for page in self._store.open_jobs():
            statuses.update(job.status for job in page.jobs if job.status is not None)
            yield Found("sweep", self._needing_a_look(page))
        for status, jobs in statuses.items():
            self._metrics.open.labels(status.label).set(jobs)
        self._begun = begun
        log.info("swept", jobs=statuses.total(), seconds=round(self._monotonic() - begun, 3))

    def _needing_a_look(self, page: JobPage) -> list[UUID]:
        hinted = self._queue.hinted([job.id for job in page.jobs])
        unhinted = [job for job in page.jobs if job.id not in hinted]
        counts = self._store.counts([job.id for job in unhinted]) if unhinted else {}
        next_looks: dict[UUID, datetime] = {}
        needing_a_look = []
        for job in unhinted:
            at = self._waits_until(job, counts.get(job.id, NO_PACKETS), page.now)
            if at is None:
                needing_a_look.append(job.id)
            elif at <= page.now + self.horizon:
                next_looks[job.id] = at
        self._queue.look_again(next_looks)
        return needing_a_look

    def _waits_until(self, job: Job, count: PacketCount, now: datetime) -> datetime | None:
        if needs_comparison(job, count, now, self._policy):
            return None
        verdict = decide(job, count, now, self._policy)
        return verdict.at if isinstance(verdict, LookAgain) else None
