"""What an application user may do: yes or no for each verb on each table. Roles, teams and depths are not imitated."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.errors import privilege_missing
from sandbox.exchange import Caller
from sandbox.tables import USER, Table


def privilege_name(verb: str, table: Table) -> str:
    """A privilege as the service calls it."""
    return f"prv{verb}{table.schema_name if table.name != USER else 'User'}"


@dataclass(slots=True)
class Privileges:
    """Everything is allowed but what was taken away, and but writing users.

    Args:
        denied: For each client id, the privileges taken away.
    """

    denied: dict[str, frozenset[str]] = field(default_factory=dict)

    def require(self, caller: Caller, verb: str, table: Table) -> None:
        """Let the caller pass, or not.

        Raises:
            DataverseError: When the privilege is missing.
        """
        name = privilege_name(verb, table)
        read_only = table.name == USER and verb != "Read"
        if read_only or name in self.denied.get(caller.client_id, frozenset()):
            raise privilege_missing(caller.user_id, name, table.name)
