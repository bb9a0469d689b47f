"""`$apply`: filter, then group, then aggregate. The limit of 50,000 rows holds here as it does for FetchXML."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.columns import WHOLE_NUMBERS, Column, Kind
from sandbox.database import Database
from sandbox.errors import aggregate_limit, bad_query
from sandbox.odata.options import Options, split_outside
from sandbox.odata.scope import Scope
from sandbox.odata.syntax import parse_filter
from sandbox.odata.where import Sql, condition_of
from sandbox.tables import Table

MOST_AGGREGATED = 50_000
MOST_GROUPS = 5_000

_AGGREGATE = re.compile(r"\s*(?:\$count|([A-Za-z_][\w/]*)\s+with\s+(\w+))\s+as\s+([A-Za-z_]\w*)\s*")
_METHODS = {"sum": "sum", "min": "min", "max": "max", "average": "avg"}


@dataclass(frozen=True, slots=True)
class Output:
    """One value of a result row: its place in the row, its SQL, and the column it shows."""

    path: tuple[str, ...]
    sql: str
    column: Column | None = None
    is_group: bool = False


def check_limit(database: Database, source: str, condition: Sql) -> None:
    """Refuse to aggregate more rows than the service does.

    Raises:
        DataverseError: When there are more.
    """
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {condition.text} LIMIT {MOST_AGGREGATED + 1})"
    if database.value(sql, condition.parameters) > MOST_AGGREGATED:
        raise aggregate_limit()


class Aggregator:
    """Runs `$apply`.

    Args:
        database: Where the rows are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, table: Table, options: Options, root: str) -> dict[str, Any]:
        """The document of an aggregation.

        Raises:
            DataverseError: When it does not parse, or has too many rows to aggregate.
        """
        scope = Scope(table)
        conditions, outputs = _pipeline(options.apply or "", scope)
        if options.filter is not None:
            conditions.append(condition_of(parse_filter(options.filter), scope))
        condition = _all_of(conditions)
        order = _order(options.orderby, outputs)
        check_limit(self._database, scope.source, condition)
        rows = self._database.rows(_sql(scope, outputs, condition, order), condition.parameters)
        value = [_shown(outputs, row) for row in rows]
        return {"@odata.context": f"{root}/$metadata#{table.entity_set}", "value": value}


def _all_of(conditions: Sequence[Sql]) -> Sql:
    text = " AND ".join(f"({condition.text})" for condition in conditions) or "1"
    return Sql(text, tuple(value for condition in conditions for value in condition.parameters))


def _sql(scope: Scope, outputs: Sequence[Output], condition: Sql, order: str) -> str:
    groups = ", ".join(output.sql for output in outputs if output.is_group)
    selected = ", ".join(output.sql for output in outputs)
    grouping = f" GROUP BY {groups}" if groups else ""
    return f"SELECT {selected} FROM {scope.source} WHERE {condition.text}{grouping}{order} LIMIT {MOST_GROUPS}"


def _pipeline(text: str, scope: Scope) -> tuple[list[Sql], list[Output]]:
    conditions: list[Sql] = []
    outputs: list[Output] = []
    for step in split_outside(text, "/"):
        name, bracket, rest = step.strip().partition("(")
        if not bracket or not rest.endswith(")") or outputs:
            raise bad_query(f"Syntax error in $apply near '{step}'.")
        match name:
            case "filter":
                conditions.append(condition_of(parse_filter(rest[:-1]), scope))
            case "aggregate":
                outputs = _aggregates(rest[:-1], scope)
            case "groupby":
                outputs = _groups(rest[:-1], scope)
            case _:
                raise bad_query(f"The transformation '{name}' in $apply is not supported.")
    if not outputs:
        raise bad_query("The $apply query option needs a groupby or an aggregate transformation.")
    return conditions, outputs


def _groups(text: str, scope: Scope) -> list[Output]:
    parts = split_outside(text, ",")
    keys = parts[0].strip()
    if not (keys.startswith("(") and keys.endswith(")")):
        raise bad_query(f"Syntax error in $apply near '{text}'.")
    outputs = []
    for name in keys[1:-1].split(","):
        path = tuple(name.strip().split("/"))
        located = scope.locate(path)
        outputs.append(Output(path, located.sql, located.column, is_group=True))
    for part in parts[1:]:
        inner = part.strip()
        if not (inner.startswith("aggregate(") and inner.endswith(")")):
            raise bad_query(f"Syntax error in $apply near '{inner}'.")
        outputs += _aggregates(inner.removeprefix("aggregate(")[:-1], scope)
    return outputs


def _aggregates(text: str, scope: Scope) -> list[Output]:
    return [_aggregate(part, scope) for part in split_outside(text, ",")]


def _aggregate(text: str, scope: Scope) -> Output:
    match = _AGGREGATE.fullmatch(text)
    if match is None:
        raise bad_query(f"Syntax error in $apply near '{text}'.")
    name, method, alias = match.groups()
    if name is None:
        return Output((alias,), "count(*)")
    if method not in _METHODS:
        raise bad_query(f"The aggregation method '{method}' is not supported.")
    located = scope.locate(tuple(name.split("/")))
    if method in {"sum", "average"} and located.column.kind not in WHOLE_NUMBERS:
        raise bad_query(f"The aggregation method '{method}' is not supported for '{name}'.")
    column = located.column if located.column.kind is Kind.DATETIME else None
    return Output((alias,), f"{_METHODS[method]}({located.sql})", column)


def _order(text: str | None, outputs: Sequence[Output]) -> str:
    if text is None:
        return ""
    by_name = {"/".join(output.path): number for number, output in enumerate(outputs, start=1)}
    keys = []
    for part in text.split(","):
        name, *direction = part.split()
        if name not in by_name or direction not in ([], ["asc"], ["desc"]):
            raise bad_query(f"Could not find a property named '{name}' in the result of $apply.")
        keys.append(f"{by_name[name]} {'DESC' if direction == ['desc'] else 'ASC'}")
    return f" ORDER BY {', '.join(keys)}"


def _shown(outputs: Sequence[Output], row: Sequence[Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for output, value in zip(outputs, row, strict=True):
        place = shown
        for step in output.path[:-1]:
            place = place.setdefault(step, {})
        place[output.path[-1]] = output.column.shown(value) if output.column is not None else value
    return shown
