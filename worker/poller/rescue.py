"""The question after claims that expired: their workers died, hung, or lost touch with Dataverse."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from config.metrics import PollerMetrics
from tasks.claims import is_expired
from tasks.model import Job
from worker.poller.ports import PollStore
from worker.poller.questions import Found, Travel

log = structlog.get_logger(__name__)

BATCH = 20
"""Rows read with their msdyn_responsejson at a time: somebody else's may hold a megabyte each."""

LEASE_SHARE = 5
"""Expired claims are looked for this many times in the length of a lease."""


class Rescue:
    """Finds rows in Processing whose claim of ours has expired, and counts those that are not ours."""

    def __init__(
        self,
        store: PollStore,
        metrics: PollerMetrics,
        lease: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._pause = lease.total_seconds() / LEASE_SHARE
        self._monotonic = monotonic
        self._asked: float | None = None
        self._read: dict[UUID, Job] = {}

    def ask(self) -> Iterator[Found]:
        """Ask for expired claims, a few times in the length of a lease."""
        now = self._monotonic()
        if self._asked is not None and now - self._asked < self._pause:
            return
        processing: dict[UUID, Job] = {}
        for page in self._store.processing_jobs():
            known, unread = self._split(page.jobs)
            processing |= known
            for start in range(0, len(unread), BATCH):
                read = self._store.with_claims(unread[start : start + BATCH])
                processing |= {job.id: job for job in read.jobs}
        foreign = sum(1 for job in processing.values() if job.claim is None)
        self._metrics.foreign_processing.set(foreign)
        self._metrics.open.labels("Processing").set(len(processing))
        at = self._store.now()
        expired = [job.id for job in processing.values() if job.claim is not None and is_expired(job.claim, at)]
        yield Found("rescue", expired, Travel.ALONE)
        self._read, self._asked = processing, now

    def _split(self, jobs: Sequence[Job]) -> tuple[dict[UUID, Job], list[UUID]]:
        """Tell the rows that were read before and have not changed since from those that must be read."""
        known: dict[UUID, Job] = {}
        unread = []
        for job in jobs:
            before = self._read.get(job.id)
            if before is not None and before.etag == job.etag:
                known[job.id] = before
            else:
                unread.append(job.id)
        return known, unread
