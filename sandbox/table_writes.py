"""POST, PATCH, PUT and DELETE on the tables: rows, single columns, references between rows."""

from __future__ import annotations

from typing import Any

from sandbox import errors
from sandbox.columns import Column
from sandbox.conditions import ANY_VERSION, Condition, condition_of
from sandbox.environment import Environment
from sandbox.exchange import Answer, Operation, empty_answer, json_answer
from sandbox.odata.options import Options, parse_options
from sandbox.odata.projection import ETAG
from sandbox.payload import Reference, Value, column_values, parse_body
from sandbox.preferences import applied, preferences_of
from sandbox.resource import RowAddress, Segment, key_of, row_address, table_of
from sandbox.tables import Table


class TableWrites:
    """Carries out writes.

    Args:
        environment: What to write to.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def write(self, operation: Operation, steps: tuple[Segment, ...]) -> Answer:
        """Carry out a write to a path that starts with an entity set.

        Raises:
            DataverseError: When it is refused.
        """
        table = table_of(steps[0])
        if steps[0].arguments is None:
            return self._collection(operation, table, steps)
        address = RowAddress(table, key_of(table, steps[0].arguments))
        if len(steps) == 1:
            return self._row(operation, address)
        if steps[-1] == Segment("$ref"):
            return self._reference(operation, address, steps[1:-1])
        if len(steps) == 2:
            return self._column(operation, address, steps[1])
        raise errors.no_such_resource(steps[1].name)

    def _collection(self, operation: Operation, table: Table, steps: tuple[Segment, ...]) -> Answer:
        if len(steps) > 1:
            raise errors.no_such_resource(steps[1].name)
        if operation.method != "POST":
            raise errors.method_not_allowed(operation.method)
        return self._create(operation, table)

    def _row(self, operation: Operation, address: RowAddress) -> Answer:
        condition = condition_of(operation.headers)
        match operation.method:
            case "PATCH":
                return self._upsert(operation, address, condition)
            case "DELETE":
                self.delete(operation, address, condition)
                return empty_answer()
            case method:
                raise errors.method_not_allowed(method)

    def values(self, operation: Operation, table: Table, document: dict[str, Any]) -> dict[Column, Value]:
        """The columns that a document sets.

        Raises:
            DataverseError: When it does not fit the table.
        """

        def resolve(reference: str) -> tuple[Table, str]:
            address = row_address(_dereferenced(operation, reference))
            return address.table, address.key

        return column_values(table, document, resolve)

    def create(self, operation: Operation, table: Table, values: dict[Column, Value], key: str | None = None) -> str:
        """Add a row; returns its id.

        Raises:
            DataverseError: When it is refused.
        """
        self._environment.privileges.require(operation.caller, "Create", table)
        return self._environment.rows.create(table, values, operation.caller.user_row, key)

    def update(
        self, operation: Operation, address: RowAddress, values: dict[Column, Value], condition: Condition
    ) -> None:
        """Change a row that is there.

        Raises:
            DataverseError: When it is refused.
        """
        self._environment.privileges.require(operation.caller, "Write", address.table)
        self._environment.rows.update(address.table, address.key, values, operation.caller.user_row, condition)

    def delete(self, operation: Operation, address: RowAddress, condition: Condition) -> None:
        """Remove a row.

        Raises:
            DataverseError: When it is refused.
        """
        self._environment.privileges.require(operation.caller, "Delete", address.table)
        self._environment.rows.delete(address.table, address.key, condition)

    def _create(self, operation: Operation, table: Table) -> Answer:
        values = self.values(operation, table, parse_body(operation.body, table.entity_set))
        key = self.create(operation, table, values)
        return self._written(operation, RowAddress(table, key), 201)

    def _upsert(self, operation: Operation, address: RowAddress, condition: Condition) -> Answer:
        values = self.values(operation, address.table, parse_body(operation.body, address.table.entity_set))
        there = self._environment.rows.version(address.table, address.key) is not None
        if there and condition.forbids_update:
            raise errors.duplicate_key()
        if there or condition.is_given:
            self.update(operation, address, values, condition)
            return self._written(operation, address, 200)
        self.create(operation, address.table, values, address.key)
        return self._written(operation, address, 201)

    def _written(self, operation: Operation, address: RowAddress, status: int) -> Answer:
        """204 and where the row is, or the row itself where it was asked for."""
        preferences = preferences_of(operation.headers.get("prefer"))
        headers = [("OData-EntityId", f"{operation.root}/{address.path}")]
        if not preferences.representation:
            return empty_answer([("Location", headers[0][1]), *headers])
        asked = parse_options(operation.query)
        options = Options(select=asked.select, expand=asked.expand)
        document = self._environment.reader.entity(address.table, address.key, options, preferences, operation.root)
        assert document is not None  # noqa: S101 - it was written in this transaction
        headers += [("ETag", document[ETAG]), *applied(preferences, representation=True)]
        return json_answer(document, status, headers)

    def _column(self, operation: Operation, address: RowAddress, step: Segment) -> Answer:
        """One column of a row: PUT sets it, DELETE empties it."""
        column = address.table.property(step.name)
        if column is None:
            raise errors.no_such_resource(step.name)
        if operation.method == "PUT":
            document = parse_body(operation.body, address.table.entity_set)
            if "value" not in document:
                raise errors.bad_payload(address.table.entity_set, "The property 'value' is missing.")
            values = self.values(operation, address.table, {step.name: document["value"]})
        elif operation.method == "DELETE":
            values = {column: None}
        else:
            raise errors.method_not_allowed(operation.method)
        self.update(operation, address, values, _existing(operation))
        return empty_answer()

    def _reference(self, operation: Operation, address: RowAddress, steps: tuple[Segment, ...]) -> Answer:
        """A lookup set or emptied by its navigation property."""
        if len(steps) != 1:
            raise errors.no_such_resource("$ref")
        child = address.table.child(steps[0].name)
        if child is not None:
            return self._child_reference(operation, address, child, steps[0])
        lookup = address.table.navigation(steps[0].name)
        if lookup is None:
            raise errors.no_such_resource(steps[0].name)
        if operation.method == "PUT":
            target = self._referenced(operation)
            self.update(operation, address, {lookup: Reference(target.table, target.key)}, _existing(operation))
        elif operation.method == "DELETE":
            self.update(operation, address, {lookup: None}, _existing(operation))
        else:
            raise errors.method_not_allowed(operation.method)
        return empty_answer()

    def _child_reference(
        self, operation: Operation, address: RowAddress, child: tuple[Table, Column], step: Segment
    ) -> Answer:
        table, lookup = child
        if operation.method == "POST":
            target = self._referenced(operation)
            values: dict[Column, Value] = {lookup: Reference(address.table, address.key)}
            self.update(operation, target, values, ANY_VERSION)
        elif operation.method == "DELETE" and step.arguments is not None:
            target = RowAddress(table, key_of(table, step.arguments))
            self.update(operation, target, {lookup: None}, ANY_VERSION)
        else:
            raise errors.method_not_allowed(operation.method)
        return empty_answer()

    def _referenced(self, operation: Operation) -> RowAddress:
        document = parse_body(operation.body, "$ref")
        reference = document.get("@odata.id")
        if not isinstance(reference, str):
            raise errors.bad_payload("$ref", "The property '@odata.id' is missing.")
        return row_address(_dereferenced(operation, reference))


def _existing(operation: Operation) -> Condition:
    """The condition given, or that the row is there."""
    condition = condition_of(operation.headers)
    return condition if condition.is_given else ANY_VERSION


def _dereferenced(operation: Operation, reference: str) -> str:
    """`$1` replaced by the row it stands for."""
    if not reference.startswith("$"):
        return reference
    path = operation.references.get(reference)
    if path is None:
        raise errors.no_such_resource(reference)
    return path
