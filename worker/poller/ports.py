"""What the poller asks of the store, as a protocol. All instants are Dataverse's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tasks.model import Job, PacketCount
from tasks.ports import Look


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, without their claims, and the instant at which it was read."""

    jobs: Sequence[Job]
    now: datetime


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many packets arrived for each job since an instant, and the instant of asking."""

    packets: Mapping[UUID, int]
    now: datetime


class PollStore(Protocol):
    """The questions that find work. Each raises the store's own error when Dataverse cannot be reached."""

    def changed_since(self, since: datetime) -> Iterator[JobPage]:
        """Give the Waiting and Ready rows that were created or modified since, in that order."""
        ...

    def arrived_since(self, since: datetime) -> Iterator[Arrivals]:
        """Count the packets that were created since for Waiting and Ready jobs, in windows, oldest first."""
        ...

    def open_jobs(self) -> Iterator[JobPage]:
        """Give all Waiting and Ready rows, oldest first."""
        ...

    def processing_jobs(self) -> Iterator[JobPage]:
        """Give all Processing rows."""
        ...

    def with_claims(self, ids: Sequence[UUID]) -> JobPage:
        """Read these rows with the claims that they hold."""
        ...

    def survey(self, ids: Sequence[UUID]) -> Look:
        """Read these rows and count their packets; a deleted job is simply absent."""
        ...

    def counts(self, ids: Sequence[UUID]) -> Mapping[UUID, PacketCount]:
        """Count the packets of these jobs; a job without packets is absent."""
        ...

    def now(self) -> datetime:
        """Give the instant on Dataverse's clock."""
        ...
