"""Reads packets: counts them for many jobs at once, streams them for one, finds copies that differ.

A count is one FetchXML aggregate for a group of jobs. Dataverse aggregates 50,000 rows at the most, so a group that is
too large is halved, and a single job that is too large is counted by ranges of its sequence numbers.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from hashlib import sha256
from uuid import UUID

from tasks.model import ACTIVE, NO_PACKETS, Packet, PacketCount
from worker.dataverse.answers import Part
from worker.dataverse.batch import Operation, read
from worker.dataverse.client import MAX_PAGE, DataverseClient
from worker.dataverse.errors import AggregateLimitError, DataverseError
from worker.dataverse.fetchxml import Aggregate, Condition, Fetch, condition
from worker.dataverse.odata import Filter, Query, eq, is_in
from worker.store.columns import PacketTable
from worker.store.rows import Row, add_copies, add_counts, count_rows, read_count, read_packet

JOBS_PER_AGGREGATE = 100
"""Jobs counted by one aggregate: short of every limit on a URL or on a condition's values."""

NUMBERS_PER_QUERY = 100
"""Sequence numbers asked for by one query, likewise."""

PAYLOAD_PAGE = 50
"""Rows a page where payloads are read, each up to two megabytes."""

COMPARED_PAGE = 10
"""Rows a page where the copies of a whole chunk's packets are compared at once."""

HIGHEST_NUMBER = 2_147_483_647


def in_groups(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    """Split jobs into groups of which each is counted by one aggregate."""
    return [ids[start : start + JOBS_PER_AGGREGATE] for start in range(0, len(ids), JOBS_PER_AGGREGATE)]


def count_operation(ids: Sequence[UUID], *narrower: Condition) -> Operation:
    """Count the active packets of some jobs, a group a job; a job without packets has no group.

    Args:
        ids: The jobs.
        narrower: What else must hold for a packet to count.
    """
    of_these = condition(PacketTable.JOB, "in", *ids)
    fetch = Fetch(
        entity_set=PacketTable.ENTITY_SET,
        entity=PacketTable.LOGICAL_NAME,
        group_by=(PacketTable.JOB, "job"),
        aggregates=(
            Aggregate(PacketTable.ID, "rows", "count"),
            Aggregate(PacketTable.SEQUENCE_NUMBER, "numbered", "countcolumn"),
            Aggregate(PacketTable.SEQUENCE_NUMBER, "distinct", "countcolumn", distinct=True),
            Aggregate(PacketTable.SEQUENCE_NUMBER, "lowest", "min"),
            Aggregate(PacketTable.SEQUENCE_NUMBER, "highest", "max"),
            Aggregate(PacketTable.CREATED_ON, "newest", "max"),
        ),
        conditions=(of_these, condition(PacketTable.STATE, "eq", ACTIVE), *narrower),
    )
    return read(fetch.path())


class PacketReader:
    """Asks about packets. Raises `DataverseError` when Dataverse cannot be reached."""

    def __init__(self, client: DataverseClient) -> None:
        self._client = client

    def counts(self, ids: Sequence[UUID]) -> dict[UUID, PacketCount]:
        """Count the packets of many jobs in one request.

        Args:
            ids: Up to 100,000 jobs.

        Returns:
            By job, its count; a job without packets is absent.
        """
        if not ids:
            return {}
        groups = in_groups(ids)
        answer = self._client.batch([count_operation(group) for group in groups], operation="count_packets")
        counts: dict[UUID, PacketCount] = {}
        for group, part in zip(groups, answer.parts, strict=True):
            counts |= self.resolve_count(group, part)
        return counts

    def resolve_count(self, ids: Sequence[UUID], part: Part | DataverseError) -> dict[UUID, PacketCount]:
        """Read the count of one group out of a batch; a group too large to be aggregated is halved and asked again.

        Raises:
            DataverseError: When the group was answered with any other error.
        """
        if isinstance(part, AggregateLimitError):
            if len(ids) == 1:
                return {ids[0]: self._count_by_ranges(ids[0])}
            middle = len(ids) // 2
            return self._count_group(ids[:middle]) | self._count_group(ids[middle:])
        return {UUID(row["job"]): read_count(row) for row in _answered(part).rows}

    def numbers(self, ids: Sequence[UUID]) -> dict[UUID, Iterator[int]]:
        """Give each job's sequence numbers, ascending, repeats included.

        Returns:
            By job, an iterator; the first pages of all jobs are read in one request, further ones when they are needed.
        """
        firsts = self._client.batch(
            [read(_numbers(job_id).path, page_size=MAX_PAGE) for job_id in ids], operation="read_numbers"
        )
        return {job_id: self._numbers_from(_answered(part)) for job_id, part in zip(ids, firsts.parts, strict=True)}

    def conflicting(self, ids: Sequence[UUID]) -> dict[UUID, bool]:
        """Tell for each job whether copies of a packet differ in payload, as exact text.

        Payloads are compared here because Dataverse's own comparison ignores case. Only those of numbers that occur
        more than once are read, and only their digests are kept.
        """
        repeated = {job_id: sorted(_repeated(numbers)) for job_id, numbers in self.numbers(ids).items()}
        asked = [
            (job_id, numbers[start : start + NUMBERS_PER_QUERY])
            for job_id, numbers in repeated.items()
            for start in range(0, len(numbers), NUMBERS_PER_QUERY)
        ]
        if not asked:
            return dict.fromkeys(ids, False)
        queries = [_payloads(_of(job_id) & is_in(PacketTable.SEQUENCE_NUMBER, some)) for job_id, some in asked]
        firsts = self._client.batch(
            [read(query.path, page_size=COMPARED_PAGE) for query in queries], operation="compare_packets"
        )
        conflicts = dict.fromkeys(ids, False)
        for (job_id, _), part in zip(asked, firsts.parts, strict=True):
            conflicts[job_id] = conflicts[job_id] or _differ(self._packets_from(_answered(part)))
        return conflicts

    def stream(self, job_id: UUID) -> Iterator[Packet]:
        """Stream a job's active packets by sequence number, one page in memory at a time."""
        for page in self._client.pages(_payloads(_of(job_id)), operation="read_packets", page_size=PAYLOAD_PAGE):
            yield from map(read_packet, page.rows)

    def _packets_from(self, first: Part) -> Iterator[Packet]:
        yield from map(read_packet, first.rows)
        if first.next_link is not None:
            pages = self._client.following(first.next_link, operation="compare_packets", page_size=COMPARED_PAGE)
            for page in pages:
                yield from map(read_packet, page.rows)

    def _numbers_from(self, first: Part) -> Iterator[int]:
        yield from _numbers_on(first.rows)
        if first.next_link is not None:
            for page in self._client.following(first.next_link, operation="read_numbers"):
                yield from _numbers_on(page.rows)

    def _count_group(self, ids: Sequence[UUID]) -> dict[UUID, PacketCount]:
        (part,) = self._client.batch([count_operation(ids)], operation="count_packets").parts
        return self.resolve_count(ids, part)

    def _count_by_ranges(self, job_id: UUID) -> PacketCount:
        """Count a job of more than 50,000 packets: by ranges of numbers, which share none, and those without."""
        unnumbered = self._count_where(
            job_id, eq(PacketTable.SEQUENCE_NUMBER, None), condition(PacketTable.SEQUENCE_NUMBER, "null")
        )
        return add_counts(unnumbered, self._count_range(job_id, 0, HIGHEST_NUMBER))

    def _count_range(self, job_id: UUID, lowest: int, highest: int) -> PacketCount:
        bounds = (
            condition(PacketTable.SEQUENCE_NUMBER, "ge", lowest),
            condition(PacketTable.SEQUENCE_NUMBER, "le", highest),
        )
        if lowest == highest:
            return self._count_where(job_id, eq(PacketTable.SEQUENCE_NUMBER, lowest), *bounds)
        try:
            return self._count_narrowed(job_id, *bounds)
        except AggregateLimitError:
            middle = (lowest + highest) // 2
            return add_counts(self._count_range(job_id, lowest, middle), self._count_range(job_id, middle + 1, highest))

    def _count_where(self, job_id: UUID, same_number: Filter, *narrower: Condition) -> PacketCount:
        """Count packets that all have the same number or none, page by page where they are too many to aggregate."""
        try:
            return self._count_narrowed(job_id, *narrower)
        except AggregateLimitError:
            columns = (PacketTable.SEQUENCE_NUMBER, PacketTable.CREATED_ON)
            query = Query(PacketTable.ENTITY_SET, columns, _of(job_id) & same_number)
            pages = self._client.pages(query, operation="count_packets")
            return reduce(add_copies, (count_rows(page.rows) for page in pages), NO_PACKETS)

    def _count_narrowed(self, job_id: UUID, *narrower: Condition) -> PacketCount:
        (part,) = self._client.batch([count_operation([job_id], *narrower)], operation="count_packets").parts
        rows = _answered(part).rows
        return read_count(rows[0]) if rows else NO_PACKETS


def _answered(part: Part | DataverseError) -> Part:
    if isinstance(part, DataverseError):
        raise part
    return part


def _numbers(job_id: UUID) -> Query:
    return Query(
        PacketTable.ENTITY_SET,
        (PacketTable.SEQUENCE_NUMBER,),
        _of(job_id),
        (PacketTable.SEQUENCE_NUMBER, PacketTable.ID),
    )


def _payloads(where: Filter) -> Query:
    return Query(
        PacketTable.ENTITY_SET,
        (PacketTable.ID, PacketTable.SEQUENCE_NUMBER, PacketTable.CHANGES_JSON, PacketTable.FULL_JSON),
        where,
        (PacketTable.SEQUENCE_NUMBER, PacketTable.ID),
    )


def _of(job_id: UUID) -> Filter:
    """Only active rows count."""
    return eq(PacketTable.JOB_VALUE, job_id) & eq(PacketTable.STATE, ACTIVE)


def _differ(packets: Iterator[Packet]) -> bool:
    digests: dict[int | None, bytes] = {}
    for packet in packets:
        digest = _digest(packet)
        if digests.setdefault(packet.sequence_number, digest) != digest:
            return True
    return False


def _numbers_on(rows: Sequence[Row]) -> Iterator[int]:
    for row in rows:
        number = row.get(PacketTable.SEQUENCE_NUMBER)
        if number is not None:
            yield number


def _repeated(numbers: Iterator[int]) -> set[int]:
    repeated = set()
    previous: int | None = None
    for number in numbers:
        if number == previous:
            repeated.add(number)
        previous = number
    return repeated


def _digest(packet: Packet) -> bytes:
    """Digest a payload so that null and empty text differ, and so do the same texts split otherwise."""
    digest = sha256()
    for text in (packet.changes_json, packet.full_json):
        encoded = b"" if text is None else text.encode("utf-8", "surrogatepass")
        digest.update(b"null" if text is None else f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.digest()
