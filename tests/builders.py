"""Jobs, packets and counts for tests: say what matters, the rest is as it usually is."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tasks.model import MS_PROJECT_CLIENT, Claim, ClaimVerdict, Job, JobStatus, Packet, PacketCount, Reason

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When tests take place."""


def a_job(**changed: Any) -> Job:
    """Build a job: Waiting, active, of the handled type, three packets expected, created a minute ago."""
    usual: dict[str, Any] = {
        "id": uuid4(),
        "etag": 'W/"1"',
        "name": "a job",
        "status": JobStatus.WAITING,
        "is_active": True,
        "type": MS_PROJECT_CLIENT,
        "expected_packets": 3,
        "regarding_entity": "msdyn_project",
        "regarding_entity_id": str(UUID(int=1)),
        "created_on": NOW - timedelta(minutes=1),
        "modified_on": NOW - timedelta(minutes=1),
    }
    return Job(**{**usual, **changed})


def a_claim(**changed: Any) -> Claim:
    """Build a claim: another worker's first one on a Waiting job, made to handle it, holding for five minutes."""
    usual: dict[str, Any] = {
        "worker": "another worker",
        "attempt": 1,
        "lease_expires_at": NOW + timedelta(minutes=5),
        "claimed_from": JobStatus.WAITING,
        "verdict": ClaimVerdict.HANDLE,
        "reason": Reason.COMPLETE,
    }
    return Claim(**{**usual, **changed})


def a_count(**changed: Any) -> PacketCount:
    """Build a count: packets 1, 2 and 3, each there once, the last half a minute ago."""
    usual: dict[str, Any] = {
        "rows": 3,
        "numbered": 3,
        "distinct": 3,
        "lowest": 1,
        "highest": 3,
        "newest": NOW - timedelta(seconds=30),
    }
    return PacketCount(**{**usual, **changed})


def packets(*numbers: int | None, payload: str = "{}") -> list[Packet]:
    """Build packets with these sequence numbers, all with the same payload."""
    return [Packet(uuid4(), number, changes_json=payload, full_json=None) for number in numbers]


def count_of(
    numbers: Iterable[int | None], *, newest: datetime | None = None, conflicting: bool | None = None
) -> PacketCount:
    """Count packets by their sequence numbers, as Dataverse would; None is a packet without one."""
    listed = list(numbers)
    numbered = [number for number in listed if number is not None]
    return PacketCount(
        rows=len(listed),
        numbered=len(numbered),
        distinct=len(set(numbered)),
        lowest=min(numbered, default=None),
        highest=max(numbered, default=None),
        newest=newest or (NOW - timedelta(seconds=30) if listed else None),
        conflicting=conflicting,
    )
