"""The queue of jobs: which are in a message, which are due again, and the messages themselves.

Hints and messages may all be lost. A job in a message that never arrives counts as lost after a while and is due again;
everything else the poller's sweep finds.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from celery import Celery
from redis import Redis

from config.celery import QUEUE, RESCUE_JOB, SETTLE_JOBS
from worker.redis_keys import CELERY_QUEUE, CELERY_UNACKED, DUE, HINTS_TTL, QUEUED


class JobQueue:
    """Puts jobs on the queue, once each, and remembers when to look at the others again.

    Every method raises `redis.RedisError`, or kombu's `OperationalError` where it publishes, when Redis is away.
    """

    def __init__(self, redis: Redis, app: Celery, chunk_size: int, presumed_lost_after: timedelta) -> None:
        self._redis = redis
        self._app = app
        self._chunk_size = chunk_size
        self._presumed_lost_after = presumed_lost_after

    def enqueue(self, ids: Iterable[UUID], now: datetime) -> list[UUID]:
        """Put jobs on the queue in chunks, leaving out those that are on it already.

        Args:
            ids: The jobs, in the order in which they are to be worked on.
            now: Dataverse's clock.

        Returns:
            The jobs that were put on the queue now.
        """
        fresh = self._mark(list(dict.fromkeys(ids)), now)
        for start in range(0, len(fresh), self._chunk_size):
            chunk = fresh[start : start + self._chunk_size]
            self._publish(SETTLE_JOBS, [str(job_id) for job_id in chunk], unpublished=fresh[start:])
        return fresh

    def enqueue_rescue(self, job_id: UUID, now: datetime) -> bool:
        """Put a job with an expired claim on the queue, alone.

        Returns:
            Whether it was put there now; False when it is on the queue already.
        """
        fresh = self._mark([job_id], now)
        if fresh:
            self._publish(RESCUE_JOB, str(job_id), unpublished=fresh)
        return bool(fresh)

    def release(self, ids: Sequence[UUID]) -> None:
        """Note that these jobs are in no message any more."""
        if ids:
            self._redis.zrem(QUEUED, *map(str, ids))

    def forget(self, ids: Sequence[UUID]) -> None:
        """Note that these jobs need no further look."""
        if ids:
            self._redis.zrem(DUE, *map(str, ids))

    def look_again(self, instants: Mapping[UUID, datetime]) -> None:
        """Have jobs looked at again when their instants on Dataverse's clock have come; an earlier instant stands."""
        if not instants:
            return
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zadd(DUE, {str(job_id): at.timestamp() for job_id, at in instants.items()}, lt=True)
        pipeline.expire(DUE, HINTS_TTL)
        pipeline.execute()

    def take_due(self, now: datetime, limit: int) -> list[UUID]:
        """Take out the jobs whose next look has come, and those whose message is presumed lost.

        Args:
            now: Dataverse's clock.
            limit: How many of each at the most.

        Returns:
            The jobs, the longest due first.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for key in (DUE, QUEUED):
            pipeline.zrangebyscore(key, "-inf", now.timestamp(), start=0, num=limit)
        due, lost = pipeline.execute()
        if lost:
            self._redis.zrem(QUEUED, *lost)
        if due:
            self._redis.zrem(DUE, *due)
        return [UUID(member) for member in dict.fromkeys([*due, *lost])]

    def hinted(self, ids: Sequence[UUID]) -> set[UUID]:
        """Tell which of these jobs are in a message or have a next look that stands."""
        if not ids:
            return set()
        members = [str(job_id) for job_id in ids]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zmscore(DUE, members)
        pipeline.zmscore(QUEUED, members)
        due, queued = pipeline.execute()
        return {job_id for job_id, *scores in zip(ids, due, queued, strict=True) if any(s is not None for s in scores)}

    def jobs_queued(self) -> int:
        """Count the jobs that are in a message, or the waiting messages should those be more."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zcard(QUEUED)
        pipeline.llen(CELERY_QUEUE)
        return max(int(length) for length in pipeline.execute())

    def messages_outstanding(self) -> int:
        """Count the messages that wait in the queue or are held by a worker."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.llen(CELERY_QUEUE)
        pipeline.hlen(CELERY_UNACKED)
        waiting, held = pipeline.execute()
        return int(waiting) + int(held)

    def _mark(self, ids: Sequence[UUID], now: datetime) -> list[UUID]:
        """Mark jobs as queued, before the message is sent: should this process die in between, the mark expires."""
        if not ids:
            return []
        lost_from = (now + self._presumed_lost_after).timestamp()
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in ids:
            pipeline.zadd(QUEUED, {str(job_id): lost_from}, nx=True)
        pipeline.expire(QUEUED, HINTS_TTL)
        *added, _ = pipeline.execute()
        return [job_id for job_id, is_new in zip(ids, added, strict=True) if is_new]

    def _publish(self, task: str, argument: list[str] | str, unpublished: Sequence[UUID]) -> None:
        try:
            self._app.send_task(task, args=[argument], queue=QUEUE)
        except BaseException:
            self.release(unpublished)
            raise
