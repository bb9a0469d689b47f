"""Claims as values: how one is made, taken over, and recognised after an answer was lost. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from tasks.model import Claim, ClaimVerdict, Fail, Handle, Job, JobStatus, Reason, Skip


class Standing(Enum):
    """How a row stands to a claim that was made on it, or was tried."""

    HELD = auto()  # in Processing under this claim
    SETTLED = auto()  # ended, by this very claim
    UNTOUCHED = auto()  # open as before, under the ETag that the claim was tried with
    TAKEN = auto()  # anything else: somebody else moved it


def first_claim(job: Job, verdict: Skip | Fail | Handle, worker: str, now: datetime, lease: timedelta) -> Claim:
    """Make the first claim on an open job.

    Args:
        job: The open job as it was read.
        verdict: What will be carried out.
        worker: The name of this process.
        now: Dataverse's clock.
        lease: How long the claim holds.

    Raises:
        ValueError: When the job is not open.
    """
    if job.status is None or not job.status.is_open:
        raise ValueError(f"job {job.id} is not open")
    return Claim(worker, 1, now + lease, job.status, _claim_verdict(verdict), verdict.reason)


def next_claim(expired: Claim, worker: str, now: datetime, lease: timedelta, max_attempts: int) -> Claim:
    """Make the claim that takes over an expired one: the same verdict, unless its attempts are used up."""
    taken_over = replace(expired, worker=worker, attempt=expired.attempt + 1, lease_expires_at=now + lease)
    if expired.attempt >= max_attempts:
        return replace(taken_over, verdict=ClaimVerdict.FAIL, reason=Reason.WORKER_LOST)
    return taken_over


def is_expired(claim: Claim, now: datetime) -> bool:
    """Tell whether a claim may be taken over, on Dataverse's clock."""
    return claim.lease_expires_at <= now


def standing(row: Job | None, claim: Claim, etag: str) -> Standing:
    """Recognise what became of a claim, or of a write under it, from the row as it is now.

    Args:
        row: The row read back; None when it is gone.
        claim: The claim that was made or tried.
        etag: The ETag that the write was guarded with.
    """
    if row is None:
        return Standing.TAKEN
    if row.status is JobStatus.PROCESSING and row.claim is not None and row.claim.is_by(claim):
        return Standing.HELD
    if row.status is not None and row.status.is_final and row.settled_by == (claim.worker, claim.attempt):
        return Standing.SETTLED
    return Standing.UNTOUCHED if row.etag == etag else Standing.TAKEN


def _claim_verdict(verdict: Skip | Fail | Handle) -> ClaimVerdict:
    match verdict:
        case Skip():
            return ClaimVerdict.SKIP
        case Fail():
            return ClaimVerdict.FAIL
        case Handle():
            return ClaimVerdict.HANDLE
