"""Turns rows and aggregates as Dataverse sends them into the domain's values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tasks.model import ACTIVE, Job, JobStatus, Packet, PacketCount
from tasks.response import read_claim, read_settled_by
from worker.dataverse.errors import DataverseError
from worker.store.columns import JobTable, PacketTable

Row = Mapping[str, Any]


class UnreadableRowError(DataverseError):
    """A row lacks what every row of its table has, such as its id: Dataverse was not what answered."""


def read_job(row: Row) -> Job:
    """Read a row of msdyn_integrationjob.

    Args:
        row: The row with its annotations; columns that anybody may leave empty may be null or absent.

    Raises:
        UnreadableRowError: When the id, the ETag or a date that Dataverse itself writes is not there.
    """
    try:
        response = row.get(JobTable.RESPONSE_JSON)
        return Job(
            id=UUID(row[JobTable.ID]),
            etag=row["@odata.etag"],
            name=row.get(JobTable.NAME),
            status=_status(row.get(JobTable.STATUS)),
            is_active=row.get(JobTable.STATE) == ACTIVE,
            type=row.get(JobTable.TYPE),
            expected_packets=row.get(JobTable.EXPECTED_PACKETS),
            regarding_entity=row.get(JobTable.REGARDING_ENTITY),
            regarding_entity_id=row.get(JobTable.REGARDING_ENTITY_ID),
            created_on=_instant(row[JobTable.CREATED_ON]),
            modified_on=_instant(row[JobTable.MODIFIED_ON]),
            claim=read_claim(response),
            settled_by=read_settled_by(response),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRowError(f"a row of {JobTable.ENTITY_SET} cannot be read: {error!r}") from error


def read_packet(row: Row) -> Packet:
    """Read a row of msdyn_integrationjobdetail.

    Raises:
        UnreadableRowError: When the id is not there.
    """
    try:
        return Packet(
            id=UUID(row[PacketTable.ID]),
            sequence_number=row.get(PacketTable.SEQUENCE_NUMBER),
            changes_json=row.get(PacketTable.CHANGES_JSON),
            full_json=row.get(PacketTable.FULL_JSON),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRowError(f"a row of {PacketTable.ENTITY_SET} cannot be read: {error!r}") from error


def read_count(row: Row) -> PacketCount:
    """Read one group of the packet count; FetchXML leaves out what is null.

    Raises:
        UnreadableRowError: When the group has no number of rows.
    """
    try:
        newest = row.get("newest")
        return PacketCount(
            rows=int(row["rows"]),
            numbered=int(row.get("numbered", 0)),
            distinct=int(row.get("distinct", 0)),
            lowest=_number(row.get("lowest")),
            highest=_number(row.get("highest")),
            newest=None if newest is None else _instant(newest),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRowError(f"a packet count cannot be read: {error!r}") from error


def count_rows(rows: Sequence[Row]) -> PacketCount:
    """Count packet rows that were read one by one."""
    numbers = [row[PacketTable.SEQUENCE_NUMBER] for row in rows if row.get(PacketTable.SEQUENCE_NUMBER) is not None]
    return PacketCount(
        rows=len(rows),
        numbered=len(numbers),
        distinct=len(set(numbers)),
        lowest=min(numbers, default=None),
        highest=max(numbers, default=None),
        newest=max((_instant(row[PacketTable.CREATED_ON]) for row in rows), default=None),
    )


def add_copies(one: PacketCount, other: PacketCount) -> PacketCount:
    """Add the counts of two sets of packets that all have one and the same number, or none."""
    return replace(add_counts(one, other), distinct=max(one.distinct, other.distinct))


def add_counts(one: PacketCount, other: PacketCount) -> PacketCount:
    """Add the counts of two sets of packets that share no sequence number."""
    return replace(
        one,
        rows=one.rows + other.rows,
        numbered=one.numbered + other.numbered,
        distinct=one.distinct + other.distinct,
        lowest=min((n for n in (one.lowest, other.lowest) if n is not None), default=None),
        highest=max((n for n in (one.highest, other.highest) if n is not None), default=None),
        newest=max((t for t in (one.newest, other.newest) if t is not None), default=None),
    )


def _status(value: Any) -> JobStatus | None:
    try:
        return JobStatus(value)
    except ValueError:  # null, or an option that somebody added to the table
        return None


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
