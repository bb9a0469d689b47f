"""A URL's path below the API's root, taken apart into what it addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sandbox import literals
from sandbox.errors import DataverseError, bad_query, no_such_resource
from sandbox.tables import ENTITY_SETS, Table

_SEGMENT = re.compile(r"([A-Za-z_$][A-Za-z0-9_.$]*)(?:\((.*)\))?")
_KEY_PAIR = re.compile(r"(\w+)\s*=\s*(.+)")


@dataclass(frozen=True, slots=True)
class Segment:
    """One step of a path: a name and what stands in its brackets."""

    name: str
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class RowAddress:
    """A row by its id."""

    table: Table
    key: str

    @property
    def path(self) -> str:
        """Its path below the root."""
        return f"{self.table.entity_set}({self.key})"


@lru_cache(maxsize=4096)
def segments(path: str) -> tuple[Segment, ...]:
    """The steps of a path.

    Raises:
        DataverseError: When a step is no name.
    """
    return tuple(_segment(part) for part in _split(path.strip("/")))


def _split(path: str) -> list[str]:
    """Split at slashes outside brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(path):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "/" and depth == 0:
            parts.append(path[start:position])
            start = position + 1
    return [*parts, path[start:]]


def _segment(text: str) -> Segment:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise no_such_resource(text)
    return Segment(match.group(1), match.group(2))


def table_of(segment: Segment) -> Table:
    """The table whose entity set a segment names; the case has to be right.

    Raises:
        DataverseError: When there is none.
    """
    table = ENTITY_SETS.get(segment.name)
    if table is None:
        raise no_such_resource(segment.name)
    return table


def key_of(table: Table, arguments: str) -> str:
    """The row id in brackets, bare or as `primaryid=...`.

    Raises:
        DataverseError: When it is no id, or names an alternate key: these tables have none.
    """
    text = arguments.strip()
    pair = _KEY_PAIR.fullmatch(text)
    if pair is not None:
        if pair.group(1) != table.primary_id:
            raise bad_query(f"The key property '{pair.group(1)}' is not a key of entity type '{table.name}'.")
        text = pair.group(2)
    key = literals.guid(text)
    if key is None:
        raise bad_query(
            f"Bad Request - Error in query syntax: '{arguments}' is not a valid key of '{table.entity_set}'."
        )
    return key


def row_address(reference: str) -> RowAddress:
    """The row that a URL in a body points to: absolute, from the root, or relative.

    Raises:
        DataverseError: When it points to no row.
    """
    path = reference.split("?", 1)[0]
    _, found, below = path.partition("/api/data/")
    if found:
        path = below.partition("/")[2]
    steps = segments(path)
    if len(steps) != 1 or steps[0].arguments is None:
        raise bad_query(f"Invalid URI for entity reference: '{reference[:200]}'.")
    try:
        table = table_of(steps[0])
    except DataverseError as error:
        raise bad_query(f"Invalid URI for entity reference: '{reference[:200]}'.") from error
    return RowAddress(table, key_of(table, steps[0].arguments))
