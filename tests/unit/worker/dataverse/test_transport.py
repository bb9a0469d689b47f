"""One request and its answer: what it carries, what is refused, what is known afterwards. Over real HTTPS."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest
import structlog
import trustme
from prometheus_client import CollectorRegistry

from config.metrics import DataverseMetrics
from tests.unit.worker.dataverse.server import Answer, Hangup, Received, ScriptedServer
from tests.unit.worker.dataverse.stand_ins import FixedTokens, RecordedThrottle
from worker.dataverse.budget import Budget
from worker.dataverse.errors import (
    BadRequestError,
    DataverseError,
    NeverSentError,
    OutcomeUnknownError,
    ThrottledError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from worker.dataverse.transport import Request, Transport, tls_context

READ = Request("GET", "rows?$top=1", "read_rows", writes=False)
WRITE = Request("PATCH", "rows(1)", "write_row", writes=True, content=b"{}")
THROTTLED = {"error": {"code": "0x80072322", "message": "Number of requests exceeded the limit"}}

MakeTransport = Callable[..., Transport]


def test_a_request_carries_what_dataverse_documents(server: ScriptedServer, transport: Transport) -> None:
    server.will_answer(Answer(200, {"value": []}))
    transport.send(READ)
    (received,) = server.received
    assert received.method == "GET"
    assert received.path == "/api/data/v9.2/rows?$top=1"
    sent = received.headers
    assert sent["Accept"] == "application/json"
    assert sent["OData-Version"] == sent["OData-MaxVersion"] == "4.0"
    assert sent["Authorization"] == "Bearer token-1"
    assert sent["User-Agent"].startswith("jobworker/")
    assert len(sent["x-ms-client-request-id"]) == 36


def test_a_request_goes_out_under_the_correlation_id(server: ScriptedServer, transport: Transport) -> None:
    with structlog.contextvars.bound_contextvars(correlation_id="c-1"):
        transport.send(READ)
    assert server.received[0].headers["x-ms-client-request-id"] == "c-1"


def test_a_body_is_sent_as_it_is(server: ScriptedServer, transport: Transport) -> None:
    transport.send(WRITE)
    assert server.received[0].body == b"{}"


def test_no_cookie_goes_back(server: ScriptedServer, transport: Transport) -> None:
    server.will_answer(Answer(204, headers={"Set-Cookie": "ARRAffinity=1; Path=/; Secure"}))
    transport.send(READ)
    transport.send(READ)
    assert [received.headers["Cookie"] for received in server.received] == [None, None]


def test_one_connection_serves_many_requests(server: ScriptedServer, transport: Transport) -> None:
    for _ in range(3):
        transport.send(READ)
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: ScriptedServer, transport: Transport, status: int) -> None:
    server.will_answer(Answer(status, headers={"Location": f"{server.url}/elsewhere"}))
    with pytest.raises(UnexpectedAnswerError, match="JOBWORKER_DATAVERSE__URL"):
        transport.send(READ)
    assert len(server.received) == 1


def test_a_refused_token_is_replaced_once(server: ScriptedServer, transport: Transport, tokens: FixedTokens) -> None:
    server.will_answer(Answer(401), Answer(204))
    assert transport.send(WRITE).status_code == 204
    assert [received.headers["Authorization"] for received in server.received] == ["Bearer token-1", "Bearer token-2"]
    assert tokens.dropped == ["token-1"]


def test_a_fresh_token_that_is_refused_as_well_is_an_error(server: ScriptedServer, transport: Transport) -> None:
    server.will_answer(Answer(401, {"error": {"code": "0x80072560", "message": "not a member"}}))
    with pytest.raises(UnauthorizedError, match="not a member"):
        transport.send(READ)
    assert len(server.received) == 2


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize("retry_after", ["3", "Mon, 23 Nov 2026 12:00:03 GMT"], ids=["in seconds", "as a date"])
def test_a_429_was_not_done_and_is_sent_again(
    server: ScriptedServer, transport: Transport, throttle: RecordedThrottle, request_: Request, retry_after: str
) -> None:
    server.will_answer(Answer(429, THROTTLED, {"Retry-After": retry_after}), Answer(204))
    assert transport.send(request_).status_code == 204
    assert throttle.told == [("requests", 3.0)]
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("0x80072322", "requests"),
        ("0x80072321", "execution_time"),
        ("0x80072326", "concurrency"),
        ("", "other"),
    ],
)
def test_each_limit_has_its_name(
    server: ScriptedServer, transport: Transport, throttle: RecordedThrottle, code: str, limit: str
) -> None:
    server.will_answer(Answer(429, {"error": {"code": code, "message": ""}}, {"Retry-After": "1"}), Answer(204))
    transport.send(READ)
    assert throttle.told == [(limit, 1.0)]


def test_patience_with_429_answers_has_an_end(
    server: ScriptedServer, make_transport: MakeTransport, throttle: RecordedThrottle
) -> None:
    server.will_answer(Answer(429, THROTTLED, {"Retry-After": "3600"}))
    with pytest.raises(ThrottledError) as caught:
        make_transport(server.url, patience=60).send(WRITE)
    assert caught.value.retry_after == 3600
    assert throttle.told == [("requests", 3600.0)]  # everybody learns of it nevertheless
    assert len(server.received) == 1


def test_what_answers_say_is_left_reaches_the_throttle(
    server: ScriptedServer, transport: Transport, throttle: RecordedThrottle
) -> None:
    left = {
        "x-ms-dop-hint": "8",
        "x-ms-ratelimit-burst-remaining-xrm-requests": "5,999",
        "x-ms-ratelimit-time-remaining-xrm-requests": "1,199.50",
    }
    server.will_answer(Answer(204, headers=left), Answer(204, headers={"x-ms-dop-hint": "many"}))
    transport.send(READ)
    transport.send(READ)
    assert throttle.budgets == [Budget(8, 5999, 1199.5), Budget()]


@pytest.mark.parametrize("reply", [Hangup(), Answer(200, {"value": []}, promised_length=1000)], ids=["hangup", "cut"])
def test_a_lost_answer_to_a_write_leaves_its_outcome_unknown(
    server: ScriptedServer, transport: Transport, reply: Hangup | Answer
) -> None:
    server.will_answer(reply)
    with pytest.raises(OutcomeUnknownError):
        transport.send(WRITE)
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_server_error_to_a_write_leaves_its_outcome_unknown(
    server: ScriptedServer, transport: Transport, status: int
) -> None:
    server.will_answer(Answer(status))
    with pytest.raises(OutcomeUnknownError) as caught:
        transport.send(WRITE)
    assert caught.value.status == status
    assert len(server.received) == 1


@pytest.mark.parametrize("reply", [Hangup(), Answer(503)], ids=["hangup", "503"])
def test_a_lost_answer_to_a_read_is_harmless(
    server: ScriptedServer, transport: Transport, reply: Hangup | Answer
) -> None:
    server.will_answer(reply)
    with pytest.raises(UnavailableError) as caught:
        transport.send(READ)
    assert caught.value.outcome_known


def test_an_answer_that_does_not_come_in_time_is_lost(server: ScriptedServer, make_transport: MakeTransport) -> None:
    given_up = Event()

    def late(_received: Received) -> Answer:
        given_up.wait(5)
        return Answer(204)

    server.will_answer(late)
    with pytest.raises(OutcomeUnknownError, match="ReadTimeout"):
        make_transport(server.url, timeout=0.2).send(WRITE)
    given_up.set()


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_a_refused_connection_means_nothing_was_done(make_transport: MakeTransport, request_: Request) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NeverSentError, match="JOBWORKER_DATAVERSE__URL"):
        make_transport(f"https://127.0.0.1:{port}").send(request_)


def test_a_certificate_of_a_stranger_is_not_accepted(
    server: ScriptedServer, metrics: DataverseMetrics, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    transport = Transport(
        server.url,
        "v9.2",
        FixedTokens(),
        RecordedThrottle(),
        metrics,
        timeout=5,
        ca_file=stranger,
    )
    with pytest.raises(NeverSentError, match="ConnectError"):
        transport.send(WRITE)
    transport.close()
    assert server.received == []


def test_the_authorities_named_by_the_environment_are_trusted(
    server: ScriptedServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    address = urlsplit(server.url)
    with (
        socket.create_connection(("127.0.0.1", address.port or 0)) as plain,
        tls_context(None).wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.version()


def test_an_error_answer_is_raised_with_its_reason(server: ScriptedServer, transport: Transport) -> None:
    server.will_answer(Answer(400, {"error": {"code": "0x80060888", "message": "no such column"}}))
    with pytest.raises(BadRequestError, match="no such column"):
        transport.send(READ)


def test_the_clock_is_the_servers_and_runs_on(server: ScriptedServer, make_transport: MakeTransport) -> None:
    seconds = iter(range(1_000))
    transport = make_transport(server.url, monotonic=lambda: float(next(seconds)))
    assert transport.server_time() is None
    transport.send(READ)
    first, second = transport.server_time(), transport.server_time()
    assert first is not None
    assert second is not None
    assert first >= datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert second - first == timedelta(seconds=1)


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Nov 2026"])
def test_an_answer_without_a_readable_date_leaves_the_clock_alone(
    server: ScriptedServer, transport: Transport, date: str
) -> None:
    server.will_answer(Answer(204), Answer(204, headers={"Date": date}))
    transport.send(READ)
    before = transport.server_time()
    transport.send(READ)
    after = transport.server_time()
    assert before is not None
    assert after is not None
    assert timedelta(0) <= after - before < timedelta(seconds=5)


def test_requests_pauses_and_429s_are_counted(
    server: ScriptedServer, transport: Transport, throttle: RecordedThrottle, registry: CollectorRegistry
) -> None:
    throttle.holds = {"requests": 1.5}
    server.will_answer(Answer(429, THROTTLED, {"Retry-After": "1"}), Answer(204), Hangup())
    transport.send(READ)
    with pytest.raises(DataverseError):
        transport.send(READ)

    def counted(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"jobworker_dataverse_{name}", labels)

    assert counted("requests_total", operation="read_rows", status="429") == 1
    assert counted("requests_total", operation="read_rows", status="204") == 1
    assert counted("requests_total", operation="read_rows", status="none") == 1
    assert counted("throttled_total", limit="requests") == 1
    assert counted("paused_seconds_total", limit="requests") == 4.5
    assert counted("request_duration_seconds_count", operation="read_rows") == 3
    assert throttle.in_flight == 0


def test_closing_closes_the_throttle_too(make_transport: MakeTransport, throttle: RecordedThrottle) -> None:
    make_transport("https://localhost:1").close()
    assert throttle.closed
