"""The question after rows that were created, changed or set to Ready since the last time."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tasks.model import NO_PACKETS, Job, JobStatus, LookAgain
from tasks.rules import Policy, decide
from worker.poller.ports import PollStore
from worker.poller.questions import Found
from worker.poller.window import Window
from worker.queue import JobQueue

SOURCES = {"ready": {JobStatus.READY}, "changed": {JobStatus.WAITING}}


class Changed:
    """Finds open rows by their modifiedon, so its cost follows what changed, not what waits."""

    def __init__(self, store: PollStore, queue: JobQueue, policy: Policy, overlap: timedelta) -> None:
        self._store = store
        self._queue = queue
        self._policy = policy
        self._window = Window(overlap)
        self._seen: dict[UUID, Job] = {}

    def ask(self) -> Iterator[Found]:
        """Ask for what changed since the last time."""
        since = self._window.start(self._store.now())
        asked_at: datetime | None = None
        self._seen = {job_id: job for job_id, job in self._seen.items() if job.modified_on >= since}
        for page in self._store.changed_since(since):
            asked_at = asked_at or page.now
            fresh = [job for job in page.jobs if not self._is_known(job)]
            needing_a_look = self._triage(fresh, since, page.now)
            for source, statuses in SOURCES.items():
                yield Found(source, [job.id for job in needing_a_look if job.status in statuses])
            self._seen.update({job.id: job for job in fresh})
        if asked_at is not None:
            self._window.asked_up_to(asked_at)

    def _is_known(self, job: Job) -> bool:
        seen = self._seen.get(job.id)
        return seen is not None and seen.etag == job.etag

    def _triage(self, jobs: Sequence[Job], since: datetime, now: datetime) -> list[Job]:
        """Spare a look at jobs that have just been created and can only wait: their packets are arrivals to come."""
        waiting: dict[UUID, datetime] = {}
        needing_a_look = []
        for job in jobs:
            verdict = decide(job, NO_PACKETS, now, self._policy)
            if job.status is JobStatus.WAITING and job.created_on >= since and isinstance(verdict, LookAgain):
                waiting[job.id] = verdict.at
            else:
                needing_a_look.append(job)
        self._queue.look_again(waiting)
        return needing_a_look
