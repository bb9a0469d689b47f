"""The poller's questions: implements `worker.poller.ports.PollStore` over the two tables."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tasks.model import ACTIVE, OPEN_STATUSES, JobStatus, PacketCount
from tasks.ports import Look
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import AggregateLimitError
from worker.dataverse.fetchxml import Aggregate, Fetch, Link, condition
from worker.dataverse.odata import Filter, Query, eq, ge, lt
from worker.poller.ports import Arrivals, JobPage
from worker.store.columns import JOB_COLUMNS, JobTable, PacketTable
from worker.store.jobs import DataverseJobStore
from worker.store.packets import PacketReader
from worker.store.rows import read_job

NARROWEST_WINDOW = timedelta(seconds=1)
"""Dates are whole seconds: what arrived in one of them cannot be divided further."""

OPEN = sorted(OPEN_STATUSES)


class PollQuestions:
    """Finds jobs. Every method raises `DataverseError` when Dataverse cannot be reached."""

    def __init__(self, client: DataverseClient) -> None:
        self._client = client
        self._jobs = DataverseJobStore(client)
        self._packets = PacketReader(client)

    def changed_since(self, since: datetime) -> Iterator[JobPage]:
        """Give the Waiting and Ready rows that were created or modified since, in that order."""
        where = _is_open() & ge(JobTable.MODIFIED_ON, since)
        return self._pages(where, (JobTable.MODIFIED_ON, JobTable.ID), "poll_changed")

    def arrived_since(self, since: datetime) -> Iterator[Arrivals]:
        """Count the packets that were created since for Waiting and Ready jobs.

        Yields:
            One window after the other, oldest first: a window that holds more packets than Dataverse aggregates is
            halved, and one of a second, which cannot be, is read packet by packet.
        """
        return self._arrived(since, None)

    def open_jobs(self) -> Iterator[JobPage]:
        """Give all Waiting and Ready rows, oldest first."""
        return self._pages(_is_open(), (JobTable.CREATED_ON, JobTable.ID), "poll_sweep")

    def processing_jobs(self) -> Iterator[JobPage]:
        """Give all Processing rows."""
        return self._pages(eq(JobTable.STATUS, JobStatus.PROCESSING.value), (JobTable.ID,), "poll_rescue")

    def with_claims(self, ids: Sequence[UUID]) -> JobPage:
        """Read these rows with the claims that they hold."""
        return JobPage(list(self._jobs.rows(ids).values()), self.now())

    def survey(self, ids: Sequence[UUID]) -> Look:
        """Read these rows and count their packets."""
        return self._jobs.survey(ids)

    def counts(self, ids: Sequence[UUID]) -> Mapping[UUID, PacketCount]:
        """Count the packets of these jobs; a job without packets is absent."""
        return self._packets.counts(ids)

    def now(self) -> datetime:
        """Give the instant on Dataverse's clock."""
        return self._client.now()

    def _pages(self, where: Filter, order_by: Sequence[str], operation: str) -> Iterator[JobPage]:
        query = Query(JobTable.ENTITY_SET, JOB_COLUMNS, where, order_by)
        for page in self._client.pages(query, operation=operation):
            yield JobPage([read_job(row) for row in page.rows], page.date)

    def _arrived(self, since: datetime, until: datetime | None) -> Iterator[Arrivals]:
        try:
            yield self._aggregated(since, until)
        except AggregateLimitError:
            end = until or self.now() + NARROWEST_WINDOW
            if end - since <= NARROWEST_WINDOW:
                yield from self._paged(since, until)
                return
            middle = (since + (end - since) / 2).replace(microsecond=0)
            middle = max(middle, since + NARROWEST_WINDOW)
            yield from self._arrived(since, middle)
            yield from self._arrived(middle, until)

    def _aggregated(self, since: datetime, until: datetime | None) -> Arrivals:
        packets: dict[UUID, int] = {}
        asked_at: datetime | None = None
        for page in self._client.groups(_arrivals(since, until), operation="poll_arrivals"):
            asked_at = asked_at or page.date
            packets |= {UUID(row["job"]): int(row["packets"]) for row in page.rows}
        return Arrivals(packets, asked_at or self.now())

    def _paged(self, since: datetime, until: datetime | None) -> Iterator[Arrivals]:
        where = eq(PacketTable.STATE, ACTIVE) & ge(PacketTable.CREATED_ON, since)
        if until is not None:
            where &= lt(PacketTable.CREATED_ON, until)
        header = f"{PacketTable.JOB_NAVIGATION}/{JobTable.STATUS}"
        where &= eq(header, OPEN[0].value) | eq(header, OPEN[1].value)
        query = Query(PacketTable.ENTITY_SET, (PacketTable.JOB_VALUE,), where)
        for page in self._client.pages(query, operation="poll_arrivals"):
            yield Arrivals(Counter(UUID(row[PacketTable.JOB_VALUE]) for row in page.rows), page.date)


def _is_open() -> Filter:
    return eq(JobTable.STATUS, JobStatus.WAITING.value) | eq(JobTable.STATUS, JobStatus.READY.value)


def _arrivals(since: datetime, until: datetime | None) -> Fetch:
    window = [condition(PacketTable.CREATED_ON, "ge", since)]
    if until is not None:
        window.append(condition(PacketTable.CREATED_ON, "lt", until))
    is_open = condition(JobTable.STATUS, "in", *(status.value for status in OPEN))
    return Fetch(
        entity_set=PacketTable.ENTITY_SET,
        entity=PacketTable.LOGICAL_NAME,
        group_by=(PacketTable.JOB, "job"),
        aggregates=(Aggregate(PacketTable.ID, "packets", "count"),),
        conditions=(condition(PacketTable.STATE, "eq", ACTIVE), *window),
        links=(Link(JobTable.LOGICAL_NAME, JobTable.ID, PacketTable.JOB, (is_open,)),),
    )
