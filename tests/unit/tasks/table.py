"""The two tables in memory: rows with ETags, packets, and every change in order. Knows nothing of claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from tasks.model import MS_PROJECT_CLIENT, JobStatus, Packet
from tests.builders import NOW


class RowGone(Exception):  # noqa: N818 - an answer of Dataverse's
    """404: the row was deleted."""


class RowChanged(Exception):  # noqa: N818 - an answer of Dataverse's
    """412: the row has another ETag by now."""


@dataclass
class Row:
    """One row of msdyn_integrationjob."""

    id: UUID
    version: int
    status: int | None
    is_active: bool
    type: int | None
    expected: int | None
    regarding: str | None
    created_on: datetime
    modified_on: datetime
    response_json: str | None = None

    @property
    def etag(self) -> str:
        return f'W/"{self.version}"'


@dataclass(frozen=True)
class Change:
    """A change of one row's status or response."""

    job_id: UUID
    by: str
    at: datetime
    before: int | None
    after: int | None
    response_json: str | None


class Table:
    """What Dataverse holds. Its methods are what a client or a neighbour may do."""

    def __init__(self) -> None:
        self.now = NOW
        self.rows: dict[UUID, Row] = {}
        self.packets: dict[UUID, list[tuple[Packet, datetime]]] = {}
        self.changes: list[Change] = []
        self._version = 1000

    def create(
        self,
        *,
        status: int | None = JobStatus.WAITING,
        expected: int | None = 3,
        kind: int | None = MS_PROJECT_CLIENT,
        is_active: bool = True,
        regarding: str | None = "msdyn_project",
        packets: Sequence[int | None] = (),
    ) -> UUID:
        """Create a job and packets that all have the same payload."""
        job_id = uuid4()
        self.rows[job_id] = Row(
            job_id, self._next_version(), status, is_active, kind, expected, regarding, self.now, self.now
        )
        self.packets[job_id] = []
        for number in packets:
            self.add_packet(job_id, number)
        return job_id

    def add_packet(self, job_id: UUID, number: int | None, payload: str = "{}") -> None:
        """Create a packet, which leaves the job's row as it is."""
        self.packets[job_id].append((Packet(uuid4(), number, payload, None), self.now))

    def edit(self, job_id: UUID, **columns: object) -> None:
        """Change columns as a neighbour does: without an If-Match."""
        row = self.rows[job_id]
        before = row.status
        for name, value in columns.items():
            setattr(row, name, value)
        self._touch(row, "neighbour", before)

    def delete(self, job_id: UUID) -> None:
        """Delete a job and its packets with it."""
        del self.rows[job_id], self.packets[job_id]

    def update(self, job_id: UUID, etag: str, status: int | None, response_json: str, by: str) -> None:
        """Change a row as this project does: guarded.

        Raises:
            RowGone: When there is no such row.
            RowChanged: When the ETag no longer matches.
        """
        if job_id not in self.rows:
            raise RowGone
        row = self.rows[job_id]
        if row.etag != etag:
            raise RowChanged
        before = row.status
        row.status = row.status if status is None else status
        row.response_json = response_json
        self._touch(row, by, before)

    def status(self, job_id: UUID) -> int | None:
        """Tell a job's status."""
        return self.rows[job_id].status

    def pass_time(self, span: timedelta) -> None:
        """Let time pass on Dataverse's clock."""
        self.now += span

    def _touch(self, row: Row, by: str, before: int | None) -> None:
        row.version = self._next_version()
        row.modified_on = self.now
        self.changes.append(Change(row.id, by, self.now, before, row.status, row.response_json))

    def _next_version(self) -> int:
        self._version += 1
        return self._version
