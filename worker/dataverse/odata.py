"""OData queries built from values: an id, a name or a number can never change what a query means.

A literal is written by its type (Guids and numbers bare, text in quotes, instants in UTC), then the whole option is
percent-encoded. Column names come from code, never from outside.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import quote
from uuid import UUID

Literal: TypeAlias = UUID | int | str | bool | datetime | None

MAX_URL_LENGTH = 32_768
"""Characters of a URL; 65,536 inside a $batch."""


def literal(value: Literal) -> str:
    """Write a value as an OData literal, not yet percent-encoded."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case UUID():
            return str(value)
        case datetime():
            return instant(value)
        case str():
            return "'" + value.replace("'", "''") + "'"


def instant(value: datetime) -> str:
    """Write an instant in UTC with whole seconds.

    Raises:
        ValueError: For a naive one, of which nobody knows when it is.
    """
    if value.tzinfo is None:
        raise ValueError("an instant needs its offset")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition, written in OData. Made by the functions below, combined with ``&``, ``|`` and ``~``."""

    text: str

    def __and__(self, other: "Filter") -> "Filter":
        """Both hold."""
        return Filter(f"({self.text} and {other.text})")

    def __or__(self, other: "Filter") -> "Filter":
        """Either holds."""
        return Filter(f"({self.text} or {other.text})")

    def __invert__(self) -> "Filter":
        """It does not hold."""
        return Filter(f"not ({self.text})")


def eq(column: str, value: Literal) -> Filter:
    """``column`` equals ``value``; text without regard to case, as Dataverse compares."""
    return Filter(f"{column} eq {literal(value)}")


def ge(column: str, value: Literal) -> Filter:
    """``column`` is ``value`` or more."""
    return Filter(f"{column} ge {literal(value)}")


def lt(column: str, value: Literal) -> Filter:
    """``column`` is less than ``value``."""
    return Filter(f"{column} lt {literal(value)}")


def is_in(column: str, values: Iterable[UUID | int | str]) -> Filter:
    """``column`` equals one of ``values``, by Dataverse's own In function, whose values are all text."""
    listed = json.dumps([str(value) for value in values], ensure_ascii=False, separators=(",", ":"))
    return Filter(f"Microsoft.Dynamics.CRM.In(PropertyName={literal(column)},PropertyValues={listed})")


@dataclass(frozen=True, slots=True)
class Query:
    """A read of one table.

    Attributes:
        entity_set: The table's entity set, in its own case.
        select: The columns wanted.
        where: Which rows.
        order_by: Columns, each perhaps followed by `` desc``.
        top: At most so many rows; not together with paging.
    """

    entity_set: str
    select: Sequence[str]
    where: Filter | None = None
    order_by: Sequence[str] = ()
    top: int | None = None

    @property
    def path(self) -> str:
        """The path below the API's root with its options, percent-encoded."""
        options = {"$select": ",".join(self.select)}
        if self.where is not None:
            options["$filter"] = self.where.text
        if self.order_by:
            options["$orderby"] = ",".join(self.order_by)
        if self.top is not None:
            options["$top"] = str(self.top)
        return f"{self.entity_set}?" + encode(options)


def encode(options: dict[str, str]) -> str:
    """Percent-encode query options; option names keep their dollar sign."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())


def row_path(entity_set: str, row_id: UUID, select: Sequence[str] = ()) -> str:
    """Give the path of one row."""
    path = f"{entity_set}({row_id})"
    return f"{path}?{encode({'$select': ','.join(select)})}" if select else path
