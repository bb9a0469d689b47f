"""The job store: implements `tasks.ports.JobStore` over the two tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

import structlog

from tasks.claims import Standing, standing
from tasks.model import Claim, Job, JobStatus, Packet, PacketCount
from tasks.ports import ClaimRequest, Held, Look, NotClaimed, Settled, Settlement
from tasks.response import write_claim
from worker.dataverse.answers import Part
from worker.dataverse.batch import Operation, read
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import DataverseError
from worker.dataverse.odata import Query, is_in
from worker.store.columns import JOB_COLUMNS, JobTable
from worker.store.packets import PacketReader, count_operation, in_groups
from worker.store.rows import read_job
from worker.store.writes import GuardedWriter, Outcome, Write, Written

log = structlog.get_logger(__name__)

WITH_CLAIM = (*JOB_COLUMNS, JobTable.RESPONSE_JSON)


class DataverseJobStore:
    """Reads, claims and settles jobs. Raises `DataverseError` where a whole read cannot be had; writes never raise."""

    def __init__(self, client: DataverseClient) -> None:
        self._client = client
        self._packets = PacketReader(client)
        self._writer = GuardedWriter(client, self.rows)

    def look(self, ids: Sequence[UUID]) -> Look:
        """Read the rows with their claims and count their packets, in one request."""
        return self._look(ids, WITH_CLAIM, "look")

    def survey(self, ids: Sequence[UUID]) -> Look:
        """Read the rows without their claims, which may be large, and count their packets, in one request."""
        return self._look(ids, JOB_COLUMNS, "survey")

    def rows(self, ids: Sequence[UUID]) -> Mapping[UUID, Job]:
        """Read rows with their claims; a deleted job is absent."""
        answer = self._client.batch([_rows(group, WITH_CLAIM) for group in in_groups(ids)], operation="read_back")
        return {job.id: job for part in answer.parts for job in _jobs(part)}

    def conflicting(self, ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Compare the copies of packets that share a number."""
        return self._packets.conflicting(ids)

    def sequence_numbers(self, ids: Sequence[UUID]) -> Mapping[UUID, Iterator[int]]:
        """Give each job's sequence numbers in ascending order."""
        return self._packets.numbers(ids)

    def packets(self, job_id: UUID) -> Iterator[Packet]:
        """Stream a job's active packets by sequence number."""
        return self._packets.stream(job_id)

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[Held | NotClaimed]:
        """Write claims in one request; lost answers are read back and recognised."""
        written = self._writer.write([_claim_write(request) for request in requests], operation="claim")
        return [_claimed(request, one) for request, one in zip(requests, written, strict=True)]

    def renew(self, held: Sequence[Held], until: Sequence[datetime]) -> Sequence[Held | None]:
        """Move the end of leases in one request."""
        renewed = [
            replace(one, claim=replace(one.claim, lease_expires_at=at)) for one, at in zip(held, until, strict=True)
        ]
        written = self._writer.write([_renewal_write(one) for one in renewed], operation="renew")
        return [
            replace(one, etag=result.etag) if result.outcome is Outcome.DONE else None
            for one, result in zip(renewed, written, strict=True)
        ]

    def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        """Write settlements in one request; lost answers are read back and recognised."""
        written = self._writer.write([_settlement_write(one) for one in settlements], operation="settle")
        return [_settled(one.outcome) for one in written]

    def mark_failed(self, job_id: UUID, message: str) -> None:
        """Call the product's own action for a failed job."""
        try:
            self._client.action(
                JobTable.ENTITY_SET, job_id, JobTable.MARK_AS_FAILED, {"Error": message}, operation="mark_failed"
            )
        except DataverseError as error:
            log.error("mark_failed_refused", job_id=str(job_id), error=str(error))

    def now(self) -> datetime:
        """Give the instant on Dataverse's clock, as far as it is known."""
        return self._client.now()

    def _look(self, ids: Sequence[UUID], columns: Sequence[str], operation: str) -> Look:
        groups = in_groups(ids)
        rows = [_rows(group, columns) for group in groups]
        counts = [count_operation(group) for group in groups]
        answer = self._client.batch([*rows, *counts], operation=operation)
        found = {job.id: job for part in answer.parts[: len(groups)] for job in _jobs(part)}
        counted: dict[UUID, PacketCount] = {}
        for group, part in zip(groups, answer.parts[len(groups) :], strict=True):
            counted |= self._packets.resolve_count(group, part)
        return Look(found, counted, answer.date)


def _rows(ids: Sequence[UUID], columns: Sequence[str]) -> Operation:
    return read(Query(JobTable.ENTITY_SET, columns, is_in(JobTable.ID, ids)).path)


def _jobs(part: Part | DataverseError) -> Iterator[Job]:
    if isinstance(part, DataverseError):
        raise part
    return map(read_job, part.rows)


def _claim_write(request: ClaimRequest) -> Write:
    job, claim = request.job, request.claim
    return Write(
        job_id=job.id,
        etag=job.etag,
        changes={JobTable.STATUS: JobStatus.PROCESSING.value, JobTable.RESPONSE_JSON: write_claim(claim)},
        is_done=lambda row: standing(row, claim, job.etag) is Standing.HELD,
        is_ours=lambda row: standing(row, claim, job.etag) is Standing.UNTOUCHED,
        reads_back_conflicts=False,
    )


def _renewal_write(held: Held) -> Write:
    claim = held.claim
    return Write(
        job_id=held.job.id,
        etag=held.etag,
        changes={JobTable.RESPONSE_JSON: write_claim(claim)},
        is_done=lambda row: _holds(row, claim) and row.claim == claim,
        is_ours=lambda row: _holds(row, claim),
        reads_back_conflicts=True,
    )


def _settlement_write(settlement: Settlement) -> Write:
    held = settlement.held
    return Write(
        job_id=held.job.id,
        etag=held.etag,
        changes={JobTable.STATUS: settlement.status.value, JobTable.RESPONSE_JSON: settlement.document},
        is_done=lambda row: standing(row, held.claim, held.etag) is Standing.SETTLED,
        is_ours=lambda row: _holds(row, held.claim),
        reads_back_conflicts=True,
    )


def _holds(row: Job, claim: Claim) -> bool:
    return standing(row, claim, "") is Standing.HELD


def _claimed(request: ClaimRequest, written: Written) -> Held | NotClaimed:
    match written.outcome:
        case Outcome.DONE:
            return Held(request.job, request.claim, written.etag)
        case Outcome.LOST:
            return NotClaimed.LOST
        case Outcome.GONE:
            return NotClaimed.GONE
        case Outcome.NOT_YET:
            return NotClaimed.ERROR
        case never:
            assert_never(never)


def _settled(outcome: Outcome) -> Settled:
    match outcome:
        case Outcome.DONE:
            return Settled.DONE
        case Outcome.LOST:
            return Settled.LOST
        case Outcome.GONE:
            return Settled.GONE
        case Outcome.NOT_YET:
            return Settled.NOT_YET
        case never:
            assert_never(never)
