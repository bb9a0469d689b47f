"""Guarded writes to job rows, whose outcome is always found out.

Each write carries the ETag that its row must still have. Where an answer is lost, or says that the row has changed, the
row is read back and compared before anything else happens: a write is never repeated blindly, and never given up while
the row is still ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import UUID

import stamina
import structlog

from tasks.model import Job
from worker.dataverse.answers import Part
from worker.dataverse.batch import update
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import DataverseError, PreconditionFailedError, RowGoneError
from worker.store.columns import JobTable

log = structlog.get_logger(__name__)

ROUNDS = 6
"""How often a write is sent while the row is still ours."""

ROUND_SECONDS = 45.0
"""For how long; the lease decides afterwards."""


class Outcome(Enum):
    """What became of a write."""

    DONE = auto()
    LOST = auto()  # somebody else moved the row
    GONE = auto()  # the row was deleted
    NOT_YET = auto()  # the row is still ours, or nobody could find out


@dataclass(frozen=True, slots=True)
class Write:
    """One change to one row.

    Attributes:
        job_id: The row.
        etag: What its ETag must be.
        changes: The columns to change.
        is_done: Recognises the row after this write.
        is_ours: Recognises a row on which this write may still be tried, with the row's own ETag.
        reads_back_conflicts: Whether a row that has changed may nevertheless be ours.
    """

    job_id: UUID
    etag: str
    changes: Mapping[str, Any]
    is_done: Callable[[Job], bool]
    is_ours: Callable[[Job], bool]
    reads_back_conflicts: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write, and the row's ETag after one that was done."""

    outcome: Outcome
    etag: str = ""


class GuardedWriter:
    """Sends guarded writes in batches until the outcome of each is known, or patience runs out."""

    def __init__(self, client: DataverseClient, read_back: Callable[[Sequence[UUID]], Mapping[UUID, Job]]) -> None:
        """Make it.

        Args:
            client: Where writes go.
            read_back: Reads rows with what stands in their msdyn_responsejson; a deleted row is absent.
        """
        self._client = client
        self._read_back = read_back

    def write(self, writes: Sequence[Write], *, operation: str) -> list[Written]:
        """Write to rows, in one request where nothing goes wrong.

        Args:
            writes: What to write.
            operation: What for, as a metric label.

        Returns:
            What became of each, in order. Never raises for what Dataverse does.
        """
        round_of_writes = _Round(writes)
        try:
            for attempt in stamina.retry_context(
                on=_StillOpenError, attempts=ROUNDS, timeout=ROUND_SECONDS, wait_initial=0.2, wait_max=10
            ):
                with attempt:
                    self._send(round_of_writes, operation, is_first=attempt.num == 1)
                    round_of_writes.ensure_closed()
        except _StillOpenError:
            log.warning("writes_open", operation=operation, writes=len(round_of_writes.open))
        return round_of_writes.results()

    def _send(self, current: "_Round", operation: str, *, is_first: bool) -> None:
        numbers = sorted(current.open)
        for number, answer in zip(numbers, self._answers(current, numbers, operation), strict=True):
            match answer:
                case Part():
                    current.close(number, Written(Outcome.DONE, answer.etag))
                case RowGoneError():
                    current.close(number, Written(Outcome.GONE))
                case PreconditionFailedError() if is_first and not current.writes[number].reads_back_conflicts:
                    current.close(number, Written(Outcome.LOST))
                case PreconditionFailedError() | DataverseError(transient=True):
                    continue  # read back below
                case DataverseError():
                    log.error("write_refused", operation=operation, error=str(answer))
                    current.close(number, Written(Outcome.NOT_YET))
        if current.open:
            self._compare(current)

    def _answers(self, current: "_Round", numbers: Sequence[int], operation: str) -> Sequence[Part | DataverseError]:
        operations = [
            update(
                JobTable.ENTITY_SET,
                current.writes[number].job_id,
                current.writes[number].changes,
                etag=current.open[number],
                select=(JobTable.ID,),
            )
            for number in numbers
        ]
        try:
            return self._client.batch(operations, operation=operation).parts
        except DataverseError as error:
            log.warning("batch_of_writes_failed", operation=operation, error=str(error), writes=len(numbers))
            return [error] * len(numbers)

    def _compare(self, current: "_Round") -> None:
        """Read the rows back whose writes are in doubt, and recognise what became of them."""
        numbers = sorted(current.open)
        try:
            rows = self._read_back([current.writes[number].job_id for number in numbers])
        except DataverseError as error:
            log.warning("read_back_failed", error=str(error), writes=len(numbers))
            return
        for number in numbers:
            write, row = current.writes[number], rows.get(current.writes[number].job_id)
            if row is None:
                current.close(number, Written(Outcome.GONE))
            elif write.is_done(row):
                current.close(number, Written(Outcome.DONE, row.etag))
            elif write.is_ours(row):
                current.open[number] = row.etag
            else:
                current.close(number, Written(Outcome.LOST))


class _StillOpenError(Exception):
    """Some writes of a round are not known to be done, lost or gone."""


class _Round:
    """The writes of one call: which are open, under which ETag, and what became of the others."""

    def __init__(self, writes: Sequence[Write]) -> None:
        self.writes = writes
        self.open = {number: write.etag for number, write in enumerate(writes)}
        self._closed: dict[int, Written] = {}

    def close(self, number: int, written: Written) -> None:
        del self.open[number]
        self._closed[number] = written

    def ensure_closed(self) -> None:
        if self.open:
            raise _StillOpenError

    def results(self) -> list[Written]:
        return [self._closed.get(number, Written(Outcome.NOT_YET)) for number in range(len(self.writes))]
