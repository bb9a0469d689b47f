"""The decision table as one pure function, and the instants it speaks of.

Every instant is Dataverse's (its ``Date`` header), never this machine's.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tasks.model import (
    MS_PROJECT_CLIENT,
    Fail,
    Handle,
    Job,
    JobStatus,
    LeaveAlone,
    LookAgain,
    PacketCount,
    Reason,
    Skip,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decides: the handled types, how long packets are waited for, how often a job is tried."""

    types: frozenset[int] = frozenset({MS_PROJECT_CLIENT})
    packet_idle_timeout: timedelta = timedelta(hours=1)
    deadline: timedelta = timedelta(hours=24)
    ready_grace: timedelta = timedelta(minutes=5)
    lease: timedelta = timedelta(minutes=5)
    max_attempts: int = 3


def decide(job: Job, count: PacketCount, now: datetime, policy: Policy) -> Verdict:
    """Decide what is to be done with a job: the first line of the table that fits.

    Args:
        job: The row as it was read.
        count: Its packets, counted in the same request.
        now: The instant of that request on Dataverse's clock.
        policy: What the operator decided.

    Returns:
        A verdict; nothing has happened yet.

    Raises:
        ValueError: When the verdict hangs on duplicates that were not compared; `needs_comparison` tells beforehand.
    """
    if job.status is None or not job.status.is_open:
        return LeaveAlone(Reason.NOT_OPEN)
    if not job.is_active:
        return Skip(Reason.DEACTIVATED)
    if job.type not in policy.types:
        return Skip(Reason.UNSUPPORTED_TYPE)
    if job.expected_packets == 0 and count.rows == 0:
        return Skip(Reason.NO_PACKETS_EXPECTED)
    return _decide_by_packets(job, count, now, policy)


def _decide_by_packets(job: Job, count: PacketCount, now: datetime, policy: Policy) -> Verdict:
    expected = job.expected_packets
    if expected is None and job.status is JobStatus.READY:
        return Fail(Reason.EXPECTED_COUNT_MISSING)
    if expected is not None and count.distinct > expected:
        return Fail(Reason.TOO_MANY_PACKETS)
    all_there = count.distinct == expected
    if count.has_unnumbered or (all_there and not is_contiguous(count)):
        return Fail(Reason.SEQUENCE_INVALID)
    if all_there:
        return _decide_complete(count)
    look_again_at = waits_until(job, count, policy)
    if now < look_again_at:
        return LookAgain(Reason.PACKETS_PENDING, look_again_at)
    return Fail(Reason.PACKETS_MISSING)


def _decide_complete(count: PacketCount) -> Verdict:
    if count.duplicates and count.conflicting is None:
        raise ValueError("the copies of a packet must be compared before this job can be decided")
    return Fail(Reason.DUPLICATE_CONFLICT) if count.conflicting else Handle(Reason.COMPLETE)


def needs_comparison(job: Job, count: PacketCount, now: datetime, policy: Policy) -> bool:
    """Tell whether the verdict hangs on whether copies of a packet are equal.

    Returns:
        True when `decide` would raise without that knowledge.
    """
    if not count.duplicates or count.conflicting is not None:
        return False
    return isinstance(decide(job, replace(count, conflicting=False), now, policy), Handle)


def is_contiguous(count: PacketCount) -> bool:
    """Tell whether the numbers run from 0 or from 1 without a gap. No numbers at all do."""
    if count.lowest is None or count.highest is None:
        return True
    return count.lowest in (0, 1) and count.highest - count.lowest + 1 == count.distinct


def waits_until(job: Job, count: PacketCount, policy: Policy) -> datetime:
    """Give the instant up to which an incomplete job is given time.

    Returns:
        For Waiting, the earlier of idle timeout and deadline; for Ready, the end of the grace.
    """
    if job.status is JobStatus.READY:
        return job.modified_on + policy.ready_grace
    last_activity = max(job.created_on, count.newest or job.created_on)
    return min(last_activity + policy.packet_idle_timeout, job.created_on + policy.deadline)
