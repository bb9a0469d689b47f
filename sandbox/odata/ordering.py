"""`$orderby`, and the place in an ordering where a page ended: paging goes on after the last row, not after a count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.columns import TEXT, Column, Kind
from sandbox.errors import bad_query
from sandbox.odata.scope import Located, Scope
from sandbox.odata.syntax import And, Compare, Member, Node
from sandbox.odata.where import ALWAYS, Sql

_NEVER_NULL = frozenset({"createdon", "modifiedon", "versionnumber"})


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an ordering.

    Args:
        sql: What is sorted by.
        descending: The direction.
        nullable: Whether there may be rows without a value.
    """

    sql: str
    descending: bool = False
    nullable: bool = True

    @property
    def clause(self) -> str:
        """Its part of ORDER BY."""
        return f"{self.sql} DESC" if self.descending else self.sql

    def beyond(self, value: Any) -> Sql:
        """Rows that come after this value. Rows without a value come first, last when descending."""
        if value is None:
            return Sql("0") if self.descending else Sql(f"{self.sql} IS NOT NULL")
        if not self.descending:
            return Sql(f"{self.sql} > ?", (value,))
        if self.nullable:
            return Sql(f"({self.sql} < ? OR {self.sql} IS NULL)", (value,))
        return Sql(f"{self.sql} < ?", (value,))

    def bound(self, value: Any) -> Sql:
        """Rows that come no sooner than this value, said in a way that an index can use."""
        if value is None or (self.descending and self.nullable):
            return ALWAYS
        return Sql(f"{self.sql} {'<=' if self.descending else '>='} ?", (value,))


def sort_key(column: Column, sql: str, *, descending: bool = False) -> SortKey:
    """The key that sorts by a column; text is sorted without regard to case."""
    nullable = column.name not in _NEVER_NULL and column.kind is not Kind.UNIQUEIDENTIFIER
    return SortKey(f"fold({sql})" if column.kind in TEXT else sql, descending, nullable)


def total_order(keys: Sequence[SortKey], scope_alias: str, primary: Column) -> tuple[SortKey, ...]:
    """The keys with the row's id behind them, unless it is among them: no two rows are in the same place."""
    last = sort_key(primary, primary.sql(scope_alias))
    for number, key in enumerate(keys):
        if key.sql == last.sql:
            return tuple(keys[: number + 1])
    return (*keys, last)


def parse_order(text: str | None, scope: Scope, tree: Node | None = None) -> tuple[SortKey, ...]:
    """The keys of an `$orderby`, or of the order that suits the filter where there is none.

    Raises:
        DataverseError: For a column that is not there, or a direction that is none.
    """
    if text:
        keys = [_parsed_key(part.split(), scope) for part in text.split(",")]
    else:
        instant = _filtered_instant(tree, scope)
        keys = [sort_key(instant.column, instant.sql)] if instant is not None else []
    return total_order(keys, scope.alias, scope.table.columns[0])


def _filtered_instant(tree: Node | None, scope: Scope) -> Located | None:
    """The row's own createdon or modifiedon, if the filter bounds it: the rows then come out of its index in order."""
    parts = tree.parts if isinstance(tree, And) else (tree,)
    for part in parts:
        if isinstance(part, Compare) and isinstance(part.left, Member) and len(part.left.path) == 1:
            located = scope.locate(part.left.path)
            if located.column.name in _NEVER_NULL:
                return located
        nested = _filtered_instant(part, scope) if isinstance(part, And) else None
        if nested is not None:
            return nested
    return None


def _parsed_key(words: list[str], scope: Scope) -> SortKey:
    match words:
        case [name] | [name, "asc"]:
            descending = False
        case [name, "desc"]:
            descending = True
        case _:
            raise bad_query(f"Syntax error in $orderby near '{' '.join(words)}'.")
    located = scope.locate(tuple(name.split("/")))
    return sort_key(located.column, located.sql, descending=descending)


def order_clause(keys: Sequence[SortKey]) -> str:
    """The ORDER BY of these keys."""
    return ", ".join(key.clause for key in keys)


def after(keys: Sequence[SortKey], values: Sequence[Any]) -> Sql:
    """The rows behind the one with these values."""
    if None not in values and not any(key.descending for key in keys):
        # Compared as one: an index over the keys then leads straight to the place.
        names = ", ".join(key.sql for key in keys)
        return Sql(f"({names}) > ({', '.join('?' * len(keys))})", tuple(values))
    return _after_one_by_one(keys, values)


def _after_one_by_one(keys: Sequence[SortKey], values: Sequence[Any]) -> Sql:
    head, value = keys[0], values[0]
    beyond = head.beyond(value)
    if len(keys) == 1:
        return beyond
    rest = _after_one_by_one(keys[1:], values[1:])
    bound = head.bound(value)
    text = f"({bound.text} AND ({beyond.text} OR ({head.sql} IS ? AND {rest.text})))"
    return Sql(text, (*bound.parameters, *beyond.parameters, value, *rest.parameters))
