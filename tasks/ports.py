"""What the settle flow needs from outside, as protocols. `worker` implements them; tests may as well."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Protocol
from uuid import UUID

from tasks.model import NO_PACKETS, Claim, Job, JobStatus, Packet, PacketCount


@dataclass(frozen=True, slots=True)
class Look:
    """What one request saw: the rows that exist, their packets, and the instant on Dataverse's clock."""

    jobs: Mapping[UUID, Job]
    counts: Mapping[UUID, PacketCount]
    now: datetime

    def count(self, job_id: UUID) -> PacketCount:
        """Give a job's packet count; a job without packets has no group among the counts."""
        return self.counts.get(job_id, NO_PACKETS)


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A claim to be written onto a job, guarded by the ETag that the job was read with."""

    job: Job
    claim: Claim


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that was won. `etag` guards every further write; it changes with each of them."""

    job: Job
    claim: Claim
    etag: str


class NotClaimed(Enum):
    """Why a claim was not won."""

    LOST = auto()  # somebody else moved the row
    GONE = auto()  # the job was deleted
    ERROR = auto()  # Dataverse refused or could not be reached; the job is open as before


@dataclass(frozen=True, slots=True)
class Settlement:
    """A final status and its response document, to be written in one guarded request."""

    held: Held
    status: JobStatus
    reason: str
    document: str


class Settled(Enum):
    """What became of a settlement."""

    DONE = auto()
    LOST = auto()  # the claim was taken over, or a neighbour ended the job
    GONE = auto()  # the job was deleted
    NOT_YET = auto()  # still ours, but it could not be written; the rescue carries the verdict out


class JobStore(Protocol):
    """The two tables. Every method may raise an error of the store's own when Dataverse cannot be reached at all."""

    def look(self, ids: Sequence[UUID]) -> Look:
        """Read the rows and count their packets; a deleted job is simply absent."""
        ...

    def conflicting(self, ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Compare the copies of packets that share a number: True where payloads differ as exact text."""
        ...

    def sequence_numbers(self, ids: Sequence[UUID]) -> Mapping[UUID, Iterator[int]]:
        """Give each job's sequence numbers in ascending order, read page by page."""
        ...

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[Held | NotClaimed]:
        """Write claims, in order; lost answers are read back and recognised."""
        ...

    def renew(self, held: Sequence[Held], until: Sequence[datetime]) -> Sequence[Held | None]:
        """Move the end of leases; None where the claim is no longer ours or that could not be found out."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        """Write settlements, in order; lost answers are read back and recognised, nothing is repeated blindly."""
        ...

    def packets(self, job_id: UUID) -> Iterator[Packet]:
        """Stream a job's active packets by sequence number, a page at a time."""
        ...

    def mark_failed(self, job_id: UUID, message: str) -> None:
        """Call the product's own action for a failed job. Logs what goes wrong; the job is settled already."""
        ...

    def now(self) -> datetime:
        """Give the instant on Dataverse's clock, as far as it is known. Never raises."""
        ...


class Hints(Protocol):
    """Where hints for the poller go. They may be lost, so nothing here ever raises."""

    def look_again(self, job_id: UUID, at: datetime) -> None:
        """Have the job looked at when that instant has come on Dataverse's clock."""
        ...

    def release(self, ids: Sequence[UUID]) -> None:
        """Tell that these jobs are no longer queued."""
        ...

    def forget(self, ids: Sequence[UUID]) -> None:
        """Tell that these jobs need no further look: they have ended, or are gone."""
        ...

    def rescue(self, job_id: UUID) -> None:
        """Have a job with an expired claim taken over, alone."""
        ...


class Leases(Protocol):
    """Keeps claims alive while long work goes on."""

    def keep(self, held: Sequence[Held]) -> AbstractContextManager["KeptLeases"]:
        """Renew these claims in the background for as long as the context lasts."""
        ...


class KeptLeases(Protocol):
    """Claims under renewal."""

    def current(self) -> Sequence[Held | None]:
        """Give the claims as they are now, in the order given; None for one that was lost."""
        ...
