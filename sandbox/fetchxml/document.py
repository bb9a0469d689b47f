"""What a FetchXML document says, as plain values. Whether its names exist is decided when it is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sandbox.errors import bad_fetch


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column that is asked for."""

    name: str
    alias: str | None = None
    aggregate: str | None = None
    groupby: bool = False
    distinct: bool = False
    dategrouping: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One key of the ordering."""

    attribute: str | None
    alias: str | None
    descending: bool
    entity: str | None = None


@dataclass(frozen=True, slots=True)
class FetchCondition:
    """One condition; `entity` is the alias of a linked table."""

    attribute: str
    operator: str
    values: tuple[str, ...]
    entity: str | None = None
    value_of: str | None = None


@dataclass(frozen=True, slots=True)
class FetchFilter:
    """Conditions joined by and, or or."""

    any_of: bool
    parts: tuple[FetchFilter | FetchCondition, ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """A table in the query, with what hangs below it.

    Args:
        name: Logical name.
        alias: The alias of a linked table.
        link_from: For a linked table: its own column.
        link_to: For a linked table: the column of the table above.
        outer: For a linked table: whether rows without a partner stay.
        all_attributes: Whether all columns are asked for.
    """

    name: str
    attributes: tuple[Attribute, ...]
    orders: tuple[Order, ...]
    filters: tuple[FetchFilter, ...]
    links: tuple[Entity, ...]
    all_attributes: bool = False
    alias: str | None = None
    link_from: str = ""
    link_to: str = ""
    outer: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """The whole query."""

    entity: Entity
    aggregate: bool = False
    distinct: bool = False
    top: int | None = None
    count: int | None = None
    page: int = 1
    cookie: str | None = None
    total_count: bool = False


_ATTRIBUTES = {
    "fetch": {
        "version", "output-format", "mapping", "aggregate", "distinct", "top", "count", "page", "paging-cookie",
        "returntotalrecordcount", "no-lock", "utc-offset", "aggregatelimit", "options", "latematerialize",
        "useraworderby", "datasource",
    },
    "entity": {"name"},
    "link-entity": {"name", "from", "to", "alias", "link-type", "visible", "intersect"},
    "attribute": {"name", "alias", "aggregate", "groupby", "distinct", "dategrouping", "usertimezone", "rowaggregate"},
    "all-attributes": set(),
    "order": {"attribute", "alias", "descending", "entityname"},
    "filter": {"type", "hint", "isquickfindfields"},
    "condition": {"attribute", "operator", "value", "entityname", "valueof", "uiname", "uitype", "uihidden"},
    "value": {"uiname", "uitype"},
}  # fmt: skip


@lru_cache(maxsize=512)
def parse_fetch(text: str) -> Fetch:
    """What a FetchXML text says.

    Raises:
        DataverseError: When it is no FetchXML.
    """
    try:
        root = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise bad_fetch(f"Invalid XML. {error}") from error
    if root.tag != "fetch":
        raise bad_fetch("The root element of the query is not 'fetch'.")
    entities = [child for child in root if child.tag == "entity"]
    if len(entities) != 1 or len(root) != 1:
        raise bad_fetch("A fetch has exactly one entity.")
    _check(root)
    return Fetch(
        entity=_entity(entities[0]),
        aggregate=_flag(root, "aggregate"),
        distinct=_flag(root, "distinct"),
        top=_positive(root, "top"),
        count=_positive(root, "count"),
        page=_positive(root, "page") or 1,
        cookie=root.get("paging-cookie"),
        total_count=_flag(root, "returntotalrecordcount"),
    )


def _check(element: Element) -> None:
    unknown = set(element.attrib) - _ATTRIBUTES[element.tag]
    if unknown:
        raise bad_fetch(f"The '{min(unknown)}' attribute is not declared for element '{element.tag}'.")


def _children(element: Element, *tags: str) -> Iterator[Element]:
    for child in element:
        if child.tag not in tags:
            raise bad_fetch(f"The element '{element.tag}' has invalid child element '{child.tag}'.")
        _check(child)
        yield child


def _required(element: Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise bad_fetch(f"The required attribute '{name}' is missing on element '{element.tag}'.")
    return value


def _flag(element: Element, name: str) -> bool:
    return element.get(name, "false").lower() in {"true", "1"}


def _positive(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise bad_fetch(f"The '{name}' attribute of the fetch has the invalid value '{text}'.")
    return int(text)


def _entity(element: Element) -> Entity:
    children = list(_children(element, "attribute", "all-attributes", "order", "filter", "link-entity"))
    linked = element.tag == "link-entity"
    kind = element.get("link-type", "inner")
    if kind not in {"inner", "outer"}:
        raise bad_fetch(f"The sandbox knows the link types inner and outer, not '{kind}'.")
    return Entity(
        name=_required(element, "name"),
        attributes=tuple(_attribute(child) for child in children if child.tag == "attribute"),
        orders=tuple(_order(child) for child in children if child.tag == "order"),
        filters=tuple(_filter(child) for child in children if child.tag == "filter"),
        links=tuple(_entity(child) for child in children if child.tag == "link-entity"),
        all_attributes=any(child.tag == "all-attributes" for child in children),
        alias=element.get("alias"),
        link_from=_required(element, "from") if linked else "",
        link_to=_required(element, "to") if linked else "",
        outer=kind == "outer",
    )


def _attribute(element: Element) -> Attribute:
    return Attribute(
        name=_required(element, "name"),
        alias=element.get("alias"),
        aggregate=element.get("aggregate"),
        groupby=_flag(element, "groupby"),
        distinct=_flag(element, "distinct"),
        dategrouping=element.get("dategrouping"),
    )


def _order(element: Element) -> Order:
    return Order(
        element.get("attribute"), element.get("alias"), _flag(element, "descending"), element.get("entityname")
    )


def _filter(element: Element) -> FetchFilter:
    parts = (
        _filter(child) if child.tag == "filter" else _condition(child)
        for child in _children(element, "condition", "filter")
    )
    return FetchFilter(element.get("type", "and").lower() == "or", tuple(parts))


def _condition(element: Element) -> FetchCondition:
    listed = tuple(child.text or "" for child in _children(element, "value"))
    value = element.get("value")
    return FetchCondition(
        attribute=_required(element, "attribute"),
        operator=_required(element, "operator"),
        values=listed or (() if value is None else (value,)),
        entity=element.get("entityname"),
        value_of=element.get("valueof"),
    )
