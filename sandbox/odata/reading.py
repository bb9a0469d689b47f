"""Reading rows: a page of a table, a single row, the rows behind a navigation property.

It answers with documents (dictionaries); turning them into HTTP is `sandbox.webapi`'s part.
"""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from sandbox import errors
from sandbox.database import Database
from sandbox.odata import expand as expansion
from sandbox.odata.options import Options
from sandbox.odata.ordering import SortKey, after, order_clause, parse_order
from sandbox.odata.projection import NameOf, Projection, projection
from sandbox.odata.scope import Scope
from sandbox.odata.syntax import parse_filter
from sandbox.odata.tokens import TokenSigner
from sandbox.odata.where import ALWAYS, Sql, condition_of
from sandbox.preferences import MOST_ROWS, TOTAL_COUNT, TOTAL_COUNT_EXCEEDED, Preferences
from sandbox.tables import TABLES, Table

COUNT_CAP = 5000


@dataclass(frozen=True, slots=True)
class CollectionRead:
    """A page of rows that is asked for.

    Args:
        table: The table.
        options: The query options.
        preferences: Page size and annotations.
        root: The API's root, for links.
        path: The path that was asked, for links.
        query: The raw query string, for links.
        within: A further condition, for the rows behind a navigation property.
    """

    table: Table
    options: Options
    preferences: Preferences
    root: str
    path: str
    query: str
    within: Sql = ALWAYS


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A filter and an ordering over a table, as SQL."""

    source: str
    condition: Sql
    keys: tuple[SortKey, ...]


@lru_cache(maxsize=2048)
def compile_query(table: str, filter_text: str | None, order_text: str | None) -> CompiledQuery:
    """The SQL of a `$filter` and an `$orderby`; they share the joins they need."""
    scope = Scope(TABLES[table])
    tree = parse_filter(filter_text) if filter_text is not None else None
    condition = condition_of(tree, scope) if tree is not None else ALWAYS
    keys = parse_order(order_text, scope, tree)
    return CompiledQuery(scope.source, condition, keys)


def link_pairs(query: str) -> list[tuple[str, str]]:
    """The options of a query string but for the token."""
    return [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "$skiptoken"]


def link(root: str, path: str, pairs: list[tuple[str, str]]) -> str:
    """A link of the API with these options."""
    return f"{root}/{path}?{urlencode(pairs, quote_via=quote, safe='$(),:;@/')}"


class Reader:
    """Reads rows from the database.

    Args:
        database: Where they are.
        signer: What signs the tokens in links.
    """

    def __init__(self, database: Database, signer: TokenSigner) -> None:
        self._database = database
        self._signer = signer

    def page(self, read: CollectionRead) -> dict[str, Any]:
        """One page of a collection, with the link to the next one."""
        options = read.options
        shown = projection(read.table.name, options.select)
        compiled = compile_query(read.table.name, options.filter, options.orderby)
        document: dict[str, Any] = {"@odata.context": _context(read.root, shown, options)}
        if options.count:
            document.update(self._count(read, compiled))
        size, links = _page_size(options, read.preferences)
        found = self._page_rows(read, compiled, shown, size + int(links))
        document["value"] = self._shape(found[:size], shown, read)
        if links and len(found) > size:
            document["@odata.nextLink"] = self._next_link(read, found[size - 1][shown.width :])
        return document

    def _page_rows(
        self, read: CollectionRead, compiled: CompiledQuery, shown: Projection, limit: int
    ) -> list[tuple[Any, ...]]:
        conditions = [read.within, compiled.condition]
        if read.options.skiptoken is not None:
            place = self._signer.read(read.options.skiptoken, _signed(read))
            conditions.append(after(compiled.keys, place))
        keys = ", ".join(key.sql for key in compiled.keys)
        where = " AND ".join(f"({condition.text})" for condition in conditions if condition is not ALWAYS) or "1"
        parameters = [value for condition in conditions for value in condition.parameters]
        sql = (
            f"SELECT {shown.sql('t')}, {keys} FROM {compiled.source} WHERE {where} "
            f"ORDER BY {order_clause(compiled.keys)} LIMIT {limit}"
        )
        return self._database.rows(sql, parameters)

    def _shape(self, found: list[tuple[Any, ...]], shown: Projection, read: CollectionRead) -> list[dict[str, Any]]:
        rows = self.shape(found, shown, read.preferences)
        if read.options.expand is not None:
            expansion.attach(self._database, self, shown.table, rows, read.options.expand, read.preferences)
        return rows

    def shape(self, found: list[tuple[Any, ...]], shown: Projection, preferences: Preferences) -> list[dict[str, Any]]:
        """Database rows as rows of the Web API."""
        if not preferences.annotations:
            return [shown.row(values) for values in found]
        name_of = self.names()
        return [shown.annotated(values, preferences, name_of) for values in found]

    def names(self) -> NameOf:
        """A look-up of display names that remembers what it found."""
        seen: dict[tuple[str, str], str | None] = {}

        def name_of(table: str, key: str) -> str | None:
            if (table, key) not in seen:
                target = TABLES[table]
                sql = f"SELECT {target.primary_name} FROM {table} WHERE {target.primary_id} = ?"
                seen[table, key] = self._database.value(sql, (key,))
            return seen[table, key]

        return name_of

    def _count(self, read: CollectionRead, compiled: CompiledQuery) -> dict[str, Any]:
        counted = self.count(read.within, compiled)
        document: dict[str, Any] = {"@odata.count": counted}
        if read.preferences.wants(TOTAL_COUNT):
            document[f"@{TOTAL_COUNT}"] = counted
        if read.preferences.wants(TOTAL_COUNT_EXCEEDED):
            document[f"@{TOTAL_COUNT_EXCEEDED}"] = counted >= COUNT_CAP
        return document

    def count(self, within: Sql, compiled: CompiledQuery) -> int:
        """How many rows there are, counted no further than the service counts."""
        sql = (
            f"SELECT count(*) FROM (SELECT 1 FROM {compiled.source} "
            f"WHERE ({within.text}) AND ({compiled.condition.text}) LIMIT {COUNT_CAP})"
        )
        return int(self._database.value(sql, (*within.parameters, *compiled.condition.parameters)))

    def _next_link(self, read: CollectionRead, place: tuple[Any, ...]) -> str:
        token = self._signer.write(list(place), _signed(read))
        return link(read.root, read.path, [*link_pairs(read.query), ("$skiptoken", token)])

    def row(self, table: Table, key: str, options: Options, preferences: Preferences) -> dict[str, Any] | None:
        """One row by its id, or None when it is not there."""
        shown = projection(table.name, options.select)
        sql = f"SELECT {shown.sql('t')} FROM {table.name} t WHERE t.{table.primary_id} = ?"
        values = self._database.row(sql, (key,))
        if values is None:
            return None
        rows = self.shape([values], shown, preferences)
        if options.expand is not None:
            expansion.attach(self._database, self, table, rows, options.expand, preferences)
        return rows[0]

    def entity(
        self, table: Table, key: str, options: Options, preferences: Preferences, root: str
    ) -> dict[str, Any] | None:
        """One row as a document of its own, with its context."""
        found = self.row(table, key, options, preferences)
        if found is None:
            return None
        context = _context(root, projection(table.name, options.select), options)
        return {"@odata.context": f"{context}/$entity", **found}


def reject_for_single(options: Options) -> None:
    """Refuse what only a collection can be asked for."""
    if options != replace(Options(), select=options.select, expand=options.expand):
        raise errors.bad_query("The query options $filter, $orderby, $top, $count and $apply need a collection.")


def _context(root: str, shown: Projection, options: Options) -> str:
    names = [name for name in (shown.selected, expansion.context_of(options.expand)) if name]
    inside = f"({','.join(names)})" if names else ""
    return f"{root}/$metadata#{shown.table.entity_set}{inside}"


def _page_size(options: Options, preferences: Preferences) -> tuple[int, bool]:
    """How many rows, and whether more pages follow; `$top` counts only without a page size."""
    if options.top is not None and preferences.page_size is None:
        return min(options.top, MOST_ROWS), False
    return preferences.rows, True


def _signed(read: CollectionRead) -> str:
    return f"{read.path}?{link_pairs(read.query)!r}"
