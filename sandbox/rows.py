"""Creating, changing and deleting one row, with ETags and the upsert rules. It knows tables, not URLs."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandbox import errors
from sandbox.columns import REFERENCES, Column
from sandbox.conditions import Condition
from sandbox.database import Database
from sandbox.payload import Reference, Stored, Value
from sandbox.schema import stored_columns
from sandbox.tables import JOB, TABLES, USER, Table


@dataclass(frozen=True, slots=True)
class TableSwitches:
    """What is switched on for a table.

    Args:
        optimistic_concurrency: Whether ETags protect its rows.
        change_tracking: Whether its changes can be asked for.
    """

    optimistic_concurrency: bool = True
    change_tracking: bool = True


class Rows:
    """The rows of every table, one at a time.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.switches: dict[str, TableSwitches] = {}
        self.reset_switches()

    def reset_switches(self) -> None:
        """Everything on, but tracking changes of users."""
        self.switches = {name: TableSwitches(change_tracking=name != USER) for name in TABLES}

    def version(self, table: Table, key: str) -> int | None:
        """The version of a row, or None when it is not there."""
        found: int | None = self._database.value(
            f"SELECT versionnumber FROM {table.name} WHERE {table.primary_id} = ?",
            (key,),
        )
        return found

    def create(self, table: Table, values: Mapping[Column, Value], user: int, key: str | None = None) -> str:
        """Add a row; returns its id.

        Args:
            table: The table.
            values: The columns given; the rest take their defaults.
            user: The row number of the user who creates it.
            key: The id from the URL, if it stood there.

        Raises:
            DataverseError: When the id is taken, or a reference leads nowhere.
        """
        now = self._database.clock.seconds()
        new = {column.name: column.default for column in stored_columns(table)}
        new.update(self._stored({column: value for column, value in values.items() if column.creatable}))
        chosen = key or new[table.primary_id] or str(uuid.uuid4())
        if self.version(table, str(chosen)) is not None:
            raise errors.duplicate_key()
        new.update({table.primary_id: chosen, "createdon": now, "modifiedon": now})
        new["versionnumber"] = self._database.next_version()
        self._settle_bookkeeping(table, new, values, user, now)
        self._insert(table, new)
        return str(chosen)

    def _settle_bookkeeping(
        self, table: Table, new: dict[str, Any], values: Mapping[Column, Value], user: int, now: int
    ) -> None:
        if table.name == USER:
            return
        new.update({"createdby": user, "modifiedby": user, "ownerid": new.get("ownerid") or user})
        if new.get("overriddencreatedon") is not None:
            new["createdon"], new["overriddencreatedon"] = new["overriddencreatedon"], now
        new.update(_state_and_reason(table, {column.name for column in values}, new))

    def _insert(self, table: Table, new: dict[str, Any]) -> None:
        names = ", ".join(new)
        marks = ", ".join("?" * len(new))
        self._database.execute(
            f"INSERT INTO {table.name} ({names}) VALUES ({marks})",
            tuple(new.values()),
        )

    def update(self, table: Table, key: str, values: Mapping[Column, Value], user: int, condition: Condition) -> None:
        """Change the given columns of a row that is there.

        Raises:
            DataverseError: When it is not there, its version differs, or a reference leads nowhere.
        """
        self._require(table, key, condition)
        new = self._stored({column: value for column, value in values.items() if column.updatable})
        if "statecode" in new or "statuscode" in new:
            new.update(self._changed_state(table, key, new))
        new["modifiedon"] = self._database.clock.seconds()
        new["versionnumber"] = self._database.next_version()
        if table.name != USER:
            new["modifiedby"] = user
        self._database.wrote_status = table.name == JOB and "msdyn_status" in new
        self._database.execute(_update_sql(table.name, table.primary_id, tuple(new)), (*new.values(), key))

    def _changed_state(self, table: Table, key: str, new: Mapping[str, Stored]) -> dict[str, Stored]:
        row = self._database.row(
            f"SELECT statecode, statuscode FROM {table.name} WHERE {table.primary_id} = ?",
            (key,),
        )
        assert row is not None  # noqa: S101 - it was read a moment ago
        return _state_and_reason(table, set(new), {"statecode": row[0], "statuscode": row[1], **new})

    def delete(self, table: Table, key: str, condition: Condition) -> None:
        """Remove a row, and what hangs on it.

        Raises:
            DataverseError: When it is not there, or its version differs.
        """
        self._require(table, key, condition)
        self._database.execute(
            f"DELETE FROM {table.name} WHERE {table.primary_id} = ?",
            (key,),
        )

    def _require(self, table: Table, key: str, condition: Condition) -> None:
        if condition.names_version and not self.switches[table.name].optimistic_concurrency:
            raise errors.concurrency_not_enabled(table.name)
        version = self.version(table, key)
        if version is None:
            raise (errors.conditional_row_gone if condition.is_given else errors.row_gone)(table.name, key)
        if not condition.allows(version):
            raise errors.version_mismatch()

    def _stored(self, values: Mapping[Column, Value]) -> dict[str, Stored]:
        return {
            column.name: self._resolve(column, value) if isinstance(value, Reference) else value
            for column, value in values.items()
        }

    def _resolve(self, column: Column, reference: Reference) -> Stored:
        """The stored form of a lookup; users are stored by row number."""
        row = self._database.row(
            f"SELECT rowid FROM {reference.table.name} WHERE {reference.table.primary_id} = ?",
            (reference.key,),
        )
        if row is None:
            raise errors.row_gone(reference.table.name, reference.key)
        by_number = column.kind in REFERENCES and column.expression is not None
        return int(row[0]) if by_number else reference.key


@lru_cache(maxsize=512)
def _update_sql(table: str, primary_id: str, names: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{name} = ?" for name in names)
    return f"UPDATE {table} SET {assignments} WHERE {primary_id} = ?"


def _state_and_reason(table: Table, given: set[str], row: Mapping[str, Stored]) -> dict[str, Stored]:
    """State and status reason brought into agreement: naming the state alone picks its first reason."""
    reason_column = table.column("statuscode")
    assert reason_column is not None  # noqa: S101 - every table but the users' has it
    state = row["statecode"] or 0
    reasons = [option.value for option in reason_column.options if option.state == state]
    reason = row["statuscode"]
    if "statuscode" in given and reason is not None:
        if reason not in reasons:
            raise errors.invalid_state("statuscode", int(reason), int(state))
        return {"statecode": state, "statuscode": reason}
    return {"statecode": state, "statuscode": reason if reason in reasons else reasons[0]}
