"""FetchXML: aggregates, links, conditions, paging, and what it leaves out."""

from typing import Any
from urllib.parse import quote, unquote

import pytest
from defusedxml.ElementTree import fromstring

from tests.unit.sandbox.inprocess import READY, WAITING, Driver, Reply

JOBS = "msdyn_integrationjobs"
DETAILS = "msdyn_integrationjobdetails"
ALL = {"Prefer": 'odata.include-annotations="*"'}


def fetch(driver: Driver, inner: str, root: str = "", entity_set: str = DETAILS, **headers: str) -> Reply:
    name = entity_set.removesuffix("s")
    text = f'<fetch {root}><entity name="{name}">{inner}</entity></fetch>'
    return driver.get(f"{entity_set}?fetchXml={quote(text)}", ALL if headers.pop("annotated", None) else headers)


def condition(attribute: str, operator: str, *values: str) -> str:
    inner = "".join(f"<value>{value}</value>" for value in values)
    return f'<filter><condition attribute="{attribute}" operator="{operator}">{inner}</condition></filter>'


def numbers(reply: Reply) -> list[Any]:
    assert reply.status == 200, reply.body
    return sorted(row["msdyn_sequencenumber"] for row in reply.rows)


def decode_cookie(cookie: str) -> str:
    """What a client puts into `paging-cookie`, from the annotation that it got."""
    return unquote(unquote(fromstring(cookie).get("pagingcookie", "")))


COUNT = """
    <attribute name="msdyn_integrationjobheader" alias="job" groupby="true"/>
    <attribute name="msdyn_integrationjobdetailid" alias="rows" aggregate="count"/>
    <attribute name="msdyn_sequencenumber" alias="numbered" aggregate="countcolumn"/>
    <attribute name="msdyn_sequencenumber" alias="distinct" aggregate="countcolumn" distinct="true"/>
    <attribute name="msdyn_sequencenumber" alias="lowest" aggregate="min"/>
    <attribute name="msdyn_sequencenumber" alias="highest" aggregate="max"/>
    <attribute name="createdon" alias="newest" aggregate="max"/>
"""


def test_the_packet_count_of_jobs(driver: Driver) -> None:
    full, empty, odd = driver.job(), driver.job(), driver.job()
    for number in (0, 2, 1, 1):
        driver.packet(full, number)
    driver.packet(full, 7, statecode=1)
    driver.sleep(3)
    driver.packet(odd, None)
    reply = fetch(
        driver,
        COUNT + condition("msdyn_integrationjobheader", "in", full, empty, odd) + condition("statecode", "eq", "0"),
        'aggregate="true"',
    )
    by_job = {row["job"]: row for row in reply.rows}
    assert by_job[full] == {
        "job": full, "rows": 4, "numbered": 4, "distinct": 3, "lowest": 0, "highest": 2,
        "newest": "2026-09-21T14:13:20Z",
    }  # fmt: skip
    assert by_job[odd] == {"job": odd, "rows": 1, "numbered": 0, "distinct": 0, "newest": "2026-09-21T14:13:23Z"}
    assert empty not in by_job


def test_arrivals_joined_to_their_jobs(driver: Driver) -> None:
    waiting, ready = driver.job(msdyn_status=WAITING), driver.job(msdyn_status=READY)
    driver.packet(waiting, 0)
    driver.sleep(10)
    for job in (waiting, waiting, ready):
        driver.packet(job, 1)
    inner = f"""
        <attribute name="msdyn_integrationjobheader" alias="job" groupby="true"/>
        <attribute name="msdyn_integrationjobdetailid" alias="n" aggregate="count"/>
        <filter><condition attribute="createdon" operator="ge" value="2026-09-21T14:13:25Z"/></filter>
        <link-entity name="msdyn_integrationjob"
            from="msdyn_integrationjobid" to="msdyn_integrationjobheader" alias="h">
            {condition("msdyn_status", "eq", str(WAITING))}
        </link-entity>
        <order alias="n" descending="true"/>
    """
    assert fetch(driver, inner, 'aggregate="true"').rows == [{"job": waiting, "n": 2}]


def test_a_link_may_be_filtered_from_the_root(driver: Driver) -> None:
    for status in (WAITING, READY):
        driver.packet(driver.job(msdyn_status=status), status)
    inner = f"""
        <attribute name="msdyn_sequencenumber"/>
        <link-entity name="msdyn_integrationjob"
            from="msdyn_integrationjobid" to="msdyn_integrationjobheader" alias="h">
            <attribute name="msdyn_status"/><attribute name="msdyn_name" alias="title"/>
        </link-entity>
        <filter><condition entityname="h" attribute="msdyn_status" operator="eq" value="{READY}"/></filter>
    """
    (row,) = fetch(driver, inner).rows
    assert row["h.msdyn_status"] == READY
    assert "title" not in row


def test_an_outer_link_keeps_rows_without_a_partner(driver: Driver) -> None:
    driver.packet(driver.job(msdyn_name="x"), 1)
    driver.packet(None, 2)
    joined = 'name="msdyn_integrationjob" from="msdyn_integrationjobid" to="msdyn_integrationjobheader" alias="h"'
    link = f'<link-entity {joined}{{}}><attribute name="msdyn_name"/></link-entity>'
    number = '<attribute name="msdyn_sequencenumber"/>'
    assert numbers(fetch(driver, number + link.format(""))) == [1]
    reply = fetch(driver, number + link.format(' link-type="outer"'))
    assert numbers(reply) == [1, 2]
    without = (
        link.format(' link-type="outer"')
        + '<filter><condition entityname="h" attribute="msdyn_integrationjobid" operator="null"/></filter>'
    )
    assert numbers(fetch(driver, number + without)) == [2]


def test_null_values_are_left_out_of_rows(driver: Driver) -> None:
    packet = driver.packet(None, None, msdyn_name="x")
    (row,) = fetch(driver, '<attribute name="msdyn_name"/><attribute name="msdyn_sequencenumber"/>').rows
    assert set(row) == {"@odata.etag", "msdyn_integrationjobdetailid", "msdyn_name"}
    assert row["msdyn_integrationjobdetailid"] == packet


def test_lookups_read_as_they_do_elsewhere(driver: Driver) -> None:
    job = driver.job(msdyn_name="x")
    driver.packet(job, 1)
    (row,) = fetch(driver, '<attribute name="msdyn_integrationjobheader"/>', annotated="yes").rows
    assert row["_msdyn_integrationjobheader_value"] == job
    assert row["_msdyn_integrationjobheader_value@OData.Community.Display.V1.FormattedValue"] == "x"


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("eq", ["2"], [2]),
        ("ne", ["2"], [1, 3]),
        ("gt", ["1"], [2, 3]),
        ("ge", ["2"], [2, 3]),
        ("lt", ["2"], [1]),
        ("le", ["2"], [1, 2]),
        ("in", ["1", "3"], [1, 3]),
        ("not-in", ["1", "3"], [2]),
        ("between", ["2", "9"], [2, 3]),
        ("not-between", ["2", "9"], [1]),
        ("null", [], []),
        ("not-null", [], [1, 2, 3]),
    ],
)
def test_conditions_on_numbers(driver: Driver, operator: str, values: list[str], expected: list[int]) -> None:
    for number in (1, 2, 3):
        driver.packet(None, number)
    inner = '<attribute name="msdyn_sequencenumber"/>' + condition("msdyn_sequencenumber", operator, *values)
    assert numbers(fetch(driver, inner)) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("eq", "ÄB", [1]),
        ("like", "%b%", [1, 2]),
        ("like", "_b", [1]),
        ("like", "[x]%", [2]),
        ("like", "*", []),
        ("not-like", "x%", [1, 3]),
        ("begins-with", "XB", [2]),
        ("not-begin-with", "xb", [1, 3]),
        ("ends-with", "B", [1]),
        ("not-end-with", "b", [2, 3]),
    ],
)
def test_conditions_on_text(driver: Driver, operator: str, value: str, expected: list[int]) -> None:
    for number, name in enumerate(("äb", "xbc", None), start=1):
        driver.packet(None, number, msdyn_name=name)
    inner = '<attribute name="msdyn_sequencenumber"/>' + condition("msdyn_name", operator, value)
    assert numbers(fetch(driver, inner)) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("on", "2026-09-21", [1]),
        ("on-or-after", "2026-09-22", [2]),
        ("on-or-before", "2026-09-21", [1]),
        ("last-x-hours", "1", [2]),
        ("olderthan-x-hours", "1", [1]),
        ("last-x-days", "9", [1, 2]),
        ("next-x-days", "1", [2]),
    ],
)
def test_conditions_on_time(driver: Driver, operator: str, value: str, expected: list[int]) -> None:
    driver.packet(None, 1)
    driver.sleep(24 * 3600)
    driver.sign_in(driver.sandbox.worker)
    driver.packet(None, 2)
    inner = '<attribute name="msdyn_sequencenumber"/>' + condition("createdon", operator, value)
    assert numbers(fetch(driver, inner)) == expected


def test_filters_nest(driver: Driver) -> None:
    for number in range(5):
        driver.packet(None, number, msdyn_name=str(number % 2))
    inner = """<attribute name="msdyn_sequencenumber"/><filter type="and">
        <condition attribute="msdyn_name" operator="eq" value="1"/>
        <filter type="or"><condition attribute="msdyn_sequencenumber" operator="lt" value="2"/>
        <condition attribute="msdyn_sequencenumber" operator="gt" value="2"/></filter></filter>"""
    assert numbers(fetch(driver, inner)) == [1, 3]


def test_columns_can_be_compared(driver: Driver) -> None:
    driver.packet(None, 1)
    same = '<filter><condition attribute="createdon" operator="eq" valueof="modifiedon"/></filter>'
    other = '<filter><condition attribute="createdon" operator="lt" valueof="modifiedon"/></filter>'
    number = '<attribute name="msdyn_sequencenumber"/>'
    assert numbers(fetch(driver, number + same)) == [1]
    assert numbers(fetch(driver, number + other)) == []


def test_own_rows(driver: Driver) -> None:
    driver.packet(None, 1)
    driver.sign_in(driver.sandbox.neighbour)
    driver.packet(None, 2)
    number = '<attribute name="msdyn_sequencenumber"/>'
    assert numbers(fetch(driver, number + condition("ownerid", "eq-userid"))) == [2]
    assert numbers(fetch(driver, number + condition("ownerid", "ne-userid"))) == [1]


def test_distinct_rows_and_groups_of_dates(driver: Driver) -> None:
    for number in (1, 1, 2):
        driver.packet(None, number)
    reply = fetch(driver, '<attribute name="msdyn_sequencenumber"/>', 'distinct="true"')
    assert reply.rows == [{"msdyn_sequencenumber": 1}, {"msdyn_sequencenumber": 2}]
    inner = """<attribute name="createdon" alias="day" groupby="true" dategrouping="day"/>
        <attribute name="msdyn_sequencenumber" alias="sum" aggregate="sum"/>"""
    assert fetch(driver, inner, 'aggregate="true"').rows == [{"day": 21, "sum": 4}]


def test_an_aggregate_without_groups_has_one_row(driver: Driver) -> None:
    inner = """<attribute name="msdyn_sequencenumber" alias="n" aggregate="count"/>
        <attribute name="msdyn_sequencenumber" alias="highest" aggregate="max"/>"""
    assert fetch(driver, inner, 'aggregate="true"').rows == [{"n": 0}]


def test_more_than_fifty_thousand_rows_are_not_aggregated(driver: Driver) -> None:
    driver.control("seed", {"jobs": 13_000, "kinds": {"complete_shuffled": 1}})
    inner = '<attribute name="msdyn_sequencenumber" alias="n" aggregate="count"/>'
    refused = fetch(driver, inner, 'aggregate="true"')
    assert (refused.status, refused.code.lower()) == (400, "0x8004e023")
    assert refused.document["error"]["message"] == "AggregateQueryRecordLimit exceeded. Cannot perform this operation."
    narrower = inner + condition("msdyn_sequencenumber", "eq", "1")
    assert fetch(driver, narrower, 'aggregate="true"').rows == [{"n": 13_000}]
    assert driver.get(DETAILS, _apply="aggregate($count as n)").code.lower() == "0x8004e023"


def test_rows_past_the_page_are_lost_to_those_who_do_not_ask(driver: Driver) -> None:
    for number in range(5):
        driver.packet(None, number)
    inner = '<attribute name="msdyn_sequencenumber"/><order attribute="msdyn_sequencenumber"/>'
    silent = fetch(driver, inner, 'count="2"').document
    assert len(silent["value"]) == 2
    assert set(silent) == {"@odata.context", "value"}


def test_pages_follow_the_cookie(driver: Driver) -> None:
    for number in (3, 1, 4, 0, 2):
        driver.packet(None, number)
    inner = '<attribute name="msdyn_sequencenumber"/><order attribute="msdyn_sequencenumber" descending="true"/>'
    seen: list[int] = []
    root = 'count="2"'
    for page in range(1, 4):
        document = fetch(driver, inner, root, annotated="yes").document
        seen += [row["msdyn_sequencenumber"] for row in document["value"]]
        assert document["@Microsoft.Dynamics.CRM.morerecords"] is (page < 3)
        if page < 3:
            cookie = decode_cookie(document["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"])
            escaped = cookie.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
            root = f'count="2" page="{page + 1}" paging-cookie="{escaped}"'
    assert seen == [4, 3, 2, 1, 0]


def test_pages_without_a_cookie_go_only_so_far(driver: Driver) -> None:
    for number in range(3):
        driver.packet(None, number)
    inner = '<attribute name="msdyn_sequencenumber"/>'
    assert len(fetch(driver, inner, 'count="2" page="2"').rows) == 1
    assert fetch(driver, inner, 'count="5000" page="11"').code == "0x80041129"
    assert fetch(driver, inner, 'count="2" page="2" paging-cookie="&lt;broken"').status == 400


def test_groups_are_paged_too(driver: Driver) -> None:
    for number in range(5):
        driver.packet(None, number)
    inner = """<attribute name="msdyn_sequencenumber" alias="number" groupby="true"/>
        <attribute name="msdyn_integrationjobdetailid" alias="n" aggregate="count"/>"""
    pages = [fetch(driver, inner, f'aggregate="true" count="2" page="{page}"', annotated="yes") for page in (1, 2, 3)]
    assert [row["number"] for page in pages for row in page.rows] == [0, 1, 2, 3, 4]
    assert [page.document["@Microsoft.Dynamics.CRM.morerecords"] for page in pages] == [True, True, False]


def test_top_and_the_total(driver: Driver) -> None:
    for number in range(3):
        driver.packet(None, number)
    inner = '<attribute name="msdyn_sequencenumber"/>'
    assert len(fetch(driver, inner, 'top="2"').rows) == 2
    counted = fetch(driver, inner, 'returntotalrecordcount="true" count="1"', annotated="yes").document
    assert counted["@Microsoft.Dynamics.CRM.totalrecordcount"] == 3


@pytest.mark.parametrize(
    ("inner", "root"),
    [
        ('<attribute name="nothing"/>', ""),
        ('<attribute name="_msdyn_integrationjobheader_value"/>', ""),
        ('<attribute name="msdyn_name" aggregate="count" alias="n"/>', ""),
        ('<attribute name="msdyn_name" aggregate="count"/>', 'aggregate="true"'),
        ('<attribute name="msdyn_name" alias="n"/>', 'aggregate="true"'),
        ('<attribute name="msdyn_name" alias="n" aggregate="sum"/>', 'aggregate="true"'),
        ('<attribute name="msdyn_name" alias="n" aggregate="median"/>', 'aggregate="true"'),
        ('<attribute name="msdyn_name" alias="n" groupby="true" dategrouping="day"/>', 'aggregate="true"'),
        (
            '<attribute name="msdyn_name" alias="n" aggregate="count"/><order attribute="msdyn_name"/>',
            'aggregate="true"',
        ),
        ("", 'aggregate="true"'),
        ("<nonsense/>", ""),
        ('<attribute name="msdyn_name" colour="red"/>', ""),
        ("<attribute/>", ""),
        ("<order/>", ""),
        (condition("nothing", "eq", "1"), ""),
        (condition("msdyn_sequencenumber", "eq", "x"), ""),
        (condition("msdyn_sequencenumber", "eq"), ""),
        (condition("msdyn_sequencenumber", "like", "1"), ""),
        (condition("msdyn_sequencenumber", "resembles", "1"), ""),
        (condition("msdyn_sequencenumber", "in"), ""),
        (condition("msdyn_sequencenumber", "between", "1"), ""),
        (condition("msdyn_sequencenumber", "on", "2026-01-01"), ""),
        (condition("msdyn_integrationjobheader", "eq", "x"), ""),
        ('<filter><condition entityname="h" attribute="msdyn_name" operator="null"/></filter>', ""),
        ('<link-entity name="account" from="a" to="b"/>', ""),
        ('<link-entity name="msdyn_integrationjob" from="a" to="msdyn_integrationjobheader"/>', ""),
        ('<link-entity name="msdyn_integrationjob" from="msdyn_integrationjobid" to="ownerid" link-type="any"/>', ""),
        ("", 'top="0"'),
        ("", 'top="2" page="2"'),
    ],
)
def test_what_is_refused(driver: Driver, inner: str, root: str) -> None:
    reply = fetch(driver, inner, root)
    assert reply.status == 400, reply.body
    assert reply.code.startswith("0x800411")


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "<fetch/>",
        "<query><entity name='msdyn_integrationjobdetail'/></query>",
        "<fetch><entity name='msdyn_integrationjob'/></fetch>",
        "<!DOCTYPE x [<!ENTITY e 'x'>]><fetch><entity name='msdyn_integrationjobdetail'>&e;</entity></fetch>",
    ],
)
def test_documents_that_are_refused(driver: Driver, text: str) -> None:
    assert driver.get(f"{DETAILS}?fetchXml={quote(text)}").status == 400
