"""Whatever is sent, the answer is the service's, never a mistake of the sandbox's own."""

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.sandbox.inprocess import READY, Driver

JOBS = "msdyn_integrationjobs"
DETAILS = "msdyn_integrationjobdetails"
KEY = "11111111-2222-3333-4444-555555555555"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = st.sampled_from(
    [
        "msdyn_name", "msdyn_status", "createdon", "_ownerid_value", "msdyn_IntegrationJobHeader/msdyn_status",
        "createdby/fullname", "eq", "ne", "gt", "and", "or", "not", "(", ")", "[", "]", ",", "/", ":", "'a'", "'",
        "null", "true", "192350000", "-1", "1.5", "9" * 30, "1e400", KEY, "2026-01-01", "2026-01-01T00:00:00Z",
        "9999-12-31",
        "contains(", "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_status',PropertyValues=['1'])", "desc", "$count",
        "msdyn_msdyn_integrationjob_msdyn_integrationjob", "/any(x:x/msdyn_name eq 'a')", "groupby((", "aggregate(",
        "filter(", " with sum as n", " as n", "$select=", ";", "*", "=", "$filter=", "\x00", "é", "🚀",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=30), st.lists(WORDS, max_size=12).map(" ".join), st.lists(WORDS, max_size=8).map("".join)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
COLUMNS = st.sampled_from(
    [
        "msdyn_name", "msdyn_status", "msdyn_numberofpackets", "msdyn_integrationjobid", "statecode", "statuscode",
        "createdon", "overriddencreatedon", "versionnumber", "ownerid@odata.bind", "ownerid", "_ownerid_value",
        "@odata.type", "nothing",
    ]
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_mistakes(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@QUICK
@given(
    option=st.sampled_from(["$filter", "$select", "$orderby", "$expand", "$apply", "$top", "$skiptoken"]), text=TEXTS
)
def test_query_options(driver: Driver, option: str, text: str) -> None:
    for path in (JOBS, f"{DETAILS}", f"{JOBS}({KEY})", "EntityDefinitions"):
        assert driver.get(f"{path}?{option}={quote(text)}").status in {200, 400, 404}


STEPS = [
    JOBS, f"{JOBS}({KEY})", "$ref", "$count", "(", ")", "/", "$batch", "$1", "WhoAmI", "EntityDefinitions",
    "Attributes", "$metadata", "msdyn_name", "Microsoft.Dynamics.CRM.CreateMultiple",
]  # fmt: skip
PATHS = st.one_of(TEXTS, st.lists(st.sampled_from(STEPS), max_size=5).map("/".join))
METHODS = st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"])


@QUICK
@given(path=PATHS, method=METHODS)
def test_paths(driver: Driver, path: str, method: str) -> None:
    reply = driver.send(
        method, f"/api/data/v9.2/{path.replace('?', '')}", b"{}", {"Authorization": f"Bearer {driver.bearer}"}
    )
    assert reply.status in {200, 204, 400, 403, 404, 405, 412, 501}


@QUICK
@given(document=st.one_of(VALUES, st.dictionaries(COLUMNS, VALUES, max_size=4)))
def test_bodies(driver: Driver, document: Any) -> None:
    body = json.dumps(document).encode()
    headers = {"Authorization": f"Bearer {driver.bearer}"}
    for method, path in (
        ("POST", JOBS),
        ("PATCH", f"{JOBS}({KEY})"),
        ("POST", f"{JOBS}/Microsoft.Dynamics.CRM.UpsertMultiple"),
    ):
        assert driver.send(method, f"/api/data/v9.2/{path}", body, headers).status in {201, 204, 400, 404, 412, 501}


FRAGMENTS = st.sampled_from(
    [
        '<attribute name="msdyn_sequencenumber"/>', '<attribute name="createdon" alias="a" aggregate="max"/>',
        '<attribute name="msdyn_name" alias="b" groupby="true"/>', "<all-attributes/>",
        '<order attribute="createdon"/>',
        '<order alias="a" descending="true"/>', '<filter type="or">', "</filter>", "<filter>",
        '<condition attribute="createdon" operator="last-x-days" value="5"/>',
        '<condition attribute="msdyn_sequencenumber" operator="in"><value>1</value></condition>',
        '<condition attribute="msdyn_name" operator="like" value="[%"/>',
        '<condition attribute="h.x" operator="null"/>',
        '<link-entity name="msdyn_integrationjob" from="msdyn_integrationjobid" to="msdyn_integrationjobheader">',
        "</link-entity>", "<value/>", "text",
    ]
)  # fmt: skip


@QUICK
@given(
    parts=st.lists(FRAGMENTS, max_size=6),
    root=st.sampled_from(["", 'aggregate="true"', 'distinct="true"', 'count="2" page="3"', 'top="1"', 'page="x"']),
)
def test_fetchxml(driver: Driver, parts: list[str], root: str) -> None:
    text = f'<fetch {root}><entity name="msdyn_integrationjobdetail">{"".join(parts)}</entity></fetch>'
    assert driver.get(f"{DETAILS}?fetchXml={quote(text)}").status in {200, 400}


@QUICK
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                "--b", "\r\n", "\n", "--b--", "--c", "--c--", "Content-Type: application/http",
                "Content-Type: multipart/mixed; boundary=c", "Content-ID: 1", f"GET /api/data/v9.2/{JOBS} HTTP/1.1",
                "POST $1 HTTP/1.1", f"PATCH {JOBS}({KEY}) HTTP/1.1", "{}", '{"msdyn_name":"x"}', "If-Match: *",
            ]
        ),
        max_size=25,
    )
)  # fmt: skip
def test_batches(driver: Driver, pieces: list[str]) -> None:
    body = "--b\r\n" + "\r\n".join(pieces) + "\r\n--b--\r\n"
    headers = {"Authorization": f"Bearer {driver.bearer}", "Content-Type": "multipart/mixed; boundary=b"}
    assert driver.send("POST", "/api/data/v9.2/$batch", body.encode(), headers).status in {200, 400, 404}


NAMES = st.sampled_from(["Prefer", "If-Match", "If-None-Match"])
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@QUICK
@given(headers=st.dictionaries(NAMES, PRINTABLE))
def test_headers(driver: Driver, headers: dict[str, str]) -> None:
    driver.api("PATCH", f"{JOBS}({KEY})", {"msdyn_status": READY})
    assert driver.get(f"{JOBS}({KEY})", headers).status in {200, 304}
    assert driver.api("PATCH", f"{JOBS}({KEY})", {}, headers).status in {200, 204, 412}
