"""What an operator does to one job by hand, with the same claims as everybody else."""

from dataclasses import dataclass
from uuid import UUID

from tasks.claims import first_claim, is_expired, next_claim
from tasks.handling import Ending
from tasks.model import Claim, ClaimVerdict, Fail, Job, JobStatus, Reason, Skip
from tasks.ports import ClaimRequest, Held, JobStore, Look, NotClaimed, Settled, Settlement
from tasks.response import MissingPackets, Response, write_response
from tasks.rules import Policy


class RefusedError(Exception):
    """What was asked cannot be done to this job; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """Ends jobs as an operator says.

    Attributes:
        store: The two tables.
        policy: The lease that a claim gets.
        worker: The name of this process.
    """

    store: JobStore
    policy: Policy
    worker: str

    def look(self, job_id: UUID) -> Look:
        """Read a job and count its packets.

        Raises:
            RefusedError: When there is no such job.
        """
        look = self.store.look([job_id])
        if job_id not in look.jobs:
            raise RefusedError(f"There is no job {job_id}.")
        return look

    def end(self, job_id: UUID, verdict: Skip | Fail) -> JobStatus:
        """Claim a job and settle it as Skipped or Failed.

        Args:
            job_id: An open job, or one whose claim has expired.
            verdict: How it is to end.

        Returns:
            The final status.

        Raises:
            RefusedError: When the job is not to be ended, or somebody else was faster.
        """
        look = self.look(job_id)
        job = look.jobs[job_id]
        (held,) = self.store.claim([ClaimRequest(job, self._claim(job, verdict, look))])
        if isinstance(held, NotClaimed):
            raise RefusedError(f"The job {job_id} could not be claimed ({held.name.lower()}): look at it again.")
        ending = Ending(JobStatus.SKIPPED if isinstance(verdict, Skip) else JobStatus.FAILED, Reason.OPERATOR)
        (settled,) = self.store.settle([self._settlement(held, ending, look)])
        if settled is not Settled.DONE:
            raise RefusedError(f"The job {job_id} could not be settled ({settled.name.lower()}): look at it again.")
        return ending.status

    def _claim(self, job: Job, verdict: Skip | Fail, look: Look) -> Claim:
        if job.status is not None and job.status.is_open:
            return first_claim(job, verdict, self.worker, look.now, self.policy.lease)
        if job.status is JobStatus.PROCESSING and job.claim is not None and is_expired(job.claim, look.now):
            taken = next_claim(job.claim, self.worker, look.now, self.policy.lease, self.policy.max_attempts)
            kind = ClaimVerdict.SKIP if isinstance(verdict, Skip) else ClaimVerdict.FAIL
            return Claim(taken.worker, taken.attempt, taken.lease_expires_at, taken.claimed_from, kind, verdict.reason)
        raise RefusedError(f"The job {job.id} {_why_not(job)}.")

    def _settlement(self, held: Held, ending: Ending, look: Look) -> Settlement:
        count = look.count(held.job.id)
        response = Response(
            status=ending.status,
            reason=ending.reason,
            expected_packets=held.job.expected_packets,
            received_packets=count.distinct,
            duplicate_packets=count.duplicates,
            missing=MissingPackets(),
            attempt=held.claim.attempt,
            worker=held.claim.worker,
            started_at=look.now,
            finished_at=max(look.now, self.store.now()),
        )
        return Settlement(held, ending.status, ending.reason, write_response(response))


def _why_not(job: Job) -> str:
    if job.status is None:
        return "has no status, so nothing is done to it"
    if job.status.is_final:
        return f"has ended already ({job.status.label}), which is never changed"
    if job.claim is None:
        return "is in Processing by somebody else, which is never touched"
    return f"is being worked on by {job.claim.worker} until {job.claim.lease_expires_at.isoformat()}"
