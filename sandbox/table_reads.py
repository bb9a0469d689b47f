"""GET on the tables: collections, rows, single columns, related rows, counts."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from typing import Any

from sandbox import errors
from sandbox.changes import ChangeTracking
from sandbox.columns import REFERENCES, Column
from sandbox.conditions import condition_of
from sandbox.environment import Environment
from sandbox.exchange import Answer, Operation, empty_answer, json_answer
from sandbox.fetchxml.run import FetchRunner
from sandbox.odata.aggregation import Aggregator
from sandbox.odata.options import Options, parse_options
from sandbox.odata.projection import ETAG
from sandbox.odata.reading import CollectionRead, compile_query, reject_for_single
from sandbox.odata.where import ALWAYS, Sql
from sandbox.preferences import Preferences, applied, preferences_of
from sandbox.resource import RowAddress, Segment, key_of, table_of
from sandbox.tables import TABLES, Table


class TableReads:
    """Answers reads.

    Args:
        environment: What to read from.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._fetch = FetchRunner(environment)
        self._aggregator = Aggregator(environment.database)
        self._changes = ChangeTracking(environment)

    def get(self, operation: Operation, steps: tuple[Segment, ...]) -> Answer:
        """Answer a GET of a path that starts with an entity set.

        Raises:
            DataverseError: When the path leads nowhere or the query is wrong.
        """
        table = table_of(steps[0])
        self._environment.privileges.require(operation.caller, "Read", table)
        options = parse_options(operation.query)
        if steps[0].arguments is None:
            return self._collection(operation, table, steps[1:], options)
        address = RowAddress(table, key_of(table, steps[0].arguments))
        if len(steps) == 1:
            return self._row(operation, address, options)
        return self._inside(operation, address, steps[1:], options)

    def _collection(self, operation: Operation, table: Table, rest: tuple[Segment, ...], options: Options) -> Answer:
        if rest:
            if len(rest) == 1 and rest[0] == Segment("$count"):
                return self._bare_count(table, options, ALWAYS)
            raise errors.no_such_resource(rest[0].name)
        preferences = preferences_of(operation.headers.get("prefer"))
        if options.sql is not None:
            raise errors.not_imitated("SQL queries")
        if options.fetch is not None:
            document = self._fetch.run(table, options.fetch, preferences, operation.root, operation.caller.user_id)
        elif options.apply is not None:
            document = self._aggregator.run(table, options, operation.root)
        elif preferences.track_changes or options.deltatoken is not None:
            return self._tracked(operation, table, options, preferences)
        else:
            document = self._page(operation, table, options, preferences, ALWAYS)
        return json_answer(document, headers=applied(preferences))

    def _tracked(self, operation: Operation, table: Table, options: Options, preferences: Preferences) -> Answer:
        document = self._changes.page(
            table, options, preferences, root=operation.root, path=operation.path, query=operation.query
        )
        tracked = [("Preference-Applied", "odata.track-changes")]
        return json_answer(document, headers=[*applied(preferences), *tracked])

    def _page(
        self, operation: Operation, table: Table, options: Options, preferences: Preferences, within: Sql
    ) -> dict[str, Any]:
        read = CollectionRead(
            table, options, preferences, operation.root, operation.path.strip("/"), operation.query, within
        )
        return self._environment.reader.page(read)

    def _bare_count(self, table: Table, options: Options, within: Sql) -> Answer:
        compiled = compile_query(table.name, options.filter, None)
        counted = self._environment.reader.count(within, compiled)
        return Answer(200, str(counted).encode(), [("Content-Type", "text/plain"), ("OData-Version", "4.0")])

    def _row(self, operation: Operation, address: RowAddress, options: Options) -> Answer:
        reject_for_single(options)
        preferences = preferences_of(operation.headers.get("prefer"))
        document = self._environment.reader.entity(address.table, address.key, options, preferences, operation.root)
        if document is None:
            raise errors.row_gone(address.table.name, address.key)
        headers = [("ETag", document[ETAG]), *applied(preferences)]
        condition = condition_of(operation.headers)
        version = self._environment.rows.version(address.table, address.key)
        if version is not None and condition.is_unchanged(version):
            return empty_answer(headers, 304)
        return json_answer(document, headers=headers)

    def _inside(self, operation: Operation, address: RowAddress, rest: tuple[Segment, ...], options: Options) -> Answer:
        """A column of a row, or the rows behind a navigation property."""
        self._require_row(address)
        name = rest[0].name
        child = address.table.child(name)
        lookup = address.table.navigation(name)
        if child is not None:
            return self._children(operation, address, child, rest[1:], options)
        if lookup is not None:
            return self._related(operation, address, lookup, rest[1:], options)
        column = address.table.property(name)
        if column is None or len(rest) > 2:
            raise errors.no_such_resource(name)
        return self._column(operation, address, column, rest[1:])

    def _require_row(self, address: RowAddress) -> None:
        if self._environment.rows.version(address.table, address.key) is None:
            raise errors.row_gone(address.table.name, address.key)

    def _children(
        self,
        operation: Operation,
        address: RowAddress,
        child: tuple[Table, Column],
        rest: tuple[Segment, ...],
        options: Options,
    ) -> Answer:
        table, lookup = child
        within = Sql(f"{lookup.sql('t')} = ?", (address.key,))
        self._environment.privileges.require(operation.caller, "Read", table)
        preferences = preferences_of(operation.headers.get("prefer"))
        match rest:
            case ():
                document = self._page(operation, table, options, preferences, within)
                return json_answer(document, headers=applied(preferences))
            case (Segment("$count", None),):
                return self._bare_count(table, options, within)
            case (Segment("$ref", None),):
                document = self._page(operation, table, options, preferences, within)
                return json_answer(_references(document, table, operation.root))
            case _:
                raise errors.no_such_resource(rest[0].name)

    def _related(
        self, operation: Operation, address: RowAddress, lookup: Column, rest: tuple[Segment, ...], options: Options
    ) -> Answer:
        if lookup.target is None:
            raise errors.no_such_resource(lookup.navigation or lookup.name)
        target = TABLES[lookup.target]
        self._environment.privileges.require(operation.caller, "Read", target)
        key = self._stored(address, lookup)
        if key is None:
            return empty_answer()
        if rest == (Segment("$ref"),):
            context = f"{operation.root}/$metadata#$ref"
            return json_answer({"@odata.context": context, "@odata.id": f"{operation.root}/{target.entity_set}({key})"})
        if rest:
            raise errors.no_such_resource(rest[0].name)
        return self._row(operation, RowAddress(target, str(key)), options)

    def _stored(self, address: RowAddress, column: Column) -> Any:
        table = address.table
        sql = f"SELECT {column.sql('t')} FROM {table.name} t WHERE t.{table.primary_id} = ?"
        return self._environment.database.value(sql, (address.key,))

    def _column(self, operation: Operation, address: RowAddress, column: Column, rest: tuple[Segment, ...]) -> Answer:
        value = column.shown(self._stored(address, column))
        if rest == (Segment("$value"),):
            return Answer(200, str(value).encode(), [("Content-Type", "text/plain"), ("OData-Version", "4.0")])
        if rest or column.kind in REFERENCES:
            raise errors.no_such_resource(column.property_name)
        if value is None:
            return empty_answer()
        context = f"{operation.root}/$metadata#{address.path}/{column.property_name}"
        return json_answer({"@odata.context": context, "value": value})


def _references(document: dict[str, Any], table: Table, root: str) -> dict[str, Any]:
    ids = [{"@odata.id": f"{root}/{table.entity_set}({row[table.primary_id]})"} for row in document["value"]]
    rest = {key: value for key, value in document.items() if key == "@odata.nextLink"}
    return {"@odata.context": f"{root}/$metadata#Collection($ref)", "value": ids, **rest}
