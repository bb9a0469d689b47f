"""The use case: look at jobs, decide, claim, and have them finished. Reads top to bottom like the flow it carries out.

One bad job never touches the others of its chunk, and a process that dies at any line loses nothing: what it claimed
expires and is taken over. All I/O goes through the ports.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import structlog

from config.metrics import JobMetrics
from tasks.claims import first_claim, is_expired, next_claim
from tasks.finish import Finisher
from tasks.model import Fail, Handle, Job, JobStatus, LeaveAlone, LookAgain, Reason, Skip
from tasks.ports import ClaimRequest, Held, Hints, JobStore, Look, NotClaimed
from tasks.rules import Policy, decide, needs_comparison

log = structlog.get_logger(__name__)

SOON = timedelta(seconds=10)
"""When jobs are looked at again that could not be looked at, or not be claimed, because of an error."""


@dataclass(frozen=True, slots=True)
class Settler:
    """Carries jobs to their end. One a process; it holds no state of its own.

    Attributes:
        store: The two tables.
        hints: Where the poller is told when to look again.
        finisher: Handles and settles what was claimed.
        policy: What the operator decided.
        worker: The name of this process, different at every start.
        metrics: Where everything is counted.
    """

    store: JobStore
    hints: Hints
    finisher: Finisher
    policy: Policy
    worker: str
    metrics: JobMetrics

    def settle(self, ids: Sequence[UUID]) -> None:
        """Carry a chunk of jobs as far as they can go now.

        Args:
            ids: Up to a chunk of jobs, in any state.

        Raises:
            Exception: What the store raises when Dataverse cannot be reached; every job is then looked at again.
        """
        with self._queued(ids):
            look = self._look(ids)
            held = self._claim(self._decided(look), look)
        self._see_to_other_claims(look)
        self.finisher.finish(held, look)

    def rescue(self, job_id: UUID) -> None:
        """Take over one job whose claim has expired; leave it alone otherwise.

        Args:
            job_id: The job.

        Raises:
            Exception: What the store raises when Dataverse cannot be reached; the job is then looked at again.
        """
        with self._queued([job_id]):
            look = self._look([job_id])
            job = look.jobs.get(job_id)
            held = [] if job is None else self._take_over(job, look)
        self.finisher.finish(held, look)

    @contextmanager
    def _queued(self, ids: Sequence[UUID]) -> Iterator[None]:
        """Release the jobs for the poller in any case; after an error, have them looked at again soon."""
        try:
            yield
        except BaseException:
            at = self.store.now() + SOON
            for job_id in ids:
                self.hints.look_again(job_id, at)
            raise
        finally:
            self.hints.release(ids)

    def _look(self, ids: Sequence[UUID]) -> Look:
        look = self.store.look(ids)
        for job_id in ids:
            if job_id not in look.jobs:
                log.info("job_gone", job_id=str(job_id))
        self.hints.forget([job_id for job_id in ids if _has_ended(look, job_id)])
        for count in look.counts.values():
            self.metrics.packets_counted.inc(count.rows)
            self.metrics.packets_duplicate.inc(count.duplicates)
        return self._compared(look)

    def _compared(self, look: Look) -> Look:
        """Compare the copies of packets for the jobs whose verdict hangs on that."""
        pending = [
            job.id for job in look.jobs.values() if needs_comparison(job, look.count(job.id), look.now, self.policy)
        ]
        if not pending:
            return look
        conflicts = self.store.conflicting(pending)
        compared = {job_id: replace(look.counts[job_id], conflicting=conflicts[job_id]) for job_id in pending}
        return replace(look, counts={**look.counts, **compared})

    def _decided(self, look: Look) -> list[ClaimRequest]:
        """Decide each job; note when the undecided are to be looked at again, and return the claims to be made."""
        requests = []
        for job in look.jobs.values():
            match decide(job, look.count(job.id), look.now, self.policy):
                case LeaveAlone():
                    continue
                case LookAgain(at=at):
                    self.hints.look_again(job.id, at)
                case Skip() | Fail() | Handle() as verdict:
                    claim = first_claim(job, verdict, self.worker, look.now, self.policy.lease)
                    requests.append(ClaimRequest(job, claim))
                case never:
                    assert_never(never)
        return requests

    def _see_to_other_claims(self, look: Look) -> None:
        """See to it that claims met in this chunk are not forgotten: an expired one is taken over, each job alone."""
        for job in look.jobs.values():
            if job.status is not JobStatus.PROCESSING or job.claim is None:
                continue
            if is_expired(job.claim, look.now):
                self.hints.rescue(job.id)
            else:
                self.hints.look_again(job.id, job.claim.lease_expires_at)

    def _take_over(self, job: Job, look: Look) -> list[Held]:
        if job.status is not JobStatus.PROCESSING or job.claim is None:
            return []
        if not is_expired(job.claim, look.now):
            self.hints.look_again(job.id, job.claim.lease_expires_at)
            return []
        claim = next_claim(job.claim, self.worker, look.now, self.policy.lease, self.policy.max_attempts)
        held = self._claim([ClaimRequest(job, claim)], look)
        if held:
            given_up = claim.reason == Reason.WORKER_LOST
            self.metrics.rescued.labels("worker_lost" if given_up else "claimed").inc()
            log.warning("job_rescued", job_id=str(job.id), attempt=claim.attempt, lost_worker=job.claim.worker)
        return held

    def _claim(self, requests: Sequence[ClaimRequest], look: Look) -> list[Held]:
        if not requests:
            return []
        won = []
        for request, outcome in zip(requests, self.store.claim(requests), strict=True):
            if isinstance(outcome, Held):
                self.metrics.claims.labels("won").inc()
                won.append(outcome)
            else:
                self._not_claimed(request, outcome, look.now)
        return won

    def _not_claimed(self, request: ClaimRequest, outcome: NotClaimed, now: datetime) -> None:
        job_id, rescuing = request.job.id, request.claim.attempt > 1
        label = "error" if outcome is NotClaimed.ERROR else "lost"
        self.metrics.claims.labels(label).inc()
        if rescuing:
            self.metrics.rescued.labels(label).inc()
        match outcome:
            case NotClaimed.LOST:
                log.info("claim_lost", job_id=str(job_id))
            case NotClaimed.GONE:
                log.info("job_gone", job_id=str(job_id))
            case NotClaimed.ERROR:
                self.hints.look_again(job_id, now + SOON)


def _has_ended(look: Look, job_id: UUID) -> bool:
    """Tell whether a job is gone or in a final status, which is never left."""
    job = look.jobs.get(job_id)
    return job is None or (job.status is not None and job.status.is_final)
