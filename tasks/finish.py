"""Carries claimed jobs to their end: the handler's work, the settlement, or handing the claim back for another attempt.

Whatever stops it, no claim is kept that nobody works on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import structlog

from config.metrics import JobMetrics
from tasks.handlers import Handlers
from tasks.handling import Ending, OutOfTimeError, TryAgain, end
from tasks.missing import missing_packets
from tasks.model import JobStatus, Reason
from tasks.ports import Held, Hints, JobStore, Leases, Look, Settled, Settlement
from tasks.response import MissingPackets, Response, write_response
from tasks.rules import Policy

log = structlog.get_logger(__name__)

RETRY_DELAY = timedelta(seconds=10)
"""Times the attempt: how long a job rests after its handler failed, at most its lease."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """Handles and settles what was claimed. One a process; it holds no state of its own.

    Attributes:
        store: The two tables.
        hints: Where the poller is told when to look again.
        leases: Keeps claims alive during long work.
        handlers: What to do with complete jobs.
        policy: What the operator decided.
        metrics: Where everything is counted.
        fail_with_action: Whether the product's own action is called after a failed job was settled.
    """

    store: JobStore
    hints: Hints
    leases: Leases
    handlers: Handlers
    policy: Policy
    metrics: JobMetrics
    fail_with_action: bool = False

    def finish(self, held: Sequence[Held], look: Look) -> None:
        """Handle what was claimed and settle it.

        Args:
            held: The claims that were won, in the order in which they are worked on.
            look: What was seen when they were decided.

        Raises:
            Exception: What the store raises when Dataverse cannot be reached; the claims are handed back or expire.
        """
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
        partly = [job.id for job in jobs if look.count(job.id).numbered]
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
        count = look.count(held.job.id)
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
        last_packet = look.count(job.id).newest or job.created_on
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
