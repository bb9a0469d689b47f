"""The question after rows that were created, changed or set to Ready since the last time."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tasks.model import Job, JobStatus
from worker.poller.ports import JobPage, PollStore
from worker.poller.questions import Found
from worker.poller.triage import Triage
from worker.poller.window import Window


class Changed:
    """Finds open rows by their modifiedon, so its cost follows what changed, not what waits."""

    def __init__(self, store: PollStore, triage: Triage, overlap: timedelta) -> None:
        self._store = store
        self._triage = triage
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
            yield Found("ready", [job.id for job in fresh if job.status is JobStatus.READY])
            yield Found(
                "changed", self._changed([job for job in fresh if job.status is JobStatus.WAITING], since, page)
            )
            self._seen.update({job.id: job for job in fresh})
        if asked_at is not None:
            self._window.asked_up_to(asked_at)

    def _is_known(self, job: Job) -> bool:
        seen = self._seen.get(job.id)
        return seen is not None and seen.etag == job.etag

    def _changed(self, waiting: Sequence[Job], since: datetime, page: JobPage) -> list[UUID]:
        """Leave out jobs that have just been created and can only wait: their packets are arrivals to come."""
        created = [job for job in waiting if job.created_on >= since]
        edited = [job.id for job in waiting if job.created_on < since]
        return self._triage.needing_a_worker(created, {}, page.now) + edited
