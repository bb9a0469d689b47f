"""Functions and actions: WhoAmI, the integration job's own action, and the bulk actions that Microsoft's SDK uses."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from sandbox import errors, literals
from sandbox.conditions import ANY_VERSION
from sandbox.environment import Environment
from sandbox.exchange import Answer, Operation, empty_answer, json_answer
from sandbox.payload import parse_body
from sandbox.resource import RowAddress, Segment, key_of, row_address, table_of
from sandbox.table_writes import TableWrites
from sandbox.tables import BUSINESS_UNIT_ID, FAILED, JOB, JOB_TABLE, ORGANIZATION_ID, TABLES, Table

NAMESPACE = "Microsoft.Dynamics.CRM."
MARK_FAILED = "msdyn_MarkIntegrationJobAsFailedAsync"
VERSION = "9.2.24112.00206"
MOST_TARGETS = 1000


class Functions:
    """Answers functions and carries out actions.

    Args:
        environment: What they work on.
        writes: Carries out the writes behind them.
    """

    def __init__(self, environment: Environment, writes: TableWrites) -> None:
        self._environment = environment
        self._writes = writes
        self.action_installed = True
        self._unbound: dict[tuple[str, str], Callable[[Operation], Answer]] = {
            ("GET", "WhoAmI"): self._who_am_i,
            ("GET", "RetrieveVersion"): self._version,
            ("GET", "RetrieveTotalRecordCount"): self._total_record_count,
            ("POST", "BulkDelete"): self._bulk_delete,
        }
        self._bulk: dict[str, Callable[[Operation, Table, list[dict[str, Any]]], Answer]] = {
            "CreateMultiple": self._create_multiple,
            "UpdateMultiple": self._update_multiple,
            "UpsertMultiple": self._upsert_multiple,
        }

    def unbound(self, operation: Operation, step: Segment) -> Answer | None:
        """The answer of a function or action that stands alone, or None when there is no such."""
        function = self._unbound.get((operation.method, step.name))
        return function(operation) if function is not None else None

    def bound(self, operation: Operation, steps: tuple[Segment, ...]) -> Answer:
        """Carry out an action bound to a table or a row.

        Raises:
            DataverseError: When there is no such action, or it is refused.
        """
        table = table_of(steps[0])
        name = steps[1].name.removeprefix(NAMESPACE)
        if operation.method != "POST":
            raise errors.method_not_allowed(operation.method)
        if name == MARK_FAILED and table.name == JOB and steps[0].arguments is not None and self.action_installed:
            return self._mark_failed(operation, RowAddress(table, key_of(table, steps[0].arguments)))
        if name in self._bulk and steps[0].arguments is None:
            return self._bulk[name](operation, table, _targets(operation, table))
        raise errors.no_such_resource(steps[1].name)

    def _who_am_i(self, operation: Operation) -> Answer:
        return json_answer(
            {
                "@odata.context": f"{operation.root}/$metadata#{NAMESPACE}WhoAmIResponse",
                "BusinessUnitId": BUSINESS_UNIT_ID,
                "UserId": operation.caller.user_id,
                "OrganizationId": ORGANIZATION_ID,
            }
        )

    def _version(self, operation: Operation) -> Answer:
        context = f"{operation.root}/$metadata#{NAMESPACE}RetrieveVersionResponse"
        return json_answer({"@odata.context": context, "Version": VERSION})

    def _total_record_count(self, operation: Operation) -> Answer:
        counts = [self._environment.database.value(f"SELECT count(*) FROM {name}") for name in TABLES]
        context = f"{operation.root}/$metadata#{NAMESPACE}RetrieveTotalRecordCountResponse"
        collection = {"Count": len(counts), "IsReadOnly": False, "Keys": list(TABLES), "Values": counts}
        return json_answer({"@odata.context": context, "EntityRecordCountCollection": collection})

    def _mark_failed(self, operation: Operation, address: RowAddress) -> Answer:
        """What the product's action writes is not documented: here it sets the status, and nothing a worker wrote.

        A job that is Failed already is left as it is.
        """
        document = parse_body(operation.body or b"{}", MARK_FAILED)
        if set(document) - {"Error"} or not isinstance(document.get("Error"), str | None):
            raise errors.bad_payload(MARK_FAILED, "The action has one parameter, 'Error', a text or null.")
        sql = "SELECT msdyn_status FROM msdyn_integrationjob WHERE msdyn_integrationjobid = ?"
        row = self._environment.database.row(sql, (address.key,))
        if row is None:
            raise errors.row_gone(address.table.name, address.key)
        if row[0] != FAILED:
            values = self._writes.values(operation, JOB_TABLE, {"msdyn_status": FAILED})
            self._writes.update(operation, address, values, ANY_VERSION)
        return empty_answer()

    def _create_multiple(self, operation: Operation, table: Table, targets: list[dict[str, Any]]) -> Answer:
        ids = [self._writes.create(operation, table, self._writes.values(operation, table, each)) for each in targets]
        context = f"{operation.root}/$metadata#{NAMESPACE}CreateMultipleResponse"
        return json_answer({"@odata.context": context, "Ids": ids})

    def _update_multiple(self, operation: Operation, table: Table, targets: list[dict[str, Any]]) -> Answer:
        for target in targets:
            address = _target_address(table, target)
            self._writes.update(operation, address, self._target_values(operation, table, target), ANY_VERSION)
        return empty_answer()

    def _upsert_multiple(self, operation: Operation, table: Table, targets: list[dict[str, Any]]) -> Answer:
        for target in targets:
            address = _target_address(table, target)
            values = self._target_values(operation, table, target)
            if self._environment.rows.version(table, address.key) is None:
                self._writes.create(operation, table, values, address.key)
            else:
                self._writes.update(operation, address, values, ANY_VERSION)
        return empty_answer()

    def _target_values(self, operation: Operation, table: Table, target: dict[str, Any]) -> Any:
        given = {name: value for name, value in target.items() if name != table.primary_id}
        return self._writes.values(operation, table, given)

    def _bulk_delete(self, operation: Operation) -> Answer:
        """Deletes at once what the real service deletes in the background; only ids in a list are understood."""
        document = parse_body(operation.body, "BulkDelete")
        try:
            table, keys = _deletions(document)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise errors.not_imitated("this form of BulkDelete") from error
        for key in keys:
            if self._environment.rows.version(table, key) is not None:
                self._writes.delete(operation, RowAddress(table, key), ANY_VERSION)
        context = f"{operation.root}/$metadata#{NAMESPACE}BulkDeleteResponse"
        return json_answer({"@odata.context": context, "JobId": str(uuid.uuid4())})


def _targets(operation: Operation, table: Table) -> list[dict[str, Any]]:
    """The rows in a bulk action's body; each says which type it is."""
    targets = parse_body(operation.body, table.entity_set).get("Targets")
    if not isinstance(targets, list) or not targets or not all(isinstance(target, dict) for target in targets):
        raise errors.bad_payload(table.entity_set, "The parameter 'Targets' has to be a list of rows.")
    if len(targets) > MOST_TARGETS:
        raise errors.bad_payload(table.entity_set, f"At most {MOST_TARGETS} rows are taken at once.")
    for target in targets:
        if str(target.get("@odata.type", "")).lstrip("#") != NAMESPACE + table.name:
            shown = json.dumps(target.get("@odata.type"))
            raise errors.bad_payload(
                table.entity_set, f"A row of type '{NAMESPACE}{table.name}' was expected, not {shown}."
            )
    return targets


def _target_address(table: Table, target: dict[str, Any]) -> RowAddress:
    reference = target.get("@odata.id")
    if isinstance(reference, str):
        return row_address(reference)
    key = literals.guid(str(target.get(table.primary_id)))
    if key is None:
        raise errors.bad_payload(table.entity_set, f"A row without a valid '{table.primary_id}'.")
    return RowAddress(table, key)


def _deletions(document: dict[str, Any]) -> tuple[Table, list[str]]:
    (query,) = document["QuerySet"]
    table = TABLES[query["EntityName"]]
    (condition,) = query["Criteria"]["Conditions"]
    if condition["AttributeName"] != table.primary_id or condition["Operator"] not in {"In", "Equal"}:
        raise ValueError(condition["Operator"])
    keys = [literals.guid(value["Value"]) for value in condition["Values"]]
    return table, [key for key in keys if key is not None]
