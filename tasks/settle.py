"""The use case: look at jobs, decide, claim, handle, settle. Reads top to bottom like the flow it carries out.

One bad job never touches the others of its chunk, and a process that dies at any line loses nothing: what it claimed
expires and is taken over. All I/O goes through the ports.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import structlog

from config.metrics import JobMetrics
from tasks.claims import first_claim, is_expired, next_claim
from tasks.handlers import Handlers
from tasks.handling import Ending, OutOfTimeError, TryAgain, end
from tasks.missing import missing_packets
from tasks.model import (
    NO_PACKETS,
    Fail,
    Handle,
    Job,
    JobStatus,
    LeaveAlone,
    LookAgain,
    PacketCount,
    Reason,
    Skip,
)
from tasks.ports import ClaimRequest, Held, Hints, JobStore, Leases, Look, NotClaimed, Settled, Settlement
from tasks.response import MissingPackets, Response, write_response
from tasks.rules import Policy, decide, needs_comparison

log = structlog.get_logger(__name__)

RETRY_DELAY = timedelta(seconds=10)
"""Times the attempt: how long a job rests after its handler failed, at most its lease."""


@dataclass(frozen=True, slots=True)
class Settler:
    """Carries jobs to their end. One a process; it holds no state of its own.

    Attributes:
        store: The two tables.
        hints: Where the poller is told when to look again.
        leases: Keeps claims alive during long work.
        handlers: What to do with complete jobs.
        policy: What the operator decided.
        worker: The name of this process, different at every start.
        metrics: Where everything is counted.
        fail_with_action: Whether the product's own action is called after a failed job was settled.
    """

    store: JobStore
    hints: Hints
    leases: Leases
    handlers: Handlers
    policy: Policy
    worker: str
    metrics: JobMetrics
    fail_with_action: bool = False

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
        self._finish(held, look)

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
        self._finish(held, look)

    @contextmanager
    def _queued(self, ids: Sequence[UUID]) -> Iterator[None]:
        """Release the jobs for the poller in any case; after an error, have them looked at again soon."""
        try:
            yield
        except BaseException:
            soon = self.store.now() + RETRY_DELAY
            for job_id in ids:
                self.hints.look_again(job_id, soon)
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
            job.id for job in look.jobs.values() if needs_comparison(job, _count(look, job), look.now, self.policy)
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
            match decide(job, _count(look, job), look.now, self.policy):
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
                self.hints.look_again(job_id, now + RETRY_DELAY)

    def _finish(self, held: Sequence[Held], look: Look) -> None:
        """Handle what was claimed and settle it. Whatever stops this, no claim is kept that nobody works on."""
        if not held:
            return
        settling = False
        try:
            missing = self._missing(held, look)
            outcomes, kept = self._handle(held)
            settling = True
            self._settle(kept, outcomes, missing, look)
        except BaseException:
            # Once settlements are on their way only their leases may decide; before, every job can go on elsewhere.
            if not settling:
                self._hand_back([(one, look.now) for one in held])
            raise

    def _missing(self, held: Sequence[Held], look: Look) -> Mapping[UUID, MissingPackets]:
        """Find out which packets never came, before any handler runs: an error here must not undo another's work."""
        jobs = [one.job for one in held if one.claim.reason == Reason.PACKETS_MISSING]
        partly = [job.id for job in jobs if _count(look, job).numbered]
        numbers = self.store.sequence_numbers(partly) if partly else {}
        return {
            job.id: missing_packets(numbers.get(job.id, iter(())), job.expected_packets)
            for job in jobs
            if job.expected_packets is not None
        }

    def _handle(self, held: Sequence[Held]) -> tuple[list[Ending | TryAgain | None], list[Held]]:
        """Carry out each claim in turn; the jobs after one that ran out of time have no outcome."""
        outcomes: list[Ending | TryAgain | None] = [None] * len(held)
        with self.leases.keep(held) as kept:
            for position, one in enumerate(held):
                with structlog.contextvars.bound_contextvars(job_id=str(one.job.id), attempt=one.claim.attempt):
                    try:
                        outcomes[position] = self._end(one)
                    except OutOfTimeError as struck:
                        log.warning("handler_out_of_time")
                        outcomes[position] = struck.outcome
                        break
        # A claim whose renewal failed may be ours all the same: whoever writes under it next will be told.
        return outcomes, [now or first for now, first in zip(kept.current(), held, strict=True)]

    def _end(self, one: Held) -> Ending | TryAgain:
        return end(one.job, one.claim, self.handlers, lambda: self.store.packets(one.job.id), self.policy.max_attempts)

    def _settle(
        self,
        kept: Sequence[Held],
        outcomes: Sequence[Ending | TryAgain | None],
        missing: Mapping[UUID, MissingPackets],
        look: Look,
    ) -> None:
        endings: list[tuple[Held, Ending]] = []
        handed_back: list[tuple[Held, datetime]] = []
        now = self.store.now()
        for held, outcome in zip(kept, outcomes, strict=True):
            match outcome:
                case Ending():
                    endings.append((held, outcome))
                case TryAgain():
                    handed_back.append((held, now + self._rest(held)))
                case None:
                    handed_back.append((held, now))
        self._write(endings, missing, look)
        self._hand_back(handed_back)

    def _rest(self, held: Held) -> timedelta:
        return min(RETRY_DELAY * held.claim.attempt, self.policy.lease)

    def _hand_back(self, claims: Sequence[tuple[Held, datetime]]) -> None:
        """End leases early, so that the jobs are taken over at those instants instead of when they would expire."""
        if not claims:
            return
        held, until = [one for one, _ in claims], [at for _, at in claims]
        for (one, at), renewed in zip(claims, self.store.renew(held, until), strict=True):
            log.info("job_handed_back", job_id=str(one.job.id), attempt=one.claim.attempt, written=renewed is not None)
            self.hints.look_again(one.job.id, at if renewed else one.claim.lease_expires_at)

    def _write(
        self, endings: Sequence[tuple[Held, Ending]], missing: Mapping[UUID, MissingPackets], look: Look
    ) -> None:
        if not endings:
            return
        settlements = [self._settlement(held, ending, missing.get(held.job.id), look) for held, ending in endings]
        for settlement, outcome in zip(settlements, self.store.settle(settlements), strict=True):
            self._note(settlement, outcome, look)

    def _settlement(self, held: Held, ending: Ending, missing: MissingPackets | None, look: Look) -> Settlement:
        count = _count(look, held.job)
        document = write_response(
            Response(
                status=ending.status,
                reason=ending.reason,
                expected_packets=held.job.expected_packets,
                received_packets=count.distinct,
                duplicate_packets=count.duplicates,
                missing=missing or MissingPackets(),
                attempt=held.claim.attempt,
                worker=held.claim.worker,
                started_at=look.now,
                finished_at=max(look.now, self.store.now()),
                handler=ending.handler,
                result=ending.result,
                error=ending.error,
            )
        )
        return Settlement(held, ending.status, ending.reason, document)

    def _note(self, settlement: Settlement, outcome: Settled, look: Look) -> None:
        job, claim = settlement.held.job, settlement.held.claim
        match outcome:
            case Settled.DONE:
                self._settled(settlement, look)
            case Settled.LOST | Settled.GONE:
                log.warning("settlement_lost", job_id=str(job.id), attempt=claim.attempt, outcome=outcome.name.lower())
            case Settled.NOT_YET:
                log.warning("settlement_pending", job_id=str(job.id), attempt=claim.attempt)
                self.hints.look_again(job.id, claim.lease_expires_at)
            case never:
                assert_never(never)

    def _settled(self, settlement: Settlement, look: Look) -> None:
        job, status, now = settlement.held.job, settlement.status, self.store.now()
        last_packet = _count(look, job).newest or job.created_on
        self.hints.forget([job.id])
        self.metrics.settled.labels(status.label, settlement.reason).inc()
        self.metrics.duration.labels(status.label).observe(max(0.0, (now - job.created_on).total_seconds()))
        self.metrics.wait.labels(status.label).observe(max(0.0, (now - last_packet).total_seconds()))
        log.info(
            "job_settled",
            job_id=str(job.id),
            status=status.label,
            reason=settlement.reason,
            attempt=settlement.held.claim.attempt,
        )
        if self.fail_with_action and status is JobStatus.FAILED:
            self.store.mark_failed(job.id, settlement.reason)


def _count(look: Look, job: Job) -> PacketCount:
    return look.counts.get(job.id, NO_PACKETS)


def _has_ended(look: Look, job_id: UUID) -> bool:
    """Tell whether a job is gone or in a final status, which is never left."""
    job = look.jobs.get(job_id)
    return job is None or (job.status is not None and job.status.is_final)
