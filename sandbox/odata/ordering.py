"""`$orderby`, and the place in an ordering where a page ended: paging goes on after the last row, not after a count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.columns import TEXT
from sandbox.errors import bad_query
from sandbox.odata.scope import Scope
from sandbox.odata.where import ALWAYS, Sql


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an ordering: SQL and direction."""

    sql: str
    descending: bool = False

    @property
    def clause(self) -> str:
        """Its part of ORDER BY."""
        return f"{self.sql} DESC" if self.descending else self.sql

    def beyond(self, value: Any) -> Sql:
        """Rows that come after this value. Rows without a value come first, last when descending."""
        if value is None:
            return Sql("0") if self.descending else Sql(f"{self.sql} IS NOT NULL")
        if self.descending:
            return Sql(f"({self.sql} < ? OR {self.sql} IS NULL)", (value,))
        return Sql(f"{self.sql} > ?", (value,))


def parse_order(text: str | None, scope: Scope) -> tuple[SortKey, ...]:
    """The keys of an `$orderby`, and last the row itself, so that the order is total.

    Raises:
        DataverseError: For a column that is not there, or a direction that is none.
    """
    keys = [_sort_key(part.split(), scope) for part in text.split(",")] if text else []
    return (*keys, SortKey(f"{scope.alias}.rowid"))


def _sort_key(words: list[str], scope: Scope) -> SortKey:
    match words:
        case [name] | [name, "asc"]:
            descending = False
        case [name, "desc"]:
            descending = True
        case _:
            raise bad_query(f"Syntax error in $orderby near '{' '.join(words)}'.")
    located = scope.locate(tuple(name.split("/")))
    sql = f"fold({located.sql})" if located.column.kind in TEXT else located.sql
    return SortKey(sql, descending)


def order_clause(keys: Sequence[SortKey]) -> str:
    """The ORDER BY of these keys."""
    return ", ".join(key.clause for key in keys)


def after(keys: Sequence[SortKey], values: Sequence[Any]) -> Sql:
    """The rows behind the one with these values."""
    if not keys:
        return Sql("0")
    head, value = keys[0], values[0]
    beyond = head.beyond(value)
    if len(keys) == 1:
        return beyond
    rest = after(keys[1:], values[1:])
    text = f"({beyond.text} OR ({head.sql} IS ? AND {rest.text}))"
    parameters = (*beyond.parameters, value, *rest.parameters)
    bound = _lower_bound(head, value)
    return (
        Sql(f"{bound.text} AND {text}", (*bound.parameters, *parameters))
        if bound is not ALWAYS
        else Sql(text, parameters)
    )


def _lower_bound(head: SortKey, value: Any) -> Sql:
    """Said apart, because an index can use it."""
    if value is None or head.descending:
        return ALWAYS
    return Sql(f"{head.sql} >= ?", (value,))
