"""A request body made into column values: names checked, types and limits enforced, references resolved.

It does not touch the database; whether a referenced row exists is `sandbox.rows`' question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox import errors, literals
from sandbox.columns import OPTION_SETS, REFERENCES, TEXT, WHOLE_NUMBERS, Column, Kind
from sandbox.tables import Table

BIND = "@odata.bind"

Stored = int | str | None
ResolveReference = Callable[[str], tuple[Table, str]]
"""Makes a URL or a `$1` reference into the table and id it stands for."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A lookup's new value: a row that has to exist."""

    table: Table
    key: str


Value = Stored | Reference


def parse_body(body: bytes, entity_set: str) -> dict[str, Any]:
    """The JSON object in a request body.

    Raises:
        DataverseError: When it is not JSON, or not an object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.bad_payload(entity_set, f"The payload is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise errors.bad_payload(entity_set, "A JSON object was expected.")
    return document


def column_values(table: Table, document: Mapping[str, Any], resolve: ResolveReference) -> dict[Column, Value]:
    """The columns that a body sets.

    Args:
        table: The table written to.
        document: The parsed body.
        resolve: What makes an `@odata.bind` into a table and an id.

    Raises:
        DataverseError: For an unknown column, a wrong type, a broken limit.
    """
    values: dict[Column, Value] = {}
    for name, given in document.items():
        if name.endswith(BIND):
            column, value = _bound(table, name.removesuffix(BIND), given, resolve)
            values[column] = value
        elif "@" not in name:
            column = _writable(table, name, given)
            values[column] = _checked(table, column, given)
    return values


def _bound(table: Table, navigation: str, given: Any, resolve: ResolveReference) -> tuple[Column, Value]:
    column = table.navigation(navigation)
    if column is None or column.target is None:
        raise errors.undeclared_navigation(navigation)
    if given is None:
        return column, None
    if not isinstance(given, str):
        raise errors.bad_payload(table.entity_set, f"The value of '{navigation}{BIND}' has to be a URL.")
    target, key = resolve(given)
    if target.name != column.target:
        raise errors.bad_payload(table.entity_set, f"'{given}' does not lead to a row of '{column.target}'.")
    return column, Reference(target, key)


def _writable(table: Table, name: str, given: Any) -> Column:
    column = table.property(name)
    if column is None:
        lookup = table.navigation(name)
        if lookup is None:
            raise errors.invalid_property(name, table.name)
        if given is not None:
            raise errors.not_imitated("creating a related row inside another")
        return lookup
    if column.kind in REFERENCES and given is not None:
        raise errors.direct_lookup_write()
    return column


def _checked(table: Table, column: Column, given: Any) -> Stored:
    if given is None:
        return None
    if column.kind in TEXT:
        return _text(table, column, given)
    if column.kind is Kind.BOOLEAN:
        return int(_typed(table, column, given, bool))
    if column.kind in WHOLE_NUMBERS:
        return _number(table, column, given)
    if column.kind is Kind.DATETIME:
        return _instant(table, column, given)
    return _guid(table, column, given)


def _typed(table: Table, column: Column, given: Any, wanted: type) -> Any:
    if not isinstance(given, wanted) or (wanted is int and isinstance(given, bool)):
        raise _conversion(table, column, given)
    return given


def _conversion(table: Table, column: Column, given: Any) -> errors.DataverseError:
    shown = json.dumps(given)[:100]
    return errors.bad_payload(
        table.entity_set,
        f"Cannot convert the literal '{shown}' to the expected type '{column.kind.edm}' of '{column.name}'.",
    )


def _text(table: Table, column: Column, given: Any) -> str:
    text: str = _typed(table, column, given, str)
    limit = column.max_length or 0
    if len(text) * 2 > limit and literals.utf16_length(text) > limit:
        raise errors.text_too_long(column.name, table.name, limit)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _conversion(table, column, given) from error
    return text


def _number(table: Table, column: Column, given: Any) -> int:
    number: int = _typed(table, column, given, int)
    if column.kind in OPTION_SETS:
        accepted = tuple(option.value for option in column.options)
        if number not in accepted:
            raise errors.option_out_of_range(number, column.name, table.name, accepted)
    elif not -(2**63) <= number < 2**63:
        raise _conversion(table, column, given)
    elif column.minimum is not None and column.maximum is not None and not column.minimum <= number <= column.maximum:
        raise errors.number_out_of_range(number, column.name, table.name, column.minimum, column.maximum)
    return number


def _instant(table: Table, column: Column, given: Any) -> int:
    seconds = literals.instant(given) if isinstance(given, str) else None
    if seconds is None:
        raise _conversion(table, column, given)
    return int(seconds)


def _guid(table: Table, column: Column, given: Any) -> str:
    key = literals.guid(given) if isinstance(given, str) else None
    if key is None:
        raise _conversion(table, column, given)
    return key
