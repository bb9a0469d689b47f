"""The operators of FetchXML conditions as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from sandbox import literals
from sandbox.columns import TEXT, Column, Kind
from sandbox.database import fold
from sandbox.errors import DataverseError, bad_fetch
from sandbox.odata.scope import Located
from sandbox.odata.where import Sql, literal_comparison, membership, read_value, text_match

_COMPARISONS = MappingProxyType({"eq": "eq", "ne": "ne", "neq": "ne", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le"})
_TEXT_MATCHES = MappingProxyType({"begins-with": "startswith", "ends-with": "endswith"})
_NEGATED_MATCHES = MappingProxyType({"not-begin-with": "startswith", "not-end-with": "endswith"})
_DAY = 24 * 3600
_UNITS = MappingProxyType(
    {"minutes": 60, "hours": 3600, "days": _DAY, "weeks": 7 * _DAY, "months": 30 * _DAY, "years": 365 * _DAY}
)
_RELATIVE = re.compile(r"(last|next|olderthan)-x-(minutes|hours|days|weeks|months|years)")


def fetch_condition(located: Located, operator: str, values: tuple[str, ...], user_id: str, now: int) -> Sql:
    """One condition on a column.

    Args:
        located: The column.
        operator: The operator's name.
        values: Its values as texts.
        user_id: The caller, for `eq-userid`.
        now: The sandbox's time, for relative operators.

    Raises:
        DataverseError: For an operator that is not known, or values that do not fit.
    """
    without_value = _VALUELESS.get(operator)
    if without_value is not None:
        return without_value(located, user_id)
    if operator in {"in", "not-in"}:
        return membership(located, _some(operator, values), negated=operator == "not-in")
    if operator in {"between", "not-between"}:
        return _between(located, operator, values)
    return _with_one_value(located, operator, _one(operator, values), now)


def _with_one_value(located: Located, operator: str, value: str, now: int) -> Sql:
    if operator in _COMPARISONS:
        return literal_comparison(located, _COMPARISONS[operator], read_value(located.column, value))
    if operator in {"like", "not-like"}:
        return _like(_text(located, operator), value, negated=operator == "not-like")
    if operator in _TEXT_MATCHES:
        return text_match(_text(located, operator).sql, _TEXT_MATCHES[operator], value)
    if operator in _NEGATED_MATCHES:
        return _not(located, text_match(_text(located, operator).sql, _NEGATED_MATCHES[operator], value))
    if operator in {"on", "on-or-after", "on-or-before"}:
        return _on(located, operator, value)
    relative = _RELATIVE.fullmatch(operator)
    if relative is not None:
        return _relative(located, relative.group(1), relative.group(2), value, now)
    raise bad_fetch(f"Invalid value for operator: '{operator}'.")


def _null(located: Located, _user: str) -> Sql:
    return Sql(f"{located.sql} IS NULL")


def _not_null(located: Located, _user: str) -> Sql:
    return Sql(f"{located.sql} IS NOT NULL")


def _own(located: Located, user: str) -> Sql:
    return Sql(f"{located.sql} = ?", (user,))


def _not_own(located: Located, user: str) -> Sql:
    return Sql(f"{located.sql} <> ?", (user,))


_VALUELESS: MappingProxyType[str, Callable[[Located, str], Sql]] = MappingProxyType(
    {"null": _null, "not-null": _not_null, "eq-userid": _own, "ne-userid": _not_own}
)


def _some(operator: str, values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise bad_fetch(f"The operator '{operator}' needs at least one value.")
    return values


def _one(operator: str, values: tuple[str, ...]) -> str:
    if len(values) != 1:
        raise bad_fetch(f"The operator '{operator}' needs one value.")
    return values[0]


def _text(located: Located, operator: str) -> Located:
    if located.column.kind not in TEXT:
        raise bad_fetch(f"The operator '{operator}' is not valid for the column '{located.column.name}'.")
    return located


def _not(located: Located, condition: Sql) -> Sql:
    """The opposite, with rows that have no value, as Dataverse has it."""
    return Sql(f"(NOT {condition.text} OR {located.sql} IS NULL)", condition.parameters)


def _like(located: Located, pattern: str, *, negated: bool) -> Sql:
    """`%` and `_` as in SQL Server, which also knows sets in square brackets; SQLite's GLOB has both."""
    glob = re.sub(r"[*?]", lambda found: f"[{found.group()}]", fold(pattern) or "").replace("%", "*").replace("_", "?")
    condition = Sql(f"(fold({located.sql}) GLOB ?)", (glob,))
    return _not(located, condition) if negated else condition


def _between(located: Located, operator: str, values: tuple[str, ...]) -> Sql:
    if len(values) != 2:
        raise bad_fetch(f"The operator '{operator}' needs two values.")
    low = literal_comparison(located, "ge", read_value(located.column, values[0]))
    high = literal_comparison(located, "le", read_value(located.column, values[1]))
    inside = Sql(f"({low.text} AND {high.text})", (*low.parameters, *high.parameters))
    return inside if operator == "between" else _not(located, inside)


def _day(column: Column, value: str) -> int:
    seconds = literals.instant(value) if column.kind is Kind.DATETIME else None
    if seconds is None:
        raise bad_fetch(f"The value '{value}' is no date for the column '{column.name}'.")
    return int(seconds) // _DAY * _DAY


def _on(located: Located, operator: str, value: str) -> Sql:
    start = _day(located.column, value)
    match operator:
        case "on-or-after":
            return Sql(f"{located.sql} >= ?", (start,))
        case "on-or-before":
            return Sql(f"{located.sql} < ?", (start + _DAY,))
        case _:
            return Sql(f"({located.sql} >= ? AND {located.sql} < ?)", (start, start + _DAY))


def _relative(located: Located, direction: str, unit: str, value: str, now: int) -> Sql:
    if located.column.kind is not Kind.DATETIME or not value.isdigit():
        raise bad_fetch(f"The column '{located.column.name}' and the value '{value}' do not fit a relative date.")
    distance = int(value) * _UNITS[unit]
    match direction:
        case "last":
            return Sql(f"({located.sql} >= ? AND {located.sql} <= ?)", (now - distance, now))
        case "next":
            return Sql(f"({located.sql} >= ? AND {located.sql} <= ?)", (now, now + distance))
        case _:
            return Sql(f"{located.sql} <= ?", (now - distance,))


def as_fetch_error(error: DataverseError) -> DataverseError:
    """A refusal worded for a URL, in the form FetchXML is refused."""
    return bad_fetch(error.message)
