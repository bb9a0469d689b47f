"""Requests as they go over the wire, in the forms that Microsoft's reference shows and clients send."""

import json
import re
from urllib.parse import quote

import httpx
import pytest

from tests.conformance.sandbox_process import API, Raw

JOBS = "msdyn_integrationjobs"
DETAILS = "msdyn_integrationjobdetails"
DOCUMENTED = {
    "Accept": "application/json",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
    "If-None-Match": "null",
}
CHANGE = {**DOCUMENTED, "Content-Type": "application/json"}
CHANGE.pop("If-None-Match")


def batch(raw: Raw, body: str, **headers: str) -> httpx.Response:
    kind = {"Content-Type": 'multipart/mixed; boundary="batch_AAA123"', **DOCUMENTED, **headers}
    return raw("POST", "$batch", content=body.replace("\n", "\r\n").encode(), headers=kind)


def statuses(answer: httpx.Response) -> list[int]:
    return [int(status) for status in re.findall(r"^HTTP/1\.1 (\d+)", answer.text, re.MULTILINE)]


@pytest.mark.parametrize(
    "query",
    [
        "$filter=msdyn_name eq 'a b'",
        "$filter=msdyn_name%20eq%20%27a%20b%27",
        "$filter=msdyn_name+eq+'a+b'",
        "%24filter=msdyn_name%20eq%20'a%20b'",
    ],
)
def test_a_query_may_be_encoded_in_every_way(raw: Raw, query: str) -> None:
    raw.job(msdyn_name="a b")
    raw.job(msdyn_name="a+b")
    answer = raw("GET", f"{JOBS}?{query}&$select=msdyn_name", headers=DOCUMENTED)
    assert [row["msdyn_name"] for row in answer.json()["value"]] == ["a b"]


@pytest.mark.parametrize("name", ["O'Neill & Sons", "100 % #1?", "a+b=c/d", "Ünïcödé 計画 🚀", 'quote " and \\ slash'])
def test_names_survive_the_way_there_and_back(raw: Raw, name: str) -> None:
    job = raw.job(msdyn_name=name, msdyn_regardingentityid=name)
    escaped = quote(name.replace("'", "''"), safe="")
    (row,) = raw("GET", f"{JOBS}?$filter=msdyn_name eq '{escaped}'&$select=msdyn_name").json()["value"]
    assert (row["msdyn_integrationjobid"], row["msdyn_name"]) == (job, name)


def test_create_update_read_and_delete_as_documented(raw: Raw) -> None:
    created = raw("POST", JOBS, json={"msdyn_name": "Sample"}, headers=CHANGE)
    assert (created.status_code, created.content) == (204, b"")
    url = created.headers["OData-EntityId"]
    assert re.fullmatch(rf"{raw.details['url']}{API}/{JOBS}\([0-9a-f-]{{36}}\)", url)
    path = url.partition(f"{API}/")[2]
    row = raw("GET", f"{path}?$select=msdyn_name", headers=DOCUMENTED)
    assert row.json()["@odata.context"] == f"{raw.details['url']}{API}/$metadata#{JOBS}(msdyn_name)/$entity"
    etag = row.json()["@odata.etag"]
    assert re.fullmatch(r'W/"\d+"', etag)
    changed = raw(
        "PATCH",
        f"{path}?$select=msdyn_name",
        json={"msdyn_name": "Changed"},
        headers={**CHANGE, "If-Match": etag, "Prefer": "return=representation"},
    )
    assert (changed.status_code, changed.json()["msdyn_name"]) == (200, "Changed")
    stale = raw("PATCH", path, json={"msdyn_name": "Lost"}, headers={**CHANGE, "If-Match": etag})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "")
    assert raw("DELETE", path).status_code == 204
    gone = raw("GET", path, headers=DOCUMENTED)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "0x80040217")


def test_pages_are_followed_to_the_end(raw: Raw) -> None:
    for number in range(7):
        raw.job(msdyn_name=f"n {number}")
    prefer = {**DOCUMENTED, "Prefer": "odata.maxpagesize=3"}
    answer = raw("GET", f"{JOBS}?$select=msdyn_name&$orderby=msdyn_name desc&$count=true", headers=prefer)
    assert answer.headers["Preference-Applied"] == "odata.maxpagesize=3"
    assert answer.json()["@odata.count"] == 7
    names = []
    while True:
        names += [row["msdyn_name"] for row in answer.json()["value"]]
        link = answer.json().get("@odata.nextLink")
        if link is None:
            break
        assert link.startswith(f"{raw.details['url']}{API}/{JOBS}?")
        answer = raw.http.get(link, headers={**raw.headers, **prefer})
    assert names == [f"n {number}" for number in reversed(range(7))]


def test_a_batch_as_documented(raw: Raw) -> None:
    job = raw.job(msdyn_name="one")
    answer = batch(
        raw,
        f"""--batch_AAA123
Content-Type: multipart/mixed; boundary="changeset_dd81ccab"

--changeset_dd81ccab
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

POST {raw.details["url"]}{API}/{JOBS} HTTP/1.1
Content-Type: application/json; type=entry

{{
    "msdyn_name": "in a set"
}}
--changeset_dd81ccab
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 2

POST {API}/{DETAILS} HTTP/1.1
Content-Type: application/json; type=entry

{{"msdyn_sequencenumber": 1, "msdyn_IntegrationJobHeader@odata.bind": "$1"}}

--changeset_dd81ccab--

--batch_AAA123
Content-Type: application/http
Content-Transfer-Encoding: binary

GET {API}/{DETAILS}?$select=msdyn_sequencenumber&$filter=msdyn_IntegrationJobHeader/msdyn_name eq 'in a set' HTTP/1.1
Accept: application/json


--batch_AAA123
Content-Type: application/http
Content-Transfer-Encoding: binary

PATCH {API}/{JOBS}({job}) HTTP/1.1
If-Match: W/"1"
Content-Type: application/json

{{"msdyn_name": "lost"}}
--batch_AAA123--
""",
        Prefer="odata.continue-on-error",
    )
    assert answer.status_code == 200
    assert statuses(answer) == [204, 204, 200, 412]
    assert re.findall(r"Content-ID: (\d)", answer.text) == ["1", "2"]
    boundary = answer.headers["Content-Type"].partition("boundary=")[2]
    assert answer.text.startswith(f"--{boundary}\r\nContent-Type: multipart/mixed; boundary=changesetresponse_")
    assert answer.text.endswith(f"--{boundary}--\r\n")
    body = re.search(r'\{"@odata\.context".*\}', answer.text)
    assert body is not None
    assert [row["msdyn_sequencenumber"] for row in json.loads(body.group())["value"]] == [1]


def test_line_ends_have_to_be_right(raw: Raw) -> None:
    body = f"--batch_AAA123\nContent-Type: application/http\n\nGET {API}/WhoAmI HTTP/1.1\n\n\n--batch_AAA123--\n"
    headers = {"Content-Type": "multipart/mixed; boundary=batch_AAA123"}
    assert raw("POST", "$batch", content=body.encode(), headers=headers).status_code == 400


def test_a_body_may_come_in_chunks(raw: Raw) -> None:
    answer = raw("POST", JOBS, content=iter([b'{"msdyn_name"', b':"chunked"}']), headers=CHANGE)
    assert answer.status_code == 204


def test_an_id_may_be_written_in_capitals(raw: Raw) -> None:
    job = raw.job(msdyn_name="x")
    assert raw("GET", f"{JOBS}({job.upper()})").json()["msdyn_integrationjobid"] == job


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{JOBS}?$skip=5", 400, "0x80060888"),
        ("GET", f"{JOBS}?$select=nothing", 400, "0x80060888"),
        ("GET", "Msdyn_IntegrationJobs", 404, "0x8006088a"),
        ("GET", "accounts", 404, "0x8006088a"),
        ("GET", f"{JOBS}(00000000-0000-0000-0000-000000000001)", 404, "0x80040217"),
        ("POST", f"{JOBS}/Microsoft.Dynamics.CRM.Nothing", 404, "0x8006088a"),
    ],
)
def test_refusals_have_the_services_form(raw: Raw, method: str, path: str, status: int, code: str) -> None:
    answer = raw(method, path, headers=DOCUMENTED)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert answer.json()["error"]["code"] == code


def test_other_versions_of_the_api(raw: Raw) -> None:
    for version in ("v9.0", "v9.1"):
        assert raw.http.get(f"/api/data/{version}/WhoAmI", headers=raw.headers).status_code == 200
    assert raw.http.get("/api/data/v12/WhoAmI", headers=raw.headers).status_code == 404


def test_the_neighbour_is_somebody_else(raw: Raw) -> None:
    mine = raw("GET", "WhoAmI").json()["UserId"]
    raw.sign_in("neighbour_")
    theirs = raw("GET", "WhoAmI").json()["UserId"]
    raw.sign_in()
    assert mine != theirs
