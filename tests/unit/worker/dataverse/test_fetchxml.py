"""FetchXML survives any value: read back by an XML parser it says what was meant."""

from urllib.parse import parse_qs
from uuid import UUID
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from worker.dataverse.fetchxml import Aggregate, Condition, Fetch, Link, condition

# What XML can hold at all; a carriage return comes back as the line feed that XML makes of it.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]))


def fetch(*conditions: Condition, links: tuple[Link, ...] = ()) -> Fetch:
    return Fetch("details", "detail", ("header", "job"), (Aggregate("id", "rows", "count"),), conditions, links)


def sent(one: Fetch) -> Element:
    """Read a query back after it has been on its way in a URL."""
    (text,) = parse_qs(one.path(), strict_parsing=True)["details?fetchXml"]
    tree: Element = fromstring(text)
    return tree


@given(TEXT)
def test_a_value_arrives_in_its_condition_whatever_it_holds(value: str) -> None:
    tree = sent(fetch(condition("name", "eq", value)))
    (made,) = tree.iter("condition")
    assert made.attrib == {"attribute": "name", "operator": "eq", "value": value}


@given(st.lists(st.uuids(), min_size=1))
def test_every_id_of_a_list_arrives(ids: list[UUID]) -> None:
    tree = sent(fetch(condition("header", "in", *ids)))
    assert [value.text for value in tree.iter("value")] == [str(each) for each in ids]


def test_an_aggregate_with_a_link_reads_as_the_documents_write_it() -> None:
    link = Link("job", "jobid", "header", (condition("status", "in", 1, 2),))
    tree = sent(fetch(condition("name", "not-null"), links=(link,)))
    entity = tree[0]
    assert tree.attrib == {"aggregate": "true"}
    assert [child.tag for child in entity] == ["attribute", "attribute", "filter", "link-entity"]
    assert entity[0].attrib == {"name": "header", "alias": "job", "groupby": "true"}
    assert entity[1].attrib == {"name": "id", "alias": "rows", "aggregate": "count"}
    assert entity[3].attrib["from"] == "jobid"
    assert entity[3].attrib["to"] == "header"


def test_distinct_values_are_asked_for() -> None:
    one = Fetch("details", "detail", ("header", "job"), (Aggregate("n", "d", "countcolumn", distinct=True),))
    assert sent(one)[0][1].attrib["distinct"] == "true"


def test_a_page_carries_its_number_and_cookie() -> None:
    cookie = '<cookie page="1"><id last="{7F}" first="{01}" /></cookie>'
    tree = fromstring(fetch().xml(2, cookie))
    assert tree.attrib == {"aggregate": "true", "page": "2", "count": "5000", "paging-cookie": cookie}
