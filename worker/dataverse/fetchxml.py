"""FetchXML aggregates built from values, through an XML library, so that no value can change a query's meaning.

FetchXML is needed for one thing that OData lacks: counting distinct values.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, tostring

from worker.dataverse.odata import encode, instant

MAX_PAGE = 5_000
"""Groups that one answer holds at the most; further ones must be asked for, or are lost in silence."""

Operator = Literal["eq", "ne", "ge", "gt", "le", "lt", "in", "null", "not-null"]
Value: TypeAlias = UUID | int | str | datetime


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a column: one value, many for ``in``, none for ``null`` and ``not-null``."""

    column: str
    operator: Operator
    values: tuple[Value, ...] = ()


def condition(column: str, operator: Operator, *values: Value) -> Condition:
    """Make a condition."""
    return Condition(column, operator, values)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One column of the result: a function of a column of the table, under an alias."""

    column: str
    alias: str
    function: Literal["count", "countcolumn", "min", "max", "sum"]
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """An inner join: the linked table's id column, the column that points to it, and what must hold there."""

    entity: str
    id_column: str
    from_column: str
    conditions: Sequence[Condition] = ()


@dataclass(frozen=True, slots=True)
class Fetch:
    """An aggregate over one table, a group for each value of a column.

    Attributes:
        entity_set: The table's entity set, which the request is sent to.
        entity: The table's logical name.
        group_by: The column of the groups and its alias.
        aggregates: What is worked out for each group.
        conditions: Which rows count.
        links: Joined tables.
    """

    entity_set: str
    entity: str
    group_by: tuple[str, str]
    aggregates: Sequence[Aggregate]
    conditions: Sequence[Condition] = ()
    links: Sequence[Link] = ()

    def xml(self, page: int | None = None, cookie: str | None = None) -> str:
        """Write the query as XML.

        Args:
            page: The page wanted, from 1; None to ask for no particular one.
            cookie: What the page before said about where to go on.
        """
        fetch = Element("fetch", aggregate="true")
        if page is not None:
            fetch.set("page", str(page))
            fetch.set("count", str(MAX_PAGE))
        if cookie is not None:
            fetch.set("paging-cookie", cookie)
        entity = SubElement(fetch, "entity", name=self.entity)
        column, alias = self.group_by
        SubElement(entity, "attribute", name=column, alias=alias, groupby="true")
        for one in self.aggregates:
            made = SubElement(entity, "attribute", name=one.column, alias=one.alias, aggregate=one.function)
            if one.distinct:
                made.set("distinct", "true")
        _filter(entity, self.conditions)
        for link in self.links:
            joined = SubElement(entity, "link-entity", name=link.entity, to=link.from_column, alias="linked")
            joined.set("from", link.id_column)
            joined.set("link-type", "inner")
            _filter(joined, link.conditions)
        return tostring(fetch, encoding="unicode")

    def path(self, page: int | None = None, cookie: str | None = None) -> str:
        """Give the path below the API's root, percent-encoded."""
        return f"{self.entity_set}?" + encode({"fetchXml": self.xml(page, cookie)})


def _filter(parent: Element, conditions: Iterable[Condition]) -> None:
    conditions = list(conditions)
    if not conditions:
        return
    group = SubElement(parent, "filter", type="and")
    for one in conditions:
        made = SubElement(group, "condition", attribute=one.column, operator=one.operator)
        if one.operator == "in":
            for value in one.values:
                SubElement(made, "value").text = _text(value)
        elif one.values:
            made.set("value", _text(one.values[0]))


def _text(value: Value) -> str:
    return instant(value) if isinstance(value, datetime) else str(value)
