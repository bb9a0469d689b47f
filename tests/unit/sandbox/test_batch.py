"""$batch: order, change sets, references, failures, and the forms that are refused."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.sandbox.inprocess import PROCESSING, ROOT, WAITING, Driver, Reply

JOBS = "msdyn_integrationjobs"
API = "/api/data/v9.2"
GO_ON = {"Prefer": "odata.continue-on-error"}


def part(method: str, url: str, document: Any = None, content_id: int | None = None, **headers: str) -> str:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append(f"Content-ID: {content_id}")
    lines += [
        "",
        f"{method} {url} HTTP/1.1",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if document is not None:
        lines += ["Content-Type: application/json", "", json.dumps(document)]
    else:
        lines += ["", ""]
    return "\r\n".join(lines)


def change_set(*parts: str) -> str:
    body = "".join(f"--cs\r\n{each}\r\n" for each in parts)
    return f'Content-Type: multipart/mixed; boundary="cs"\r\n\r\n{body}--cs--\r\n'


def batch(driver: Driver, *parts: str, headers: Mapping[str, str] | None = None) -> Reply:
    body = "".join(f"--b\r\n{each}\r\n" for each in parts) + "--b--\r\n"
    return raw(driver, body, headers=headers)


def raw(
    driver: Driver, body: str, kind: str = 'multipart/mixed; boundary="b"', headers: Mapping[str, str] | None = None
) -> Reply:
    fields = {"Authorization": f"Bearer {driver.bearer}", "Content-Type": kind, **(headers or {})}
    return driver.send("POST", f"{API}/$batch", body.encode(), fields)


def statuses(reply: Reply) -> list[int]:
    return [int(status) for status in re.findall(rb"\r\nHTTP/1\.1 (\d+) ", reply.body)]


def test_answers_come_in_order_each_with_a_date(driver: Driver) -> None:
    job = driver.job(msdyn_name="Grüße", msdyn_status=WAITING)
    etag = driver.row(job)["@odata.etag"]
    reply = batch(
        driver,
        part("GET", f"{API}/{JOBS}({job})?$select=msdyn_name", Accept="application/json"),
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_status": PROCESSING}, If_Match=etag),
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_status": PROCESSING}, If_Match=etag),
        part("DELETE", f"{API}/{JOBS}({job})"),
        headers=GO_ON,
    )
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("multipart/mixed; boundary=batchresponse_")
    assert statuses(reply) == [200, 204, 412, 204]
    assert reply.body.count(b"Date: Mon, 21 Sep 2026 14:13:20 GMT") == 4
    assert "Grüße".encode() in reply.body
    assert reply.body.endswith(b"--\r\n")


def test_the_first_failure_ends_the_batch_and_gives_it_its_status(driver: Driver) -> None:
    job = driver.job()
    reply = batch(
        driver,
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "done"}),
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "x"}, If_Match='W/"1"'),
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "never"}),
    )
    assert reply.status == 412
    assert statuses(reply) == [204, 412]
    assert driver.row(job)["msdyn_name"] == "done"


@pytest.mark.parametrize("url", [f"{ROOT}/{JOBS}", f"{API}/{JOBS}", JOBS, f"/{JOBS}"])
def test_urls_may_be_written_in_every_form(driver: Driver, url: str) -> None:
    driver.job(msdyn_name="a b")
    reply = batch(driver, part("GET", f"{url}?$filter=msdyn_name eq 'a b'&$select=msdyn_name"))
    assert statuses(reply) == [200]
    assert b'"msdyn_name":"a b"' in reply.body


def test_a_change_set_is_one_transaction(driver: Driver) -> None:
    job = driver.job(msdyn_name="before")
    reply = batch(
        driver,
        change_set(
            part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "after"}, 1),
            part("POST", f"{API}/{JOBS}", {"msdyn_name": "x" * 251}, 2),
        ),
        part("GET", f"{API}/{JOBS}({job})"),
        headers=GO_ON,
    )
    assert reply.status == 200
    assert statuses(reply) == [400, 200]
    assert b"changesetresponse" not in reply.body
    assert driver.row(job)["msdyn_name"] == "before"


def test_a_change_set_refers_to_what_it_made(driver: Driver) -> None:
    details = "msdyn_integrationjobdetails"
    reply = batch(
        driver,
        change_set(
            part("POST", f"{ROOT}/{JOBS}", {"msdyn_name": "one"}, 1),
            part("POST", f"{ROOT}/{details}", {"msdyn_IntegrationJobHeader@odata.bind": "$1"}, 2),
            part("POST", f"{ROOT}/{details}", {"msdyn_sequencenumber": 1}, 3),
            part("PUT", "$3/msdyn_IntegrationJobHeader/$ref", {"@odata.id": "$1"}, 4),
            part("PATCH", "$1", {"msdyn_name": "two"}, 5, If_Match="*"),
            part("PUT", "$1/msdyn_numberofpackets", {"value": 2}, 6),
        ),
    )
    assert statuses(reply) == [204] * 6
    assert [int(number) for number in re.findall(rb"Content-ID: (\d)", reply.body)] == [1, 2, 3, 4, 5, 6]
    assert b"Content-Type: multipart/mixed; boundary=changesetresponse_" in reply.body
    (job,) = driver.get(JOBS).rows
    assert (job["msdyn_name"], job["msdyn_numberofpackets"]) == ("two", 2)
    headers = {row["_msdyn_integrationjobheader_value"] for row in driver.get(details).rows}
    assert headers == {job["msdyn_integrationjobid"]}


def test_a_reference_to_nothing_is_refused(driver: Driver) -> None:
    bind = {"msdyn_IntegrationJobHeader@odata.bind": "$9"}
    reply = batch(driver, change_set(part("POST", f"{API}/msdyn_integrationjobdetails", bind, 1)))
    assert reply.status == 404


def test_a_get_has_no_place_in_a_change_set(driver: Driver) -> None:
    reply = batch(driver, change_set(part("GET", f"{API}/{JOBS}", None, 1)))
    assert reply.status == 400
    assert "An invalid HTTP method 'GET'" in reply.document["error"]["message"]


def test_a_change_needs_a_content_id(driver: Driver) -> None:
    reply = batch(driver, change_set(part("POST", f"{API}/{JOBS}", {})))
    assert "Content-ID" in reply.document["error"]["message"]


def test_a_thousand_operations_and_not_one_more(driver: Driver) -> None:
    one = part("GET", f"{API}/WhoAmI")
    assert len(statuses(batch(driver, *[one] * 1000))) == 1000
    refused = batch(driver, *[one] * 1001)
    assert (refused.status, refused.code) == (400, "0x80060888")
    mixed = change_set(*[part("POST", f"{API}/{JOBS}", {}, number) for number in range(1000)])
    assert batch(driver, mixed, one).status == 400
    assert driver.get(JOBS).rows == []


def test_batches_do_not_nest(driver: Driver) -> None:
    reply = batch(driver, part("POST", f"{API}/$batch", {}), headers=GO_ON)
    assert statuses(reply) == [400]


def test_long_urls_pass_inside_a_batch(driver: Driver) -> None:
    long = f"{API}/{JOBS}?$filter=msdyn_name eq '{'x' * 40_000}'"
    assert statuses(batch(driver, part("GET", long))) == [200]
    longer = f"{API}/{JOBS}?$filter=msdyn_name eq '{'x' * 66_000}'"
    assert batch(driver, part("GET", longer)).status == 400


def test_reads_see_the_writes_before_them(driver: Driver) -> None:
    job = driver.job(msdyn_name="before")
    reply = batch(
        driver,
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "after"}),
        part("GET", f"{API}/{JOBS}({job})?$select=msdyn_name"),
    )
    assert b'"msdyn_name":"after"' in reply.body


def test_what_each_part_prefers_is_its_own(driver: Driver) -> None:
    job = driver.job()
    reply = batch(
        driver,
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "x"}, Prefer="return=representation"),
        part("PATCH", f"{API}/{JOBS}({job})", {"msdyn_name": "y"}),
    )
    assert statuses(reply) == [200, 204]


def test_the_audit_knows_the_request_of_each_part(driver: Driver) -> None:
    batch(
        driver,
        part("POST", f"{API}/{JOBS}", {}),
        part("POST", f"{API}/{JOBS}", {}, x_ms_client_request_id="inner"),
        headers={"x-ms-client-request-id": "outer"},
    )
    assert [change["request_id"] for change in driver.control("audit")["changes"]] == ["outer", "inner"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", 'multipart/mixed; boundary="b"'),
        ("--b\n\nnothing\n--b--\n", 'multipart/mixed; boundary="b"'),
        ("--b\r\nContent-Type: application/http\r\n\r\nGET /x HTTP/1.1\r\n\r\n", 'multipart/mixed; boundary="b"'),
        ("--b\r\nContent-Type: application/http\r\n\r\nGET /x\r\n\r\n--b--", 'multipart/mixed; boundary="b"'),
        ("--b\r\nContent-Type: text/plain\r\n\r\nGET /x HTTP/1.1\r\n\r\n--b--", 'multipart/mixed; boundary="b"'),
        ("--b\r\nnonsense\r\n\r\nGET /x HTTP/1.1\r\n\r\n--b--", 'multipart/mixed; boundary="b"'),
        ("--b extra\r\n\r\n--b--", 'multipart/mixed; boundary="b"'),
        ("{}", "application/json"),
        ("--b--", "multipart/mixed"),
    ],
)
def test_malformed_batches_do_nothing(driver: Driver, body: str, kind: str) -> None:
    reply = raw(driver, body, kind)
    assert (reply.status, reply.code) == (400, "0x80060888")


def test_an_empty_batch_is_answered_with_an_empty_one(driver: Driver) -> None:
    assert statuses(raw(driver, "--b--\r\n")) == []


def test_a_batch_is_a_post(driver: Driver) -> None:
    assert driver.get("$batch").status == 400
