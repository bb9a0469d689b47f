"""Which columns a read answers with, and how a row of the database becomes a row of the Web API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandbox.clock import iso
from sandbox.columns import OPTION_SETS, REFERENCES, WHOLE_NUMBERS, Column, Kind
from sandbox.errors import unknown_property
from sandbox.preferences import FORMATTED, LOOKUP_NAME, LOOKUP_NAVIGATION, Preferences
from sandbox.tables import TABLES, Table

ETAG = "@odata.etag"

NameOf = Callable[[str, str], str | None]
"""The display name of a row, by table and id."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The columns of an answer.

    Args:
        table: The table they come from.
        columns: The columns, the primary id always among them.
        selected: The `$select` as the context URL repeats it, empty for all columns.
        names: The keys of a row, the ETag's first.
    """

    table: Table
    columns: tuple[Column, ...]
    selected: str
    names: tuple[str, ...]

    def sql(self, alias: str) -> str:
        """The SELECT list."""
        version = f"'W/\"' || {alias}.versionnumber || '\"'"
        return ", ".join([version, *(column.sql(alias) for column in self.columns)])

    @property
    def width(self) -> int:
        """How many values of a database row belong to it."""
        return len(self.names)

    def row(self, values: Sequence[Any]) -> dict[str, Any]:
        """A row of the Web API from the values that `sql` read."""
        shown = dict(zip(self.names, values, strict=False))
        for name, convert in _conversions(self.columns):
            if shown[name] is not None:
                shown[name] = convert(shown[name])
        return shown

    def annotated(self, values: Sequence[Any], preferences: Preferences, name_of: NameOf) -> dict[str, Any]:
        """The same with the annotations that were asked for."""
        plain = self.row(values)
        shown: dict[str, Any] = {ETAG: plain[ETAG]}
        for column in self.columns:
            key = column.property_name
            if plain[key] is not None:
                shown.update(value_annotations(column, key, plain[key], preferences, name_of))
            shown[key] = plain[key]
        return shown


@lru_cache(maxsize=512)
def _conversions(columns: tuple[Column, ...]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    found: list[tuple[str, Callable[[Any], Any]]] = []
    for column in columns:
        if column.kind is Kind.DATETIME:
            found.append((column.property_name, iso))
        elif column.kind is Kind.BOOLEAN:
            found.append((column.property_name, bool))
    return tuple(found)


def value_annotations(
    column: Column, key: str, value: Any, preferences: Preferences, name_of: NameOf
) -> dict[str, str]:
    """The annotations of one value: its formatted form and, for a lookup, where it leads."""
    found: dict[str, str | None] = {}
    if preferences.wants(FORMATTED):
        found[f"{key}@{FORMATTED}"] = formatted(column, value, name_of)
    if column.kind in REFERENCES and column.target is not None:
        if preferences.wants(LOOKUP_NAVIGATION):
            found[f"{key}@{LOOKUP_NAVIGATION}"] = column.navigation
        if preferences.wants(LOOKUP_NAME):
            found[f"{key}@{LOOKUP_NAME}"] = column.target
    return {name: text for name, text in found.items() if text is not None}


def formatted(column: Column, value: Any, name_of: NameOf) -> str | None:
    """A value as people read it, or None where its own form is that already."""
    if column.kind in OPTION_SETS:
        return column.option_label(value)
    if column.kind in WHOLE_NUMBERS:
        return f"{value:,}"
    if column.kind is Kind.DATETIME:
        return _local_time(value)
    if column.kind is Kind.BOOLEAN:
        return "Yes" if value else "No"
    if column.kind in REFERENCES and column.target is not None:
        return name_of(column.target, value)
    return None


def _local_time(text: str) -> str:
    """An instant in the form of a user with American settings, which new environments start with."""
    year, month, day = text[:10].split("-")
    hour = int(text[11:13])
    half = "AM" if hour < 12 else "PM"
    return f"{int(month)}/{int(day)}/{year} {hour % 12 or 12}:{text[14:16]} {half}"


@lru_cache(maxsize=512)
def projection(table_name: str, select: str | None) -> Projection:
    """The columns a `$select` names; all of them without one. The primary id comes along in any case.

    Raises:
        DataverseError: For a column that is not there.
    """
    table = TABLES[table_name]
    if not select or select.strip() == "*":
        return _projection(table, table.columns, "")
    names = [name.strip() for name in select.split(",")]
    columns = [_selected(table, name) for name in names if name]
    if columns and not any(column.name == table.primary_id for column in columns):
        columns.append(table.columns[0])
    return _projection(table, tuple(dict.fromkeys(columns)), ",".join(names))


def _selected(table: Table, name: str) -> Column:
    column = table.property(name) or table.navigation(name)
    if column is None:
        raise unknown_property(name, table.name)
    return column


def _projection(table: Table, columns: tuple[Column, ...], selected: str) -> Projection:
    return Projection(table, columns, selected, (ETAG, *(column.property_name for column in columns)))
