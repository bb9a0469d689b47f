"""The grammar of `$filter` and the tree it parses into. It knows no tables: whether a name exists is decided later."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, UnexpectedInput, VisitError

from sandbox import literals
from sandbox.errors import bad_query

GRAMMAR = r"""
?start: disjunction
?disjunction: conjunction ("or" conjunction)*
?conjunction: negation ("and" negation)*
?negation: "not" negation -> negated
         | comparison
?comparison: operand OPERATOR operand -> compared
           | operand
?operand: "(" disjunction ")"
        | call
        | value

call: PATH "(" [argument ("," argument)*] ")"
?argument: PATH "=" value -> named
         | PATH ":" disjunction -> scoped
         | disjunction
?value: STRING -> string
      | GUID -> guid
      | INSTANT -> instant
      | NUMBER -> number
      | "true" -> true
      | "false" -> false
      | "null" -> null
      | "[" [value ("," value)*] "]" -> list
      | PATH -> member

OPERATOR.5: /(eq|ne|gt|ge|lt|le)(?=[\s(])/
GUID.4: /[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}/
INSTANT.3: /\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?/
NUMBER.2: /-?\d+(\.\d+)?([eE][+-]?\d+)?/
STRING: /'([^']|'')*'/ | /"([^"\\]|\\.)*"/
PATH: /[A-Za-z_$@][A-Za-z0-9_.]*(\/[A-Za-z_$@][A-Za-z0-9_.]*)*/
%import common.WS
%ignore WS
"""


@dataclass(frozen=True, slots=True)
class And:
    """All of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Node


@dataclass(frozen=True, slots=True)
class Compare:
    """Two operands and one of eq, ne, gt, ge, lt, le."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function; `arguments` in order, `named` by name, as `Microsoft.Dynamics.CRM.In` has them."""

    name: str
    arguments: tuple[Node, ...] = ()
    named: tuple[tuple[str, Node], ...] = ()


@dataclass(frozen=True, slots=True)
class Scoped:
    """The body of `any` or `all`, with the name its rows go by."""

    variable: str
    body: Node


@dataclass(frozen=True, slots=True)
class Member:
    """A property path."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value, and the OData type it was written as: string, guid, instant, number, boolean, null."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True)
class Values:
    """A bracketed list of values."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    value: Node


Node = And | Or | Not | Compare | Call | Scoped | Member | Literal | Values | _Named

_ESCAPES = str.maketrans({"\\": ""})


@v_args(inline=True)
class _TreeBuilder(Transformer[Token, Node]):
    """Turns what lark matched into the tree above."""

    def disjunction(self, *parts: Node) -> Node:
        return Or(parts)

    def conjunction(self, *parts: Node) -> Node:
        return And(parts)

    def negated(self, part: Node) -> Node:
        return Not(part)

    def compared(self, left: Node, operator: Token, right: Node) -> Node:
        return Compare(str(operator), left, right)

    def call(self, name: Token, *arguments: Node | None) -> Node:
        given = [argument for argument in arguments if argument is not None]
        named = tuple((argument.name, argument.value) for argument in given if isinstance(argument, _Named))
        return Call(str(name), tuple(argument for argument in given if not isinstance(argument, _Named)), named)

    def named(self, name: Token, value: Node) -> Node:
        return _Named(str(name), value)

    def scoped(self, name: Token, body: Node) -> Node:
        return Scoped(str(name), body)

    def string(self, token: Token) -> Node:
        body = token[1:-1]
        return Literal("string", body.replace("''", "'") if token[0] == "'" else body.translate(_ESCAPES))

    def guid(self, token: Token) -> Node:
        return Literal("guid", token.lower())

    def instant(self, token: Token) -> Node:
        seconds = literals.instant(str(token))
        if seconds is None:
            raise bad_query(f"Unrecognized 'Edm.DateTimeOffset' literal '{token}'.")
        return Literal("instant", seconds)

    def number(self, token: Token) -> Node:
        return Literal("number", float(token) if set(token) & set(".eE") else int(token))

    def true(self) -> Node:
        return Literal("boolean", value=True)

    def false(self) -> Node:
        return Literal("boolean", value=False)

    def null(self) -> Node:
        return Literal("null", None)

    def list(self, *items: Node | None) -> Node:
        return Values(tuple(item for item in items if item is not None))

    def member(self, token: Token) -> Node:
        return Member(tuple(token.split("/")))


_PARSER = Lark(GRAMMAR, parser="lalr", transformer=_TreeBuilder(), maybe_placeholders=False)


@lru_cache(maxsize=2048)
def parse_filter(text: str) -> Node:
    """The tree of a `$filter` text.

    Raises:
        DataverseError: When it does not parse.
    """
    try:
        tree: Node = _PARSER.parse(text)  # type: ignore[assignment]  # the transformer runs inside the parser
    except UnexpectedInput as error:
        position = error.pos_in_stream
        raise bad_query(f"Syntax error at position {position} in '{text[:200]}'.") from error
    except VisitError as error:
        raise error.orig_exc from error
    except (LarkError, RecursionError) as error:
        raise bad_query(f"Syntax error in '{text[:200]}'.") from error
    return tree
