"""GET on EntityDefinitions and its like and on `$metadata`: definitions are read only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from sandbox import errors, literals
from sandbox.environment import Environment
from sandbox.exchange import Answer, Operation, json_answer
from sandbox.metadata.csdl import csdl
from sandbox.metadata.definitions import (
    NAMESPACE,
    attribute_definitions,
    relationship_definitions,
    table_definition,
)
from sandbox.metadata.select import filtered, shaped
from sandbox.odata.options import Options, parse_options
from sandbox.resource import Segment
from sandbox.tables import TABLES, Table

Definition = Mapping[str, Any]
_ROOTS = frozenset({"EntityDefinitions", "RelationshipDefinitions", "RetrieveMetadataChanges", "$metadata"})


class MetadataRequests:
    """Answers metadata requests.

    Args:
        environment: Whose switches the definitions show.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def answer(self, operation: Operation, steps: tuple[Segment, ...]) -> Answer | None:
        """The answer, or None when the path is not about metadata.

        Raises:
            DataverseError: When it leads nowhere.
        """
        name = steps[0].name
        if name not in _ROOTS:
            return None
        if operation.method != "GET":
            raise errors.not_imitated("changing metadata")
        if name == "$metadata":
            return Answer(200, csdl(), [("Content-Type", "application/xml"), ("OData-Version", "4.0")])
        if name == "RetrieveMetadataChanges":
            return self._changes(operation)
        options = parse_options(operation.query)
        definitions = self._tables() if name == "EntityDefinitions" else relationship_definitions()
        return self._walk(operation, definitions, steps, options)

    def _tables(self) -> list[dict[str, Any]]:
        return [self._table(table) for table in TABLES.values()]

    def _table(self, table: Table) -> dict[str, Any]:
        relations = relationship_definitions()
        return {
            **table_definition(table, self._environment.rows.switches[table.name]),
            "Attributes": attribute_definitions(table.name),
            "Keys": (),
            "OneToManyRelationships": tuple(each for each in relations if each["ReferencedEntity"] == table.name),
            "ManyToOneRelationships": tuple(each for each in relations if each["ReferencingEntity"] == table.name),
            "ManyToManyRelationships": (),
        }

    def _walk(
        self, operation: Operation, definitions: Sequence[Definition], steps: tuple[Segment, ...], options: Options
    ) -> Answer:
        """Follow the path: a collection, one of it by key, a cast to a type, what lies below."""
        head, rest = steps[0], steps[1:]
        context = f"{operation.root}/$metadata#{steps[0].name}"
        if rest and rest[0].name.startswith(NAMESPACE) and head.arguments is None:
            kind = f"#{rest[0].name}"
            cast = tuple(each for each in definitions if each.get("@odata.type") == kind)
            return self._walk(operation, cast, (Segment(head.name, rest[0].arguments), *rest[1:]), options)
        if head.arguments is None:
            if rest:
                raise errors.no_such_resource(rest[0].name)
            return json_answer({"@odata.context": context, "value": filtered(definitions, options)})
        found = _by_key(definitions, head)
        below = tuple(step for step in rest if step.name != str(found.get("@odata.type", "")).lstrip("#"))
        if not below:
            return json_answer({"@odata.context": f"{context}/$entity", **shaped(found, options)})
        return self._below(operation, found, below, options)

    def _below(self, operation: Operation, found: Definition, below: tuple[Segment, ...], options: Options) -> Answer:
        inner = found.get(below[0].name)
        if isinstance(inner, tuple | list):
            return self._walk(operation, inner, below, options)
        if isinstance(inner, Mapping) and len(below) == 1:
            return json_answer({"@odata.context": f"{operation.root}/$metadata", **shaped(inner, options)})
        raise errors.no_such_resource(below[0].name)

    def _changes(self, operation: Operation) -> Answer:
        """The typed columns of one table, which is all that Microsoft's SDK uses this function for."""
        try:
            query = json.loads(parse_qs(operation.query)["@p1"][0])
            tables = [table for table in self._tables() if _matches(query.get("Criteria"), table)]
            found = [_projected(table, query) for table in tables]
        except (KeyError, TypeError, ValueError) as error:
            raise errors.bad_query("RetrieveMetadataChanges needs an EntityQueryExpression in @p1.") from error
        context = f"{operation.root}/$metadata#{NAMESPACE}RetrieveMetadataChangesResponse"
        return json_answer({"@odata.context": context, "ServerVersionStamp": "1", "EntityMetadata": found})


def _by_key(definitions: Sequence[Definition], step: Segment) -> Definition:
    """A definition by its id, or by `LogicalName=` or `SchemaName=`.

    Raises:
        DataverseError: When there is none.
    """
    arguments = step.arguments or ""
    name, equals, value = arguments.partition("=")
    key, wanted = (name.strip(), value.strip().strip("'")) if equals else ("MetadataId", arguments)
    if key == "MetadataId" and literals.guid(wanted) is None:
        raise errors.bad_query(f"'{arguments}' is not a valid key of '{step.name}'.")
    for definition in definitions:
        if definition.get(key) == wanted:
            return definition
    raise errors.DataverseError(404, "0x80060888", f"Could not find a definition with {key} = {wanted}.")


def _matches(criteria: Any, definition: Definition) -> bool:
    conditions = (criteria or {}).get("Conditions", [])
    return all(
        definition.get(condition["PropertyName"]) == condition["Value"]["Value"]
        for condition in conditions
        if condition["ConditionOperator"] == "Equals"
    )


def _projected(table: Definition, query: Mapping[str, Any]) -> dict[str, Any]:
    attributes = query.get("AttributeQuery") or {}
    names = {*(attributes.get("Properties") or {}).get("PropertyNames", []), "@odata.type", "MetadataId", "LogicalName"}
    columns = [each for each in table["Attributes"] if _matches(attributes.get("Criteria"), each)]
    return {
        "MetadataId": table["MetadataId"],
        "LogicalName": table["LogicalName"],
        "Attributes": [{key: value for key, value in column.items() if key in names} for column in columns],
    }
