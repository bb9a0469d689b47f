"""Claims: made, taken over, recognised."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.claims import Standing, first_claim, is_expired, next_claim, standing
from tasks.model import Claim, ClaimVerdict, Fail, Handle, Job, JobStatus, Reason, Skip
from tests.builders import NOW, a_claim, a_job

LEASE = timedelta(minutes=5)
FINAL = [status for status in JobStatus if status.is_final]


@pytest.mark.parametrize("status", [JobStatus.WAITING, JobStatus.READY])
@pytest.mark.parametrize(
    ("verdict", "claimed_for"),
    [
        (Skip(Reason.DEACTIVATED), ClaimVerdict.SKIP),
        (Fail(Reason.PACKETS_MISSING), ClaimVerdict.FAIL),
        (Handle(Reason.COMPLETE), ClaimVerdict.HANDLE),
    ],
)
def test_a_first_claim_says_who_until_when_and_what_for(
    status: JobStatus, verdict: Skip | Fail | Handle, claimed_for: ClaimVerdict
) -> None:
    claim = first_claim(a_job(status=status), verdict, "me", NOW, LEASE)

    assert claim == Claim("me", 1, NOW + LEASE, status, claimed_for, verdict.reason)


@pytest.mark.parametrize("status", [None, *(status for status in JobStatus if not status.is_open)])
def test_what_is_not_open_cannot_be_claimed_first(status: JobStatus | None) -> None:
    with pytest.raises(ValueError, match="is not open"):
        first_claim(a_job(status=status), Handle(Reason.COMPLETE), "me", NOW, LEASE)


def test_who_takes_over_carries_out_the_same_verdict() -> None:
    expired = a_claim(attempt=2, verdict=ClaimVerdict.FAIL, reason=Reason.PACKETS_MISSING)

    claim = next_claim(expired, "me", NOW, LEASE, max_attempts=3)

    assert claim == replace(expired, worker="me", attempt=3, lease_expires_at=NOW + LEASE)


@given(st.sampled_from(ClaimVerdict), st.integers(1, 10), st.integers(1, 10))
def test_past_the_allowed_attempts_a_job_is_given_up(verdict: ClaimVerdict, attempt: int, allowed: int) -> None:
    claim = next_claim(a_claim(attempt=attempt, verdict=verdict), "me", NOW, LEASE, allowed)

    given_up = (claim.verdict, claim.reason) == (ClaimVerdict.FAIL, Reason.WORKER_LOST)
    assert claim.attempt == attempt + 1
    assert given_up == (attempt >= allowed)


@pytest.mark.parametrize(("seconds", "expired"), [(-1, True), (0, True), (1, False)])
def test_a_claim_expires_at_its_very_instant(seconds: int, expired: bool) -> None:
    assert is_expired(a_claim(lease_expires_at=NOW + timedelta(seconds=seconds)), NOW) == expired


CLAIM = a_claim(worker="me", attempt=2)
READ_WITH = 'W/"1"'
AS_READ, MOVED = READ_WITH, 'W/"2"'


@pytest.mark.parametrize("etag", [AS_READ, MOVED])
@pytest.mark.parametrize("claim", [CLAIM, replace(CLAIM, lease_expires_at=NOW)])
def test_a_row_under_our_claim_is_held_renewed_or_not(etag: str, claim: Claim) -> None:
    row = a_job(status=JobStatus.PROCESSING, claim=claim, etag=etag)

    assert standing(row, CLAIM, READ_WITH) is Standing.HELD


@pytest.mark.parametrize("status", FINAL)
def test_a_row_that_our_claim_ended_is_settled(status: JobStatus) -> None:
    row = a_job(status=status, settled_by=("me", 2), etag=MOVED)

    assert standing(row, CLAIM, READ_WITH) is Standing.SETTLED


@pytest.mark.parametrize("status", [JobStatus.WAITING, JobStatus.READY])
def test_an_open_row_under_the_same_etag_is_untouched(status: JobStatus) -> None:
    assert standing(a_job(status=status, etag=AS_READ), CLAIM, READ_WITH) is Standing.UNTOUCHED


TAKEN = {
    "gone": None,
    "edited": a_job(etag=MOVED),
    "claimed by another worker": a_job(
        status=JobStatus.PROCESSING, claim=replace(CLAIM, worker="somebody"), etag=MOVED
    ),
    "claimed again later": a_job(status=JobStatus.PROCESSING, claim=replace(CLAIM, attempt=3), etag=MOVED),
    "processing without a claim": a_job(status=JobStatus.PROCESSING, etag=MOVED),
    "claim left behind in an open row": a_job(claim=CLAIM, etag=MOVED),
    "settled by another worker": a_job(status=JobStatus.FAILED, settled_by=("somebody", 2), etag=MOVED),
    "settled by another attempt": a_job(status=JobStatus.FAILED, settled_by=("me", 1), etag=MOVED),
    "ended by a neighbour": a_job(status=JobStatus.FAILED, etag=MOVED),
    "response left behind in an open row": a_job(settled_by=("me", 2), etag=MOVED),
    "an unknown status": a_job(status=None, settled_by=("me", 2), etag=MOVED),
}


@pytest.mark.parametrize("row", TAKEN.values(), ids=TAKEN.keys())
def test_anything_else_was_moved_by_somebody_else(row: Job | None) -> None:
    assert standing(row, CLAIM, READ_WITH) is Standing.TAKEN
