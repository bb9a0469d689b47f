"""What callers rely on: which requests are tried again, how pages are followed, what a batch answers."""

import json
import socket
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from defusedxml.ElementTree import fromstring
from prometheus_client import CollectorRegistry

from config.metrics import DataverseMetrics
from tests.unit.worker.dataverse.server import Answer, Hangup, Received, ScriptedServer
from worker.dataverse.answers import Part
from worker.dataverse.batch import read, update
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import (
    BadRequestError,
    NeverSentError,
    OutcomeUnknownError,
    PreconditionFailedError,
    ResourceMissingError,
    UnavailableError,
    UnexpectedAnswerError,
)
from worker.dataverse.fetchxml import Aggregate, Fetch
from worker.dataverse.odata import Query, eq
from worker.dataverse.retrying import Patience
from worker.dataverse.transport import Transport

JOB = UUID("7f5f5a1e-0000-4000-8000-000000000001")
QUERY = Query("rows", ("name",))
FETCH = Fetch("details", "detail", ("header", "job"), (Aggregate("id", "rows", "count"),))
WRITE = update("rows", JOB, {"a": 1}, etag='W/"1"', select=("a",))
EMPTY = Answer(200, {"value": []})


def batch_answer(*parts: str) -> Answer:
    """Answer a $batch with these HTTP messages."""
    opening = "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    text = "".join(f"{opening}{part}\r\n" for part in parts) + "--b--\r\n"
    return Answer(200, text.encode(), {"Content-Type": "multipart/mixed; boundary=b"})


OK = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"value":[{"name":"x"}]}'
DONE = 'HTTP/1.1 200 OK\r\n\r\n{"@odata.etag":"W/\\"2\\""}'
LOST = 'HTTP/1.1 412 Precondition Failed\r\n\r\n{"error":{"code":"","message":"changed"}}'


def names(client: DataverseClient) -> list[str]:
    return [row["name"] for page in client.pages(QUERY, operation="read") for row in page.rows]


# Reads


@pytest.mark.parametrize(
    "failure",
    [Hangup(), Answer(500), Answer(503), Answer(200, b"{cut"), Answer(200, b"[]")],
    ids=["hangup", "500", "503", "no json", "no object"],
)
def test_a_read_is_tried_again(server: ScriptedServer, client: DataverseClient, failure: Answer | Hangup) -> None:
    server.will_answer(failure, failure, Answer(200, {"value": [{"name": "x"}]}))
    assert names(client) == ["x"]
    assert len(server.received) == 3


def test_patience_with_reads_has_an_end(
    server: ScriptedServer, transport: Transport, metrics: DataverseMetrics
) -> None:
    server.will_answer(Answer(503))
    with pytest.raises(UnavailableError) as caught:
        names(DataverseClient(transport, metrics, reads=Patience(attempts=4, seconds=30)))
    assert caught.value.transient
    assert len(server.received) == 4


def test_a_wrong_read_is_never_sent_again(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(Answer(400, {"error": {"code": "0x80060888", "message": "bad"}}))
    with pytest.raises(BadRequestError):
        names(client)
    assert len(server.received) == 1


def test_an_answer_without_rows_is_not_taken_for_an_empty_table(
    server: ScriptedServer, client: DataverseClient
) -> None:
    server.will_answer(Answer(200, b""))
    with pytest.raises(UnavailableError):
        names(client)


def test_pages_are_followed_exactly_with_the_same_preference(server: ScriptedServer, client: DataverseClient) -> None:
    token = "rows?$select=name&$skiptoken=%3Ccookie%20pagenumber=%222%22%20/%3E"
    server.will_answer(
        Answer(200, {"value": [{"name": "a"}], "@odata.nextLink": f"{server.url}/api/data/v9.2/{token}"}),
        Answer(200, {"value": [{"name": "b"}]}),
    )
    pages = list(client.pages(QUERY, operation="read", page_size=7))
    assert [row["name"] for page in pages for row in page.rows] == ["a", "b"]
    assert server.received[1].path == f"/api/data/v9.2/{token}"
    assert [received.headers["Prefer"] for received in server.received] == ["odata.maxpagesize=7"] * 2
    assert [received.headers["If-None-Match"] for received in server.received] == ["null"] * 2


def test_a_next_link_to_another_host_gets_no_token(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(Answer(200, {"value": [], "@odata.nextLink": "https://elsewhere.example/api/data/v9.2/rows"}))
    with pytest.raises(UnexpectedAnswerError):
        names(client)
    assert len(server.received) == 1


def test_a_question_too_long_for_a_url_goes_into_a_batch(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(batch_answer(OK))
    query = Query("rows", ("name",), eq("name", "x" * 40_000))
    pages = list(client.pages(query, operation="read"))
    assert pages[0].rows == [{"name": "x"}]
    assert server.received[0].path == "/api/data/v9.2/$batch"
    assert b"x" * 40_000 in server.received[0].body


def test_an_error_to_a_question_in_a_batch_is_raised(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(batch_answer('HTTP/1.1 400 Bad Request\r\n\r\n{"error":{"code":"0x0","message":"bad"}}'))
    with pytest.raises(BadRequestError):
        list(client.pages(Query("rows", ("name",), eq("name", "x" * 40_000)), operation="read"))


def test_groups_beyond_the_first_page_are_asked_for(server: ScriptedServer, client: DataverseClient) -> None:
    cookie = '<cookie pagenumber="2" pagingcookie="%253ccookie%2520page%253d%25221%2522%253e" istracking="False" />'
    server.will_answer(
        Answer(
            200,
            {
                "value": [{"job": 1}],
                "@Microsoft.Dynamics.CRM.morerecords": True,
                "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie": cookie,
            },
        ),
        Answer(200, {"value": [{"job": 2}], "@Microsoft.Dynamics.CRM.morerecords": True}),
        Answer(200, {"value": [{"job": 3}], "@Microsoft.Dynamics.CRM.morerecords": False}),
    )
    assert [row["job"] for page in client.groups(FETCH, operation="count") for row in page.rows] == [1, 2, 3]
    asked = [fromstring(parse_qs(urlsplit(received.path).query)["fetchXml"][0]) for received in server.received]
    assert [fetch.get("page") for fetch in asked] == ["1", "2", "3"]
    assert [fetch.get("paging-cookie") for fetch in asked] == [None, '<cookie page="1">', None]
    assert "morerecords" in server.received[0].headers["Prefer"]


def test_the_user_is_asked_for(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(Answer(200, {"UserId": str(JOB)}))
    assert client.who_am_i() == JOB


def test_the_clock_is_dataverses(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(EMPTY)
    names(client)
    assert client.now().isoformat().startswith("2026-11-23T12:00:0")


# Batches


def test_a_batch_answers_each_operation_in_order(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(batch_answer(DONE, LOST, OK))
    done, lost, rows = client.batch([WRITE, WRITE, read(QUERY.path)], operation="settle").parts
    assert isinstance(done, Part)
    assert done.etag == 'W/"2"'
    assert isinstance(lost, PreconditionFailedError)
    assert isinstance(rows, Part)
    assert rows.rows == [{"name": "x"}]
    (received,) = server.received
    assert received.headers["Prefer"] == "odata.continue-on-error"
    assert received.headers["Content-Type"].startswith('multipart/mixed; boundary="batch_')


def test_a_batch_of_reads_is_tried_again(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(Hangup(), Answer(503), batch_answer(), batch_answer(OK))
    assert len(client.batch([read(QUERY.path)], operation="read").parts) == 1
    assert len(server.received) == 4


@pytest.mark.parametrize(
    "reply",
    [
        Hangup(),
        Answer(500),
        Answer(503),
        batch_answer(DONE),
        Answer(200, b"--b\r\nContent-Type: application/http\r\n", {"Content-Type": "multipart/mixed; boundary=b"}),
        Answer(200, {"value": []}),
        batch_answer(DONE, "nonsense"),
    ],
    ids=["hangup", "500", "503", "one answer short", "cut", "no multipart", "unreadable part"],
)
def test_a_batch_with_a_write_is_never_sent_twice(
    server: ScriptedServer, client: DataverseClient, reply: Answer | Hangup
) -> None:
    server.will_answer(reply)
    with pytest.raises(OutcomeUnknownError):
        client.batch([WRITE, read(QUERY.path)], operation="claim")
    assert len(server.received) == 1


def test_a_batch_refused_with_429_was_not_done_and_is_sent_again(
    server: ScriptedServer, client: DataverseClient
) -> None:
    server.will_answer(Answer(429, None, {"Retry-After": "1"}), batch_answer(DONE))
    assert len(client.batch([WRITE], operation="claim").parts) == 1


def test_writes_that_cannot_leave_are_tried_again_and_then_given_up(
    make_transport: Callable[..., Transport], metrics: DataverseMetrics, registry: CollectorRegistry
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = DataverseClient(make_transport(f"https://127.0.0.1:{port}"), metrics, writes=Patience(3, 30))
    with pytest.raises(NeverSentError):
        client.batch([WRITE], operation="claim")
    labels = {"operation": "claim", "status": "none"}
    assert registry.get_sample_value("jobworker_dataverse_requests_total", labels) == 3


def test_operations_are_counted_one_by_one_and_the_request_once(
    server: ScriptedServer, client: DataverseClient, registry: CollectorRegistry
) -> None:
    server.will_answer(batch_answer(DONE, LOST, OK))
    client.batch([WRITE, WRITE, read(QUERY.path)], operation="settle")

    def counted(name: str, status: str) -> float | None:
        labels = {"operation": "settle", "status": status}
        return registry.get_sample_value(f"jobworker_dataverse_{name}_total", labels)

    assert (counted("operations", "200"), counted("operations", "412")) == (2, 1)
    assert counted("requests", "200") == 1


# Actions


def test_an_action_is_called_on_its_row(server: ScriptedServer, client: DataverseClient) -> None:
    server.will_answer(Answer(204))
    client.action("rows", JOB, "Microsoft.Dynamics.CRM.do_it", {"Error": None}, operation="act")
    (received,) = server.received
    assert (received.method, received.path) == ("POST", f"/api/data/v9.2/rows({JOB})/Microsoft.Dynamics.CRM.do_it")
    assert received.headers["Content-Type"] == "application/json"
    assert json.loads(received.body) == {"Error": None}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Hangup(), OutcomeUnknownError),
        (Answer(503), OutcomeUnknownError),
        (Answer(404, {"error": {"code": "0x8006088a", "message": "no such action"}}), ResourceMissingError),
    ],
    ids=["hangup", "503", "absent"],
)
def test_an_action_is_called_once_at_the_most(
    server: ScriptedServer, client: DataverseClient, reply: Answer | Hangup, kind: type[Exception]
) -> None:
    server.will_answer(reply)
    with pytest.raises(kind):
        client.action("rows", JOB, "do_it", {}, operation="act")
    assert len(server.received) == 1


def test_an_answer_may_depend_on_the_request(server: ScriptedServer, client: DataverseClient) -> None:
    def echo(received: Received) -> Answer:
        return Answer(200, {"value": [{"name": received.method}]})

    server.will_answer(echo)
    assert names(client) == ["GET"]
