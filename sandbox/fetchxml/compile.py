"""A FetchXML document made into SQL: tables, joins, conditions, outputs, ordering."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from sandbox.columns import WHOLE_NUMBERS, Column, Kind
from sandbox.errors import DataverseError, bad_fetch
from sandbox.fetchxml.conditions import as_fetch_error, fetch_condition
from sandbox.fetchxml.document import Attribute, Entity, Fetch, FetchCondition, FetchFilter, Order
from sandbox.odata.ordering import SortKey, sort_key, total_order
from sandbox.odata.scope import Located
from sandbox.odata.where import Sql
from sandbox.tables import TABLES, Table

_AGGREGATES = MappingProxyType({"sum": "sum", "avg": "avg", "min": "min", "max": "max"})
_DATE_PARTS = MappingProxyType(
    {
        "year": "CAST(strftime('%Y', {sql}, 'unixepoch') AS INTEGER)",
        "quarter": "(CAST(strftime('%m', {sql}, 'unixepoch') AS INTEGER) + 2) / 3",
        "month": "CAST(strftime('%m', {sql}, 'unixepoch') AS INTEGER)",
        "week": "CAST(strftime('%W', {sql}, 'unixepoch') AS INTEGER) + 1",
        "day": "CAST(strftime('%d', {sql}, 'unixepoch') AS INTEGER)",
    }
)


@dataclass(frozen=True, slots=True)
class Output:
    """One value of a result row: its key, its SQL, and the column that says how to show it."""

    key: str
    sql: str
    column: Column | None
    is_group: bool = False


@dataclass(slots=True)
class Compiled:
    """The SQL of a fetch.

    Args:
        table: The root table.
        source: The FROM clause's content.
        condition: The WHERE clause, with the parameters of the joins in front.
        outputs: What is selected.
        keys: The ordering.
        join_parameters: The parameters in `source`.
    """

    table: Table
    source: str
    condition: Sql
    outputs: list[Output]
    keys: list[SortKey]
    join_parameters: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class _Linked:
    """A table of the query under its SQL alias and its FetchXML alias."""

    entity: Entity
    table: Table
    alias: str
    label: str


@dataclass(slots=True)
class FetchCompiler:
    """Compiles one fetch.

    Args:
        fetch: The document.
        user_id: The caller.
        now: The sandbox's time.
    """

    fetch: Fetch
    user_id: str
    now: int
    _tables: list[_Linked] = field(default_factory=list)
    _joins: list[Sql] = field(default_factory=list)

    def compile(self) -> Compiled:
        """The SQL.

        Raises:
            DataverseError: For a name that is not there, or a value that does not fit.
        """
        root = _Linked(self.fetch.entity, _table(self.fetch.entity.name), "t", "")
        self._tables.append(root)
        for entity in self.fetch.entity.links:
            self._link(root, entity)
        condition = self._filters(root)
        outputs = self._outputs()
        joins = "".join(join.text for join in self._joins)
        return Compiled(
            root.table,
            f"{root.table.name} t{joins}",
            condition,
            outputs,
            self._keys(root, outputs),
            tuple(value for join in self._joins for value in join.parameters),
        )

    def _link(self, parent: _Linked, entity: Entity) -> None:
        table = _table(entity.name)
        number = len(self._tables)
        linked = _Linked(entity, table, f"l{number}", entity.alias or f"{entity.name}{number}")
        if any(other.label == linked.label for other in self._tables):
            raise bad_fetch(f"Alias '{linked.label}' is already used in this query.")
        self._tables.append(linked)
        place = len(self._joins)
        self._joins.append(Sql(""))
        own = _column(table, entity.link_from).sql(linked.alias)
        other = _column(parent.table, entity.link_to).sql(parent.alias)
        for child in entity.links:
            self._link(linked, child)
        filters = self._filters(linked)
        kind = "LEFT JOIN" if entity.outer else "JOIN"
        text = f" {kind} {table.name} {linked.alias} ON {own} = {other} AND {filters.text}"
        self._joins[place] = Sql(text, filters.parameters)

    def _filters(self, linked: _Linked) -> Sql:
        parts = [self._filter(linked, part) for part in linked.entity.filters]
        return _combined(parts, " AND ")

    def _filter(self, linked: _Linked, group: FetchFilter) -> Sql:
        parts = [
            self._filter(linked, part) if isinstance(part, FetchFilter) else self._condition(linked, part)
            for part in group.parts
        ]
        return _combined(parts, " OR " if group.any_of else " AND ")

    def _condition(self, linked: _Linked, condition: FetchCondition) -> Sql:
        holder = linked if condition.entity is None else self._by_label(condition.entity)
        located = Located(_column(holder.table, condition.attribute), holder.alias)
        if condition.value_of is not None:
            return self._column_comparison(holder, located, condition)
        try:
            return fetch_condition(located, condition.operator, condition.values, self.user_id, self.now)
        except DataverseError as error:
            raise as_fetch_error(error) from error

    def _column_comparison(self, holder: _Linked, located: Located, condition: FetchCondition) -> Sql:
        operators = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
        if condition.operator not in operators:
            raise bad_fetch(f"The operator '{condition.operator}' cannot compare columns.")
        label, dot, name = (condition.value_of or "").rpartition(".")
        other = self._by_label(label) if dot else holder
        right = Located(_column(other.table, name), other.alias)
        return Sql(f"{located.sql} {operators[condition.operator]} {right.sql}")

    def _by_label(self, label: str) -> _Linked:
        for linked in self._tables:
            if linked.label == label:
                return linked
        raise bad_fetch(f"The link entity with name or alias '{label}' was not found.")

    def _outputs(self) -> list[Output]:
        outputs: list[Output] = []
        for linked in self._tables:
            outputs += [self._output(linked, attribute) for attribute in linked.entity.attributes]
            if linked.entity.all_attributes:
                outputs += [_plain(linked, column, None) for column in linked.table.columns]
        if self.fetch.aggregate and not outputs:
            raise bad_fetch("An aggregate query needs at least one attribute.")
        if not self.fetch.aggregate and not outputs:
            outputs = [_plain(self._tables[0], column, None) for column in self._tables[0].table.columns]
        keys = [output.key for output in outputs]
        if len(set(keys)) != len(keys) and self.fetch.aggregate:
            raise bad_fetch("Attribute aliases have to be unique.")
        return list({output.key: output for output in outputs}.values())

    def _output(self, linked: _Linked, attribute: Attribute) -> Output:
        column = _column(linked.table, attribute.name)
        if not self.fetch.aggregate:
            if attribute.aggregate is not None or attribute.groupby:
                raise bad_fetch("Attributes can be aggregated only when the fetch says aggregate='true'.")
            return _plain(linked, column, attribute.alias)
        if attribute.alias is None:
            raise bad_fetch(f"The attribute '{attribute.name}' needs an alias in an aggregate query.")
        sql = column.sql(linked.alias)
        if attribute.groupby:
            return _group(attribute, column, sql)
        if attribute.aggregate is None:
            raise bad_fetch(f"The attribute '{attribute.name}' can only be grouped by or aggregated.")
        return _aggregated(attribute, column, sql)

    def _keys(self, root: _Linked, outputs: list[Output]) -> list[SortKey]:
        keys = [self._key(linked, order, outputs) for linked in self._tables for order in linked.entity.orders]
        if self.fetch.aggregate:
            return keys + [SortKey(output.sql) for output in outputs if output.is_group]
        return list(total_order(keys, root.alias, root.table.columns[0]))

    def _key(self, linked: _Linked, order: Order, outputs: list[Output]) -> SortKey:
        if self.fetch.aggregate:
            by_alias = next((output for output in outputs if output.key == order.alias), None)
            if by_alias is None:
                raise bad_fetch(f"An order in an aggregate query needs the alias of an attribute, not '{order.alias}'.")
            return SortKey(by_alias.sql, order.descending)
        if order.attribute is None:
            raise bad_fetch("An order needs an attribute.")
        holder = linked if order.entity is None else self._by_label(order.entity)
        column = _column(holder.table, order.attribute)
        return sort_key(column, column.sql(holder.alias), descending=order.descending)


def _combined(parts: list[Sql], word: str) -> Sql:
    if not parts:
        return Sql("1")
    text = word.join(part.text for part in parts)
    return Sql(f"({text})", tuple(value for part in parts for value in part.parameters))


def _table(name: str) -> Table:
    table = TABLES.get(name)
    if table is None:
        raise DataverseError(
            400,
            "0x80041102",
            f"The entity with a name = '{name}' with namemapping = 'Logical' was not found in the MetadataCache.",
        )
    return table


def _column(table: Table, name: str) -> Column:
    column = table.column(name)
    if column is None:
        raise bad_fetch(
            f"'{table.name}' entity doesn't contain attribute with Name = '{name}' and NameMapping = 'Logical'."
        )
    return column


def _plain(linked: _Linked, column: Column, alias: str | None) -> Output:
    natural = f"{linked.label}.{column.name}" if linked.label else column.property_name
    return Output(alias or natural, column.sql(linked.alias), column)


def _group(attribute: Attribute, column: Column, sql: str) -> Output:
    alias = attribute.alias or attribute.name
    if attribute.dategrouping is None:
        return Output(alias, sql, column, is_group=True)
    part = _DATE_PARTS.get(attribute.dategrouping)
    if part is None or column.kind is not Kind.DATETIME:
        raise bad_fetch(f"Invalid date grouping '{attribute.dategrouping}' for the attribute '{attribute.name}'.")
    return Output(alias, part.format(sql=sql), None, is_group=True)


def _aggregated(attribute: Attribute, column: Column, sql: str) -> Output:
    alias = attribute.alias or attribute.name
    match attribute.aggregate:
        case "count":
            return Output(alias, "count(*)", None)
        case "countcolumn":
            return Output(alias, f"count({'DISTINCT ' if attribute.distinct else ''}{sql})", None)
        case str(kind) if kind in _AGGREGATES:
            countable = column.kind in WHOLE_NUMBERS or (kind in {"min", "max"} and column.kind is Kind.DATETIME)
            if not countable:
                raise bad_fetch(f"The aggregate '{kind}' is not valid for the attribute '{attribute.name}'.")
            return Output(alias, f"{_AGGREGATES[kind]}({sql})", column if column.kind is Kind.DATETIME else None)
        case kind:
            raise bad_fetch(f"Invalid aggregate '{kind}'.")
