"""A real Valkey server, and the poller's questions answered from a list of rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery

from sandbox.redis_server import RedisServer
from tasks.model import Job, JobStatus, PacketCount
from tasks.ports import Look
from tests.builders import NOW
from worker.poller.ports import Arrivals, JobPage
from worker.queue import JobQueue


@dataclass(slots=True)
class Rows:
    """Implements PollStore over rows and packets in memory, and notes what it was asked."""

    jobs: dict[UUID, Job] = field(default_factory=dict)
    packets: dict[UUID, list[tuple[int, datetime]]] = field(default_factory=dict)
    clock: datetime = NOW
    page_size: int = 2
    asked: list[str] = field(default_factory=list)

    def add(self, job: Job, *numbers: int, at: datetime | None = None) -> UUID:
        """Add a job with packets."""
        self.jobs[job.id] = job
        self.arrive(job.id, *numbers, at=at)
        return job.id

    def arrive(self, job_id: UUID, *numbers: int, at: datetime | None = None) -> None:
        """Have packets arrive."""
        self.packets.setdefault(job_id, []).extend((number, at or self.clock) for number in numbers)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock += timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Give the clock."""
        return self.clock

    def changed_since(self, since: datetime) -> Iterator[JobPage]:
        """Answer the question after changed rows."""
        return self._pages("changed", [job for job in self._open() if job.modified_on >= since])

    def open_jobs(self) -> Iterator[JobPage]:
        """Answer the sweep."""
        return self._pages("open", self._open())

    def processing_jobs(self) -> Iterator[JobPage]:
        """Answer the rescue, without claims."""
        found = [replace(job, claim=None) for job in self.jobs.values() if job.status is JobStatus.PROCESSING]
        return self._pages("processing", found)

    def with_claims(self, ids: Sequence[UUID]) -> JobPage:
        """Read rows with their claims."""
        self.asked.append("with_claims")
        return JobPage([self.jobs[one] for one in ids if one in self.jobs], self.clock)

    def arrived_since(self, since: datetime) -> Iterator[Arrivals]:
        """Answer the question after packets."""
        self.asked.append("arrived")
        arrived = {job.id: sum(at >= since for _, at in self.packets.get(job.id, ())) for job in self._open()}
        yield Arrivals({job_id: packets for job_id, packets in arrived.items() if packets}, self.clock)

    def survey(self, ids: Sequence[UUID]) -> Look:
        """Read and count."""
        self.asked.append("survey")
        return Look({one: self.jobs[one] for one in ids if one in self.jobs}, self.counts(ids), self.clock)

    def counts(self, ids: Sequence[UUID]) -> Mapping[UUID, PacketCount]:
        """Count."""
        return {one: self._count(one) for one in ids if self.packets.get(one)}

    def _open(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.status is not None and job.status.is_open]

    def _pages(self, question: str, jobs: Sequence[Job]) -> Iterator[JobPage]:
        self.asked.append(question)
        for start in range(0, max(1, len(jobs)), self.page_size):
            yield JobPage(jobs[start : start + self.page_size], self.clock)

    def _count(self, job_id: UUID) -> PacketCount:
        numbers = [number for number, _ in self.packets[job_id]]
        newest = max(at for _, at in self.packets[job_id])
        return PacketCount(len(numbers), len(numbers), len(set(numbers)), min(numbers), max(numbers), newest)


@dataclass(slots=True)
class Published:
    """Stands in for the Celery application: keeps what is sent."""

    sent: list[tuple[str, Any]] = field(default_factory=list)
    failing: bool = False

    def send_task(self, name: str, args: Sequence[Any], queue: str) -> None:
        """Keep a message of the one queue, or fail."""
        assert queue == "jobworker"
        if self.failing:
            raise redis.ConnectionError("away")
        self.sent.append((name, args[0]))

    def jobs(self) -> list[str]:
        """List the jobs of all messages, in order."""
        return [job for _, argument in self.sent for job in ([argument] if isinstance(argument, str) else argument)]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """An empty server's client."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def published() -> Published:
    """What is sent."""
    return Published()


@pytest.fixture
def queue(client: redis.Redis, published: Published) -> JobQueue:
    """The real queue over the real server; messages are kept instead of sent."""
    app: Celery = published  # type: ignore[assignment]  # one method of it is all that the queue uses
    return JobQueue(client, app, chunk_size=3, presumed_lost_after=timedelta(minutes=10))


@pytest.fixture
def rows() -> Rows:
    """No rows yet."""
    return Rows()
