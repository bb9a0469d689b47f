"""Spares the workers a look at jobs that can only wait: decides from one wide look what a chunk of ten would decide.

Nothing is done to a job here. Who waits gets a hint for its next look; who does not goes to a worker, which reads the
row and counts its packets again before it claims.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tasks.model import NO_PACKETS, Job, LookAgain, PacketCount
from tasks.rules import Policy, decide, needs_comparison
from worker.queue import JobQueue


class Triage:
    """Tells the jobs that need a worker from those that wait."""

    def __init__(self, queue: JobQueue, policy: Policy, horizon: timedelta) -> None:
        """Make it.

        Args:
            queue: Where hints for next looks go.
            policy: What the operator decided.
            horizon: How far ahead a next look is worth a hint; the sweep finds what lies beyond.
        """
        self._queue = queue
        self._policy = policy
        self._horizon = horizon

    def needing_a_worker(self, jobs: Sequence[Job], counts: Mapping[UUID, PacketCount], now: datetime) -> list[UUID]:
        """Decide jobs as far as their counts allow.

        Args:
            jobs: The rows.
            counts: Their packets; a job that is absent has none.
            now: Dataverse's clock when they were read.

        Returns:
            The jobs that need a worker, in the order given.
        """
        waiting: dict[UUID, datetime] = {}
        needing_a_worker = []
        for job in jobs:
            at = self._waits_until(job, counts.get(job.id, NO_PACKETS), now)
            if at is None:
                needing_a_worker.append(job.id)
            elif at <= now + self._horizon:
                waiting[job.id] = at
        self._queue.look_again(waiting)
        return needing_a_worker

    def _waits_until(self, job: Job, count: PacketCount, now: datetime) -> datetime | None:
        if needs_comparison(job, count, now, self._policy):
            return None
        verdict = decide(job, count, now, self._policy)
        return verdict.at if isinstance(verdict, LookAgain) else None
