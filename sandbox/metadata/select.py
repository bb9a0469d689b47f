"""`$select`, `$filter` and `$expand` over definitions, which are dictionaries and not rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.errors import bad_query
from sandbox.odata.expand import parse_expand
from sandbox.odata.options import Options
from sandbox.odata.syntax import And, Call, Compare, Literal, Member, Node, Not, Or, parse_filter

# Shown with and without $select, as the service does.
_ALWAYS = ("@odata.type", "MetadataId")


def shaped(definition: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """A definition with only what was asked for.

    Raises:
        DataverseError: For a property that is not there.
    """
    kept = _selected(definition, options)
    for part in parse_expand(options.expand) if options.expand is not None else ():
        nested = definition.get(part.navigation)
        if nested is None:
            raise bad_query(f"Could not find a property named '{part.navigation}' on this type.")
        kept[part.navigation] = (
            filtered(nested, part.options) if isinstance(nested, Sequence) else shaped(nested, part.options)
        )
    return kept


def _selected(definition: Mapping[str, Any], options: Options) -> dict[str, Any]:
    if options.select is None:
        return {key: value for key, value in definition.items() if key not in NESTED}
    names = [name.strip() for name in options.select.split(",")]
    unknown = [name for name in names if name not in definition and name not in _KNOWN_ELSEWHERE]
    if unknown:
        raise bad_query(f"Could not find a property named '{unknown[0]}' on this type.")
    return {key: value for key, value in definition.items() if key in names or key in _ALWAYS}


NESTED = frozenset(
    {"Attributes", "Keys", "OneToManyRelationships", "ManyToOneRelationships", "ManyToManyRelationships", "OptionSet"}
)
"""Properties that lead to other definitions; they come only when expanded."""

_KNOWN_ELSEWHERE = frozenset(
    {"MaxLength", "MinValue", "MaxValue", "Format", "FormatName", "Precision", "Targets", "OptionSet", "Options"}
)
"""Properties that some definitions in a collection have and others have not."""


def filtered(definitions: Sequence[Mapping[str, Any]], options: Options) -> list[dict[str, Any]]:
    """The definitions a `$filter` lets through, each with only what was asked for.

    Raises:
        DataverseError: For a filter that does not parse, or uses what metadata queries do not have.
    """
    kept = definitions
    if options.filter is not None:
        tree = parse_filter(options.filter)
        kept = [definition for definition in definitions if _holds(tree, definition)]
    return [shaped(definition, options) for definition in kept[: options.top]]


def _holds(node: Node, definition: Mapping[str, Any]) -> bool:
    match node:
        case And(parts):
            return all(_holds(part, definition) for part in parts)
        case Or(parts):
            return any(_holds(part, definition) for part in parts)
        case Not(part):
            return not _holds(part, definition)
        case Compare(operator, Member(path), Literal(_, value)):
            return _compared(operator, _value(definition, path), value)
        case Call(name, (Member(path), Literal("string", value))):
            return _text_holds(name, str(_value(definition, path) or ""), value)
        case _:
            raise bad_query("The $filter of a metadata query is too complex.")


def _value(definition: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = definition
    for step in path:
        if not isinstance(found, Mapping) or step not in found:
            raise bad_query(f"Could not find a property named '{step}' on this type.")
        found = found[step]
    return found


def _compared(operator: str, left: Any, right: Any) -> bool:
    match operator:
        case "eq":
            return bool(left == right)
        case "ne":
            return bool(left != right)
        case _:
            raise bad_query(f"The operator '{operator}' is not supported in a metadata query.")


def _text_holds(name: str, text: str, value: str) -> bool:
    match name:
        case "contains":
            return value in text
        case "startswith":
            return text.startswith(value)
        case "endswith":
            return text.endswith(value)
        case _:
            raise bad_query(f"The function '{name}' is not supported in a metadata query.")
