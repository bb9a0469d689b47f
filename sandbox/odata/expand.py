"""`$expand`: related rows put inside the rows they belong to."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sandbox.columns import Column
from sandbox.database import Database
from sandbox.errors import bad_query, unknown_property
from sandbox.odata.options import Options, make_options, split_outside
from sandbox.odata.ordering import order_clause, parse_order
from sandbox.odata.projection import projection
from sandbox.odata.scope import Scope
from sandbox.odata.syntax import parse_filter
from sandbox.odata.where import ALWAYS, condition_of
from sandbox.preferences import Preferences
from sandbox.tables import TABLES, Table

if TYPE_CHECKING:
    from sandbox.odata.reading import Reader

_AT_ONCE = 500
_NESTED = frozenset({"$select", "$filter", "$orderby", "$top", "$expand", "$count"})


@dataclass(frozen=True, slots=True)
class Expansion:
    """One navigation property of an `$expand`, with the options between its brackets."""

    navigation: str
    options: Options


@lru_cache(maxsize=256)
def parse_expand(text: str) -> tuple[Expansion, ...]:
    """The navigation properties an `$expand` names.

    Raises:
        DataverseError: When it does not parse.
    """
    return tuple(_one(part.strip()) for part in split_outside(text, ","))


def _one(text: str) -> Expansion:
    name, bracket, rest = text.partition("(")
    if not bracket:
        return Expansion(name, Options())
    if not rest.endswith(")"):
        raise bad_query(f"Found an unbalanced bracket expression in '{text}'.")
    found: dict[str, str] = {}
    for part in split_outside(rest[:-1], ";"):
        option, _, value = part.partition("=")
        if option.strip() not in _NESTED:
            raise bad_query(f"Term '{part}' is not valid in a $select or $expand expression.")
        found[option.strip().removeprefix("$")] = value
    return Expansion(name, make_options(found))


def context_of(text: str | None) -> str:
    """How a context URL repeats an `$expand`."""
    if text is None:
        return ""
    return ",".join(f"{part.navigation}({part.options.select or ''})" for part in parse_expand(text))


def attach(
    database: Database, reader: Reader, table: Table, rows: list[dict[str, Any]], text: str, preferences: Preferences
) -> None:
    """Put the related rows into these rows.

    Raises:
        DataverseError: For a navigation property that is not there.
    """
    for part in parse_expand(text):
        lookup = table.navigation(part.navigation)
        child = table.child(part.navigation)
        if lookup is not None and lookup.target is not None:
            _attach_one(database, reader, table, lookup, rows, part, preferences)
        elif child is not None:
            _attach_many(database, reader, table, child, rows, part, preferences)
        else:
            raise unknown_property(part.navigation, table.name)


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _attach_one(
    database: Database,
    reader: Reader,
    table: Table,
    lookup: Column,
    rows: list[dict[str, Any]],
    part: Expansion,
    preferences: Preferences,
) -> None:
    """A single-valued property: the row the lookup points to, or null."""
    target = TABLES[lookup.target or ""]
    leads = _lookup_values(database, table, lookup, [row[table.primary_id] for row in rows])
    shown = projection(target.name, part.options.select)
    related: dict[str, dict[str, Any]] = {}
    for chunk in _chunks(sorted({key for key in leads.values() if key is not None})):
        marks = ", ".join("?" * len(chunk))
        sql = f"SELECT {shown.sql('t')} FROM {target.name} t WHERE t.{target.primary_id} IN ({marks})"
        found = reader.shape(database.rows(sql, chunk), shown, preferences)
        if part.options.expand is not None:
            attach(database, reader, target, found, part.options.expand, preferences)
        related.update({row[target.primary_id]: row for row in found})
    for row in rows:
        row[part.navigation] = related.get(leads[row[table.primary_id]] or "")


def _lookup_values(database: Database, table: Table, lookup: Column, keys: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for chunk in _chunks(keys):
        marks = ", ".join("?" * len(chunk))
        key = f"t.{table.primary_id}"
        sql = f"SELECT {key}, {lookup.sql('t')} FROM {table.name} t WHERE {key} IN ({marks})"
        found.update(dict(database.rows(sql, chunk)))
    return found


def _attach_many(
    database: Database,
    reader: Reader,
    table: Table,
    child: tuple[Table, Column],
    rows: list[dict[str, Any]],
    part: Expansion,
    preferences: Preferences,
) -> None:
    """A collection-valued property: the rows that point back, in the order and number asked for."""
    target, lookup = child
    scope = Scope(target)
    options = part.options
    condition = condition_of(parse_filter(options.filter), scope) if options.filter is not None else ALWAYS
    order = order_clause(parse_order(options.orderby, scope))
    shown = projection(target.name, options.select)
    by_parent: dict[str, list[tuple[Any, ...]]] = {row[table.primary_id]: [] for row in rows}
    for chunk in _chunks(list(by_parent)):
        marks = ", ".join("?" * len(chunk))
        sql = (
            f"SELECT {shown.sql('t')}, {lookup.sql('t')} FROM {scope.source} "
            f"WHERE {lookup.sql('t')} IN ({marks}) AND {condition.text} ORDER BY {order}"
        )
        for values in database.rows(sql, (*chunk, *condition.parameters)):
            by_parent[values[-1]].append(values)
    for row in rows:
        found = reader.shape(by_parent[row[table.primary_id]][: options.top], shown, preferences)
        if options.expand is not None:
            attach(database, reader, target, found, options.expand, preferences)
        row[part.navigation] = found
