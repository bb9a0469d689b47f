"""A `$filter` tree made into an SQL condition, with the types checked as the service checks them."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox import literals
from sandbox.columns import GUIDS, TEXT, WHOLE_NUMBERS, Column, Kind
from sandbox.database import fold
from sandbox.errors import bad_query, unknown_property
from sandbox.odata.scope import Located, Scope
from sandbox.odata.syntax import And, Call, Compare, Literal, Member, Node, Not, Or, Scoped, Values

_SQL_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_MIRRORED = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
_EDM_NAMES = {"eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual"}
_EDM_NAMES |= {"lt": "LessThan", "le": "LessThanOrEqual"}
_LITERAL_EDM = {"string": "Edm.String", "guid": "Edm.Guid", "instant": "Edm.DateTimeOffset"}
_LITERAL_EDM |= {"number": "Edm.Int32", "boolean": "Edm.Boolean", "null": "null"}
_TEXT_FUNCTIONS = frozenset({"contains", "startswith", "endswith"})
CRM = "Microsoft.Dynamics.CRM."

# A lower bound on an instant asks for what is new: little, out of much. Without being told, SQLite guesses a quarter.
_RECENT = 0.002


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL and its parameters."""

    text: str
    parameters: tuple[Any, ...] = ()


ALWAYS = Sql("1")


def condition_of(node: Node, scope: Scope) -> Sql:
    """The SQL of a condition.

    Raises:
        DataverseError: For a name that is not there, or types that do not fit.
    """
    match node:
        case And(parts):
            return _joined(" AND ", [condition_of(part, scope) for part in parts])
        case Or(parts):
            return _joined(" OR ", [condition_of(part, scope) for part in parts])
        case Not(part):
            inner = condition_of(part, scope)
            return Sql(f"NOT ({inner.text})", inner.parameters)
        case Compare(operator, left, right):
            return _compared(operator, left, right, scope)
        case Call():
            return _called(node, scope)
        case Member(path):
            return _flag(scope.locate(path))
        case Literal("boolean", value):
            return Sql("1" if value else "0")
        case _:
            raise bad_query("The $filter expression must evaluate to a single boolean value.")


def _joined(word: str, parts: list[Sql]) -> Sql:
    text = word.join(part.text for part in parts)
    return Sql(f"({text})", tuple(value for part in parts for value in part.parameters))


def _flag(located: Located) -> Sql:
    if located.column.kind is not Kind.BOOLEAN:
        raise bad_query("The $filter expression must evaluate to a single boolean value.")
    return Sql(f"{located.sql} = 1")


def _compared(operator: str, left: Node, right: Node, scope: Scope) -> Sql:
    if isinstance(left, Member) and isinstance(right, Member):
        return _columns_compared(operator, scope.locate(left.path), scope.locate(right.path))
    if isinstance(left, Member) and isinstance(right, Literal):
        return literal_comparison(scope.locate(left.path), operator, right)
    if isinstance(left, Literal) and isinstance(right, Member):
        return literal_comparison(scope.locate(right.path), _MIRRORED[operator], left)
    if isinstance(left, Call) and right == Literal("boolean", value=True) and operator == "eq":
        return _called(left, scope)
    if isinstance(left, Call) and right == Literal("boolean", value=False) and operator == "eq":
        return condition_of(Not(left), scope)
    raise bad_query("A comparison needs a property and a value.")


def _columns_compared(operator: str, left: Located, right: Located) -> Sql:
    if left.column.kind.edm != right.column.kind.edm:
        raise _incompatible(left.column.kind.edm, right.column.kind.edm, operator)
    sides = [f"fold({side.sql})" if side.column.kind in TEXT else side.sql for side in (left, right)]
    return Sql(f"{sides[0]} {_SQL_OPERATORS[operator]} {sides[1]}")


def _incompatible(left: str, right: str, operator: str) -> Exception:
    return bad_query(
        "A binary operator with incompatible types was detected. Found operand types "
        f"'{left}' and '{right}' for operator kind '{_EDM_NAMES[operator]}'."
    )


def literal_comparison(located: Located, operator: str, literal: Literal) -> Sql:
    """A column against a value; `ne` takes in rows without a value, as Dataverse does."""
    column = located.column
    if literal.type == "null":
        if operator not in {"eq", "ne"}:
            return Sql("0")
        return Sql(f"{located.sql} IS {'NOT ' if operator == 'ne' else ''}NULL")
    value = _comparable(column, literal, operator)
    sql = f"fold({located.sql})" if column.kind in TEXT else located.sql
    comparison = f"{sql} {_SQL_OPERATORS[operator]} ?"
    if operator == "ne":
        return Sql(f"({comparison} OR {sql} IS NULL)", (value,))
    if column.kind is Kind.DATETIME and operator in {"gt", "ge"}:
        return Sql(f"likelihood({comparison}, {_RECENT})", (value,))
    return Sql(comparison, (value,))


def _comparable(column: Column, literal: Literal, operator: str) -> Any:
    """A literal as the column stores it."""
    kind = column.kind
    fits = (
        (kind in TEXT and literal.type == "string")
        or (kind in GUIDS and literal.type == "guid")
        or (kind in WHOLE_NUMBERS and literal.type == "number")
        or (kind is Kind.DATETIME and literal.type == "instant")
        or (kind is Kind.BOOLEAN and literal.type == "boolean")
    )
    if not fits:
        raise _incompatible(kind.edm, _LITERAL_EDM[literal.type], operator)
    if literal.type == "boolean":
        return int(literal.value)
    return fold(literal.value) if literal.type == "string" else literal.value


def _called(call: Call, scope: Scope) -> Sql:
    if call.name in _TEXT_FUNCTIONS:
        return _text_function(call, scope)
    if call.name.startswith(CRM):
        return _crm_function(call, scope)
    name, _, quantifier = call.name.rpartition("/")
    if quantifier in {"any", "all"} and name:
        return _quantified(name, quantifier, call, scope)
    raise bad_query(f"An unknown function with name '{call.name}' was found. This may also be a function import.")


def _text_function(call: Call, scope: Scope) -> Sql:
    match call.arguments:
        case (Member(path), Literal("string", value)):
            located = scope.locate(path)
        case _:
            raise bad_query(f"No function signature for the function with name '{call.name}' matches the arguments.")
    if located.column.kind not in TEXT:
        raise bad_query(f"No function signature for the function with name '{call.name}' matches the arguments.")
    return text_match(located.sql, call.name, value)


def text_match(sql: str, how: str, value: str) -> Sql:
    """A text condition without regard to case: contains, startswith or endswith."""
    needle = fold(value) or ""
    if how == "contains":
        return Sql(f"instr(fold({sql}), ?) > 0", (needle,))
    if how == "startswith":
        return Sql(f"substr(fold({sql}), 1, ?) = ?", (len(needle), needle))
    return Sql(f"(? = 0 OR substr(fold({sql}), -?) = ?)", (len(needle), len(needle), needle))


def _crm_function(call: Call, scope: Scope) -> Sql:
    name = call.name.removeprefix(CRM)
    named = dict(call.named)
    located = _named_property(call, named, scope)
    if name in {"In", "NotIn"}:
        return membership(located, _value_list(call, named), negated=name == "NotIn")
    if name in {"Between", "NotBetween"}:
        low, high = _two(call, _value_list(call, named))
        first = literal_comparison(located, "ge", read_value(located.column, low))
        second = literal_comparison(located, "le", read_value(located.column, high))
        inside = _joined(" AND ", [first, second])
        return inside if name == "Between" else Sql(f"NOT {inside.text}", inside.parameters)
    raise bad_query(f"An unknown function with name '{call.name}' was found. The sandbox knows In, NotIn, Between.")


def _named_property(call: Call, named: dict[str, Node], scope: Scope) -> Located:
    match named.get("PropertyName"):
        case Literal("string", value):
            return scope.locate(tuple(value.split("/")))
        case _:
            raise bad_query(f"The function '{call.name}' needs the parameter 'PropertyName'.")


def _value_list(call: Call, named: dict[str, Node]) -> tuple[str, ...]:
    match named.get("PropertyValues"):
        case Values(items) if items and all(isinstance(item, Literal) for item in items):
            return tuple(str(item.value) for item in items if isinstance(item, Literal))
        case _:
            raise bad_query(f"The function '{call.name}' needs the parameter 'PropertyValues', a list of values.")


def _two(call: Call, values: tuple[str, ...]) -> tuple[str, str]:
    if len(values) != 2:
        raise bad_query(f"The function '{call.name}' needs exactly two values.")
    return values[0], values[1]


def read_value(column: Column, text: str) -> Literal:
    """A value that was written as text, as a literal of the column's type.

    Raises:
        DataverseError: When it is none.
    """
    if column.kind in TEXT:
        return Literal("string", text)
    if column.kind in GUIDS:
        literal = Literal("guid", literals.guid(text))
    elif column.kind is Kind.DATETIME:
        literal = Literal("instant", literals.instant(text))
    elif column.kind is Kind.BOOLEAN:
        literal = Literal("boolean", {"true": True, "1": True, "false": False, "0": False}.get(text.lower()))
    else:
        literal = Literal("number", int(text) if text.lstrip("-").isdigit() else None)
    if literal.value is None:
        raise bad_query(f"The value '{text}' of property '{column.property_name}' is not a valid {column.kind.edm}.")
    return literal


def membership(located: Located, values: tuple[str, ...], *, negated: bool = False) -> Sql:
    """A column among values written as text; ids and numbers by value, text without regard to case."""
    column = located.column
    stored = tuple(_comparable(column, read_value(column, value), "eq") for value in values)
    sql = f"fold({located.sql})" if column.kind in TEXT else located.sql
    marks = ", ".join("?" * len(stored))
    if negated:
        return Sql(f"({sql} NOT IN ({marks}) OR {sql} IS NULL)", stored)
    return Sql(f"{sql} IN ({marks})", stored)


def _quantified(navigation: str, quantifier: str, call: Call, scope: Scope) -> Sql:
    child = scope.table.child(navigation)
    if child is None:
        raise unknown_property(navigation, scope.table.name)
    table, lookup = child
    match call.arguments:
        case ():
            inner, body = Scope(table, f"{scope.alias}x"), ALWAYS
        case (Scoped(variable, tree),):
            inner = Scope(table, f"{scope.alias}x", variable)
            body = condition_of(tree, inner)
        case _:
            raise bad_query(f"The function '{call.name}' takes one lambda expression.")
    link = f"{lookup.sql(inner.alias)} = {scope.alias}.{scope.table.primary_id}"
    wanted, negation = (body.text, "") if quantifier == "any" else (f"NOT ({body.text})", "NOT ")
    text = f"{negation}EXISTS (SELECT 1 FROM {inner.source} WHERE {link} AND {wanted})"
    return Sql(text, body.parameters)
