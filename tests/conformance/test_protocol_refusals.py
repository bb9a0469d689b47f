"""Every status of the protocol's table and every refusal, over HTTPS, with the documented status and code.

A prepared environment holds one job with two packets; `JOB` in a path or header stands for its id, `ETAG` for its ETag.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.conformance.sandbox_process import API, Raw

JOBS = "msdyn_integrationjobs"
DETAILS = "msdyn_integrationjobdetails"
NOBODY = "00000000-0000-0000-0000-000000000001"
SEQUENCE = "msdyn_sequencenumber"
STALE = {"If-Match": 'W/"1"'}
TRACK = {"Prefer": "odata.track-changes"}
TABLES = "EntityDefinitions(LogicalName='msdyn_integrationjob')"


@dataclass(frozen=True)
class Refusal:
    """A request that the service refuses.

    Attributes:
        fact: What is refused.
        method, path, headers, document: The request.
        status: The HTTP status.
        code: The error's code, as documented; None where the answer has no such body.
        message: A part of the error's message.
    """

    fact: str
    method: str
    path: str
    status: int
    code: str | None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None


def fetch(inner: str) -> str:
    return (
        f"{DETAILS}?fetchXml=<fetch aggregate='true'><entity name='msdyn_integrationjobdetail'>{inner}</entity></fetch>"
    )


REFUSALS = [
    # Status 400: what is asked makes no sense.
    Refusal("no $skip", "GET", f"{JOBS}?$skip=5", 400, "0x80060888", "Skip Clause is not supported in CRM"),
    Refusal("unknown column in $select", "GET", f"{JOBS}?$select=nothing", 400, "0x80060888", "nothing"),
    Refusal("unknown column in $filter", "GET", f"{JOBS}?$filter=nothing eq 1", 400, "0x80060888", "nothing"),
    Refusal("unknown column in $orderby", "GET", f"{JOBS}?$orderby=nothing", 400, "0x80060888", "nothing"),
    Refusal("column in the wrong case", "GET", f"{JOBS}?$select=msdyn_Status", 400, "0x80060888", "msdyn_Status"),
    Refusal("unknown query option", "GET", f"{JOBS}?$nothing=1", 400, "0x80060888"),
    Refusal("malformed $filter", "GET", f"{JOBS}?$filter=msdyn_status eq", 400, "0x80060888"),
    Refusal("text where a number stands", "GET", f"{JOBS}?$filter=msdyn_status eq 'Ready'", 400, "0x80060888"),
    Refusal(
        "navigation property in lower case",
        "POST",
        DETAILS,
        400,
        "0x0",
        "msdyn_integrationjobheader",
        document={"msdyn_integrationjobheader@odata.bind": "/msdyn_integrationjobs(JOB)"},
    ),
    Refusal("unknown column in a body", "POST", JOBS, 400, "0x0", "nothing", document={"nothing": 1}),
    Refusal("name too long", "POST", JOBS, 400, "0x80044331", "250", document={"msdyn_name": "x" * 251}),
    Refusal(
        "response too long",
        "PATCH",
        f"{JOBS}(JOB)",
        400,
        "0x80044331",
        "1048576",
        headers={"If-Match": "*"},
        document={"msdyn_responsejson": "x" * 1_048_577},
    ),
    Refusal(
        "payload too long", "POST", DETAILS, 400, "0x80044331", "1048576", document={"msdyn_fulljson": "x" * 1_048_577}
    ),
    Refusal("integer below its range", "POST", JOBS, 400, "0x80044330", document={"msdyn_numberofpackets": -1}),
    Refusal("integer beyond 32 bits", "POST", JOBS, 400, None, document={"msdyn_numberofpackets": 2_147_483_648}),
    Refusal("no option of the picklist", "POST", JOBS, 400, "0x8004431a", document={"msdyn_status": 7}),
    Refusal("$filter with track-changes", "GET", f"{JOBS}?$filter=msdyn_status eq 1", 400, "0x80060888", headers=TRACK),
    Refusal("$orderby with track-changes", "GET", f"{JOBS}?$orderby=createdon", 400, "0x80060888", headers=TRACK),
    Refusal("$top with track-changes", "GET", f"{JOBS}?$top=5", 400, "0x80060888", headers=TRACK),
    Refusal(
        "$expand with track-changes",
        "GET",
        f"{DETAILS}?$expand=msdyn_IntegrationJobHeader",
        400,
        "0x80060888",
        headers=TRACK,
    ),
    Refusal("FetchXML that is no XML", "GET", f"{DETAILS}?fetchXml=<fetch", 400, None),
    Refusal(
        "FetchXML with a column as OData reads it",
        "GET",
        fetch("<attribute name='_msdyn_integrationjobheader_value' alias='n' aggregate='count'/>"),
        400,
        "0x80041103",
    ),
    # Status 403 and 404, 405, 412.
    Refusal("row that is gone", "GET", f"{JOBS}({NOBODY})", 404, "0x80040217"),
    Refusal("unknown entity set", "GET", "accounts", 404, "0x8006088a"),
    Refusal("entity set in the wrong case", "GET", "Msdyn_IntegrationJobs", 404, "0x8006088a"),
    Refusal("unknown action", "POST", f"{JOBS}(JOB)/Microsoft.Dynamics.CRM.Nothing", 404, "0x8006088a", document={}),
    Refusal(
        "PATCH of a row that is gone", "PATCH", f"{JOBS}({NOBODY})", 404, "", headers={"If-Match": "*"}, document={}
    ),
    Refusal("method that a resource does not know", "PUT", JOBS, 405, "0x80060888", document={}),
    Refusal("ETag that no longer matches", "PATCH", f"{JOBS}(JOB)", 412, "", "RowVersion", STALE, {"msdyn_name": "x"}),
    Refusal("delete with such an ETag", "DELETE", f"{JOBS}(JOB)", 412, "", "RowVersion", STALE),
    Refusal(
        "If-None-Match: * of a row that is there",
        "PATCH",
        f"{JOBS}(JOB)",
        412,
        "0x80040237",
        headers={"If-None-Match": "*"},
        document={},
    ),
    Refusal(
        "id that is taken", "POST", JOBS, 412, "0x80040237", "matching key", document={"msdyn_integrationjobid": "JOB"}
    ),
]


@pytest.fixture
def job(raw: Raw) -> str:
    """A job with two packets."""
    job = raw.job(msdyn_name="prepared")
    for number in (1, 2):
        columns = {SEQUENCE: number, "msdyn_IntegrationJobHeader@odata.bind": f"/{JOBS}({job})"}
        assert raw("POST", DETAILS, json=columns).status_code == 204
    return job


def refused(answer: httpx.Response, status: int, code: str | None = None) -> str:
    """Check a refusal and give its message."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    if code is not None:
        assert answer.json()["error"]["code"] == code, answer.text
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.fact.replace(" ", "-"))
def test_what_the_service_refuses_is_refused(raw: Raw, job: str, refusal: Refusal) -> None:
    document = json.loads(json.dumps(refusal.document).replace("JOB", job))
    before = raw.control("audit")
    answer = raw(
        refusal.method,
        refusal.path.replace("JOB", job),
        headers=dict(refusal.headers),
        json=None if refusal.document is None else document,
    )

    assert refusal.message in refused(answer, refusal.status, refusal.code)
    assert raw.control("audit") == before


def test_401_without_a_token_and_with_a_bad_one(raw: Raw) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        answer = raw.http.get(f"{API}/WhoAmI", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


def test_401_once_a_token_has_expired(raw: Raw) -> None:
    raw.control("clock", {"advance": 2 * 3600})
    assert raw("GET", "WhoAmI").status_code == 401
    raw.sign_in()
    assert raw("GET", "WhoAmI").status_code == 200


def test_403_names_the_privilege_that_is_missing(raw: Raw, job: str) -> None:
    denied = ["prvReadmsdyn_integrationjobdetail", "prvWritemsdyn_integrationjob"]
    raw.control("privileges", {"client_id": raw.details["client_id"], "denied": denied})
    assert denied[0] in refused(raw("GET", DETAILS), 403, "0x80040220")
    answer = raw("PATCH", f"{JOBS}({job})", json={"msdyn_name": "x"}, headers={"If-Match": "*"})
    assert denied[1] in refused(answer, 403, "0x80040220")


def test_404_of_the_action_where_its_solution_is_absent(raw: Raw, job: str) -> None:
    action = f"{JOBS}({job})/Microsoft.Dynamics.CRM.msdyn_MarkIntegrationJobAsFailedAsync"
    assert raw("POST", action, json={"Error": None}).status_code == 204
    raw.control("action", {"installed": False})
    refused(raw("POST", action, json={"Error": "x"}), 404, "0x8006088a")


def test_413_of_a_body_beyond_what_the_service_takes(raw: Raw) -> None:
    piece = b"x" * 1_048_576
    refused(raw("POST", "$batch", content=(piece for _ in range(130)), headers=_mixed()), 413)


@pytest.mark.parametrize(
    ("limits", "code", "message"),
    [
        ({"requests": 2}, "0x80072322", "Number of requests exceeded the limit of 2 over time window of 300 seconds."),
        (
            {"execution_ms": 0.001},
            "0x80072321",
            (
                "Combined execution time of incoming requests exceeded limit of 0 milliseconds over time window of "
                "300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again "
                "later."
            ),
        ),
    ],
)
def test_429_names_its_limit_and_how_long_to_wait(raw: Raw, limits: dict[str, Any], code: str, message: str) -> None:
    raw.control("limits", limits)
    answers = [raw("GET", "WhoAmI") for _ in range(4)]
    throttled = [answer for answer in answers if answer.status_code == 429]
    assert refused(throttled[0], 429, code) == message
    assert int(throttled[0].headers["Retry-After"]) >= 1
    assert raw.control("stats")["throttled"] == {code: len(throttled)}


def test_429_makes_those_wait_longer_who_go_on(raw: Raw) -> None:
    raw.control("limits", {"requests": 1, "window": 20})
    raw("GET", "WhoAmI")
    first = int(raw("GET", "WhoAmI").headers["Retry-After"])
    until = time.monotonic() + 10
    waits = [first]
    while waits[-1] <= first and time.monotonic() < until:
        waits.append(int(raw("GET", "WhoAmI").headers["Retry-After"]))
    assert waits[-1] > first
    assert raw.control("stats")["retry_after_disobeyed"] >= 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_when_it_is_asked_for(raw: Raw, status: int) -> None:
    raw.control("faults", {"rules": [{"kind": "server_error", "status": status, "next": 1}]})
    assert raw("GET", "WhoAmI").status_code == status
    assert raw("GET", "WhoAmI").status_code == 200


def test_a_patch_without_if_match_creates_the_row(raw: Raw) -> None:
    answer = raw("PATCH", f"{JOBS}({NOBODY})", json={"msdyn_name": "made by accident"})
    assert answer.status_code == 204
    assert raw("GET", f"{JOBS}({NOBODY})").json()["msdyn_name"] == "made by accident"


def test_no_more_rows_are_aggregated_than_documented(raw: Raw) -> None:
    raw.control("seed", {"jobs": 50_001, "kinds": {"waiting_missing": 1}})
    query = "<attribute name='msdyn_integrationjobid' alias='n' aggregate='count'/>"
    path = f"{JOBS}?fetchXml=<fetch aggregate='true'><entity name='msdyn_integrationjob'>{query}</entity></fetch>"
    message = refused(raw("GET", path), 400, "0x8004E023")
    assert message == "AggregateQueryRecordLimit exceeded. Cannot perform this operation."
    refused(raw("GET", f"{JOBS}?$apply=aggregate($count as n)"), 400, "0x8004E023")


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("$skiptoken=", "$skiptoken=W"),
        ("$select=msdyn_sequencenumber", "$select=msdyn_name"),
        (f"{DETAILS}?", f"{JOBS}?"),
    ],
)
def test_a_next_link_that_was_tampered_with_is_refused(raw: Raw, job: str, part: str, other: str) -> None:
    pages = {**raw.headers, "Prefer": "odata.maxpagesize=1"}
    link = raw("GET", f"{DETAILS}?$select={SEQUENCE}", headers=pages).json()["@odata.nextLink"]
    assert part in link
    refused(raw.http.get(link.replace(part, other), headers=pages), 400)
    assert raw.http.get(link, headers=pages).status_code == 200


def test_a_delta_link_of_another_age_is_refused(raw: Raw, job: str) -> None:
    link = raw("GET", f"{JOBS}?$select=msdyn_name", headers=TRACK).json()["@odata.deltaLink"]
    assert raw.http.get(link, headers=raw.headers).status_code == 200
    raw.control("clock", {"advance": 8 * 86_400})
    raw.sign_in()
    refused(raw.http.get(link, headers=raw.headers), 400)


def test_tracking_has_to_be_switched_on_for_the_table(raw: Raw) -> None:
    raw.control("tables", {"table": "msdyn_integrationjob", "change_tracking": False})
    assert not raw("GET", f"{TABLES}?$select=ChangeTrackingEnabled").json()["ChangeTrackingEnabled"]
    refused(raw("GET", JOBS, headers=TRACK), 400)


def test_etags_guard_only_tables_with_optimistic_concurrency(raw: Raw, job: str) -> None:
    raw.control("tables", {"table": "msdyn_integrationjob", "optimistic_concurrency": False})
    answer = raw("PATCH", f"{JOBS}({job})", json={"msdyn_name": "x"}, headers=STALE)
    assert "Optimistic concurrency isn't enabled" in refused(answer, 400, "0x8006088d")


def _mixed() -> dict[str, str]:
    return {"Content-Type": "multipart/mixed; boundary=batch_1"}


def _batch(raw: Raw, *lines: str) -> httpx.Response:
    return raw("POST", "$batch", content="\r\n".join([*lines, ""]).encode(), headers=_mixed())


PART = ("--batch_1", "Content-Type: application/http", "Content-Transfer-Encoding: binary", "")


def test_a_batch_has_a_thousand_operations_at_the_most(raw: Raw) -> None:
    asks = [*PART, f"GET {API}/WhoAmI HTTP/1.1", "", ""]
    assert _batch(raw, *asks * 1000, "--batch_1--").status_code == 200
    refused(_batch(raw, *asks * 1001, "--batch_1--"), 400)


def test_a_batch_within_a_batch_is_refused(raw: Raw) -> None:
    answer = _batch(raw, *PART, f"POST {API}/$batch HTTP/1.1", "Content-Type: multipart/mixed", "", "", "--batch_1--")
    assert answer.status_code == 400
    assert "cannot contain another $batch" in answer.text


def test_a_get_in_a_change_set_is_refused(raw: Raw) -> None:
    answer = _batch(
        raw,
        "--batch_1",
        "Content-Type: multipart/mixed; boundary=changeset_1",
        "",
        "--changeset_1",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "Content-ID: 1",
        "",
        f"GET {API}/{JOBS} HTTP/1.1",
        "",
        "",
        "--changeset_1--",
        "--batch_1--",
    )
    refused(answer, 400)


@pytest.mark.parametrize(("length", "status"), [(32_768, 200), (32_769, 414)])
def test_a_url_is_no_longer_than_documented(raw: Raw, length: int, status: int) -> None:
    path = f"{JOBS}?$filter=msdyn_name eq '"
    space = path.replace(" ", "%20").replace("'", "%27")
    room = length - len(f"{API}/{space}%27")
    assert raw("GET", f"{space}{'x' * room}%27").status_code == status
