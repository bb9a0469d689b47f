"""Which tables a query reads, under which aliases. Joins come into being as paths need them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.columns import Column
from sandbox.errors import unknown_property
from sandbox.tables import TABLES, Table


@dataclass(frozen=True, slots=True)
class Located:
    """A column, and the alias of the row it is read from."""

    column: Column
    alias: str

    @property
    def sql(self) -> str:
        """The SQL that reads it."""
        return self.column.sql(self.alias)


@dataclass(slots=True)
class Scope:
    """One table of a query with the rows joined to it.

    Args:
        table: The table.
        alias: Its alias.
        variable: The name paths may start with, inside `any` and `all`.
    """

    table: Table
    alias: str = "t"
    variable: str | None = None
    joins: dict[tuple[str, str], str] = field(default_factory=dict)
    _join_sql: list[str] = field(default_factory=list)

    def locate(self, path: tuple[str, ...]) -> Located:
        """The column a path leads to.

        Raises:
            DataverseError: When there is no such column or navigation property.
        """
        steps = path[1:] if self.variable is not None and path[0] == self.variable else path
        table, alias = self.table, self.alias
        for step in steps[:-1]:
            table, alias = self._follow(table, alias, step)
        if not steps:
            raise unknown_property("/".join(path), self.table.name)
        column = table.property(steps[-1])
        if column is None:
            raise unknown_property(steps[-1], table.name)
        return Located(column, alias)

    def _follow(self, table: Table, alias: str, navigation: str) -> tuple[Table, str]:
        column = table.navigation(navigation)
        if column is None or column.target is None:
            raise unknown_property(navigation, table.name)
        target = TABLES[column.target]
        joined = self.joins.get((alias, navigation))
        if joined is None:
            joined = f"{self.alias}{len(self.joins) + 1}"
            self.joins[alias, navigation] = joined
            self._join_sql.append(
                f" LEFT JOIN {target.name} {joined} ON {joined}.{target.primary_id} = {column.sql(alias)}"
            )
        return target, joined

    @property
    def source(self) -> str:
        """The FROM clause's content."""
        return f"{self.table.name} {self.alias}{''.join(self._join_sql)}"
