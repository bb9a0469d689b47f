"""The nouns of the domain: jobs, packets, counts, claims and verdicts.

Values only; what follows from them is in `tasks.rules`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TypeAlias
from uuid import UUID

MS_PROJECT_CLIENT = 192_350_000
"""The only option of msdyn_type that Microsoft documents."""

ACTIVE = 0
"""The statecode of an active row."""


class JobStatus(IntEnum):
    """The options of msdyn_status. The reference gives the labels; the meanings are this project's."""

    WAITING = 192_350_000  # packets are arriving
    READY = 192_350_001  # the sender says that all packets are there
    SKIPPED = 192_350_002  # ended: there was nothing to do
    PROCESSING = 192_350_003  # somebody holds a claim on it
    SUCCEEDED = 192_350_004  # ended: complete and handled
    FAILED = 192_350_005  # ended: cannot be completed

    @property
    def label(self) -> str:
        """The option's label in Dataverse, such as ``Waiting``."""
        return self.name.capitalize()

    @property
    def is_open(self) -> bool:
        """Whether the job waits to be decided."""
        return self in OPEN_STATUSES

    @property
    def is_final(self) -> bool:
        """Whether the job has ended; a final status is never left."""
        return self in FINAL_STATUSES


OPEN_STATUSES = frozenset({JobStatus.WAITING, JobStatus.READY})
FINAL_STATUSES = frozenset({JobStatus.SKIPPED, JobStatus.SUCCEEDED, JobStatus.FAILED})


class Reason(StrEnum):
    """Why a job is in the state that it is in. Stable names: they are metric labels and stand in response documents."""

    NOT_OPEN = "not_open"
    DEACTIVATED = "deactivated"
    UNSUPPORTED_TYPE = "unsupported_type"
    NO_PACKETS_EXPECTED = "no_packets_expected"
    EXPECTED_COUNT_MISSING = "expected_count_missing"
    TOO_MANY_PACKETS = "too_many_packets"
    SEQUENCE_INVALID = "sequence_invalid"
    DUPLICATE_CONFLICT = "duplicate_conflict"
    COMPLETE = "complete"
    PACKETS_PENDING = "packets_pending"
    PACKETS_MISSING = "packets_missing"
    WORKER_LOST = "worker_lost"  # every allowed attempt lost its worker
    OPERATOR = "operator"  # a person ended it by hand
    HANDLER_FAILED = "handler_failed"  # the handler raised on every allowed attempt
    HANDLER_REJECTED = "handler_rejected"  # the handler said that trying again is of no use


class ClaimVerdict(StrEnum):
    """What a claim was made for. A rescuer carries out the same verdict."""

    SKIP = "skip"
    FAIL = "fail"
    HANDLE = "handle"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on a job, since when it was open as what, and until when nobody else may.

    `worker` names one process of one machine for its whole life; worker and attempt together name one claim.
    """

    worker: str
    attempt: int
    lease_expires_at: datetime
    claimed_from: JobStatus
    verdict: ClaimVerdict
    reason: str

    def is_by(self, other: "Claim") -> bool:
        """Tell whether both are the same claim, renewed or not."""
        return self.worker == other.worker and self.attempt == other.attempt


@dataclass(frozen=True, slots=True)
class Job:
    """One row of msdyn_integrationjob as it was read.

    `status` and `type` are None where the column is null; a status that is no option of the table reads as None too.
    `claim` is ours where msdyn_responsejson holds a claim document of this project. `settled_by` is the claim that a
    response document of this project names. `etag` is opaque.
    """

    id: UUID
    etag: str
    name: str | None
    status: JobStatus | None
    is_active: bool
    type: int | None
    expected_packets: int | None
    regarding_entity: str | None
    regarding_entity_id: str | None
    created_on: datetime
    modified_on: datetime
    claim: Claim | None = None
    settled_by: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class PacketCount:
    """What the active packet rows of one job add up to.

    `rows` counts rows, `numbered` those with a sequence number, `distinct` different numbers; `lowest` and `highest`
    are the extreme numbers, `newest` the last creation. `conflicting` tells whether copies of a packet differ; None
    means that they were not compared.
    """

    rows: int = 0
    numbered: int = 0
    distinct: int = 0
    lowest: int | None = None
    highest: int | None = None
    newest: datetime | None = None
    conflicting: bool | None = None

    @property
    def duplicates(self) -> int:
        """Rows beyond the first with the same number."""
        return self.rows - self.distinct

    @property
    def has_unnumbered(self) -> bool:
        """Whether a row lacks its sequence number."""
        return self.numbered < self.rows


NO_PACKETS = PacketCount()


@dataclass(frozen=True, slots=True)
class Packet:
    """One row of msdyn_integrationjobdetail. `repr` leaves the payload out: it must not reach a log."""

    id: UUID
    sequence_number: int | None
    changes_json: str | None
    full_json: str | None

    def __repr__(self) -> str:
        return f"Packet(id={self.id}, sequence_number={self.sequence_number})"


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Not ours to touch."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Nothing to do before another packet arrives or this instant (Dataverse's clock) has come."""

    reason: Reason
    at: datetime


@dataclass(frozen=True, slots=True)
class Skip:
    """Claim, then settle as Skipped."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Fail:
    """Claim, then settle as Failed."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Handle:
    """Claim, run the handler, then settle as it ends."""

    reason: Reason


Verdict: TypeAlias = LeaveAlone | LookAgain | Skip | Fail | Handle
