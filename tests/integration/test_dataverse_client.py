"""The Dataverse client against the sandbox: signing in, reading, writing, faults, and a fleet within the limits."""

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from config.metrics import DataverseMetrics
from sandbox.demo.processes import Family, read_ready_line
from sandbox.demo.service import ControlSurface
from sandbox.redis_server import RedisServer
from worker.dataverse.answers import Part
from worker.dataverse.batch import Operation, read, update
from worker.dataverse.budget import Budget
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import (
    BadRequestError,
    OutcomeUnknownError,
    PreconditionFailedError,
    RowGoneError,
    SignInError,
    UnauthorizedError,
)
from worker.dataverse.fetchxml import Aggregate, Fetch, condition
from worker.dataverse.fleet import FleetState, ProtectionLimits
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.odata import Query, eq, is_in
from worker.dataverse.shared_throttle import SharedThrottle
from worker.dataverse.signin import (
    Application,
    Tokens,
    client_certificate,
    client_secret,
    workload_identity,
)
from worker.dataverse.signin.tokens import SignIn
from worker.dataverse.throttle import HeldBack, Pause, Throttle
from worker.dataverse.transport import Transport, tls_context

JOBS = "msdyn_integrationjobs"
PACKETS = "msdyn_integrationjobdetails"
WAITING, PROCESSING = 192_350_000, 192_350_003
SEEDED = 60

WaysIn = Mapping[str, Callable[[Application, Mapping[str, Any]], SignIn]]
WAYS_IN: WaysIn = {
    "client_secret": lambda application, ready: client_secret(application, ready["client_secret"]),
    "client_certificate": lambda application, ready: client_certificate(
        application, Path(ready["certificate_file"]), None
    ),
    "workload_identity": lambda application, ready: workload_identity(
        application, Path(ready["federated_token_file"]), {}
    ),
}


class AloneThrottle:
    """Pauses this client alone, where a test is not about the fleet."""

    def __init__(self) -> None:
        self._pause = Pause(time.sleep)

    @contextlib.contextmanager
    def slot(self) -> Iterator[HeldBack]:
        """Wait until the pause is over."""
        held_back: HeldBack = {}
        self._pause.sit_out(held_back)
        yield held_back

    def throttled(self, limit: str, retry_after: float) -> None:
        """Pause for the named time."""
        self._pause.begin(limit, retry_after)

    def heard(self, budget: Budget) -> None:
        """Nothing to be done: one process sends one request at a time."""

    def close(self) -> None:
        """Nothing to be done: it is connected to nothing."""


@dataclass(slots=True)
class Sandbox:
    """A running sandbox and clients for it."""

    ready: Mapping[str, Any]
    control: ControlSurface
    http_client: MsalHttpClient
    open: contextlib.ExitStack

    def application(self, **other: str) -> Application:
        given = {**self.ready, **other}
        return Application(given["authority"], given["client_id"], f"{given['url']}/.default", self.http_client)

    def client(
        self,
        sign_in: SignIn | None = None,
        throttle: Throttle | None = None,
        registry: CollectorRegistry | None = None,
        timeout: float = 10,
    ) -> DataverseClient:
        tokens = Tokens(sign_in or client_secret(self.application(), self.ready["client_secret"]))
        metrics = DataverseMetrics(registry or CollectorRegistry())
        ca_file = Path(self.ready["ca_file"])
        transport = Transport(
            self.ready["url"], "v9.2", tokens, throttle or AloneThrottle(), metrics, timeout=timeout, ca_file=ca_file
        )
        self.open.callback(transport.close)
        return DataverseClient(transport, metrics)

    def faults(self, *rules: Mapping[str, Any]) -> None:
        self.control.post("faults", {"rules": [dict(rule) for rule in rules]})


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Mapping[str, Any], ControlSurface]]:
    with tempfile.TemporaryDirectory(prefix="jw-") as folder:
        family = Family(Path(folder))
        try:
            process = family.start("sandbox", ["sandbox", "--port", "0", "--json"], {}, stdout=-1)
            ready = read_ready_line(process)
            control = ControlSurface(ready["url"], ready["ca_file"])
            yield ready, control
            control.close()
        finally:
            family.stop()


@pytest.fixture
def sandbox(running: tuple[Mapping[str, Any], ControlSurface]) -> Iterator[Sandbox]:
    ready, control = running
    control.post("reset", {})
    http_client = MsalHttpClient(tls_context(Path(ready["ca_file"])))
    with contextlib.ExitStack() as opened:
        opened.callback(http_client.close)
        yield Sandbox(ready, control, http_client, opened)


@pytest.fixture
def seeded(sandbox: Sandbox) -> Sandbox:
    sandbox.control.post("seed", {"jobs": SEEDED, "random_seed": 7})
    return sandbox


def a_job(client: DataverseClient) -> tuple[UUID, str]:
    """Create a job and give its id and ETag."""
    row = {"msdyn_status": WAITING, "msdyn_type": 192_350_000, "msdyn_name": "O'Neill & Söhne"}
    headers = {"Prefer": "return=representation"}
    (made,) = client.batch([Operation("POST", JOBS, headers, row)], operation="create").parts
    assert isinstance(made, Part), made
    return UUID(made.value["msdyn_integrationjobid"]), made.etag


# Signing in


@pytest.mark.parametrize("way", WAYS_IN)
def test_each_way_to_sign_in_is_let_in(sandbox: Sandbox, way: str) -> None:
    client = sandbox.client(WAYS_IN[way](sandbox.application(), sandbox.ready))
    assert client.who_am_i() == client.who_am_i()
    assert sandbox.control.get("stats")["token_requests"] == 1


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"client_id": str(uuid4())}, "JOBWORKER_AUTH__CLIENT_ID"),
        ({"url": "https://other.crm.dynamics.com"}, "JOBWORKER_DATAVERSE__URL"),
    ],
)
def test_a_wrong_setting_is_named(sandbox: Sandbox, wrong: dict[str, str], setting: str) -> None:
    client = sandbox.client(client_secret(sandbox.application(**wrong), sandbox.ready["client_secret"]))
    with pytest.raises(SignInError, match=setting):
        client.who_am_i()


def test_a_wrong_tenant_is_named(sandbox: Sandbox) -> None:
    service, _, _ = str(sandbox.ready["authority"]).rpartition("/")
    application = sandbox.application(authority=f"{service}/{uuid4()}")
    with pytest.raises(SignInError, match="JOBWORKER_AUTH__TENANT_ID"):
        sandbox.client(client_secret(application, sandbox.ready["client_secret"])).who_am_i()


def test_a_wrong_secret_is_named_and_never_shown(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "not-the-secret-at-all"
    client = sandbox.client(client_secret(sandbox.application(), wrong))
    with pytest.raises(SignInError, match="JOBWORKER_AUTH__CLIENT_SECRET") as caught:
        client.who_am_i()
    assert wrong not in caplog.text + str(caught.value)


def test_a_token_that_ended_before_its_time_is_replaced(sandbox: Sandbox) -> None:
    client = sandbox.client()
    client.who_am_i()
    sandbox.control.post("clock", {"advance": 2 * 3600})
    client.who_am_i()
    assert sandbox.control.get("stats")["token_requests"] == 2


def test_a_refused_token_is_replaced_once_and_then_believed(sandbox: Sandbox) -> None:
    client = sandbox.client()
    sandbox.faults({"kind": "expired_token", "next": 1})
    client.who_am_i()
    sandbox.faults({"kind": "expired_token"})
    with pytest.raises(UnauthorizedError):
        client.who_am_i()


# Reading


def test_every_row_comes_once_however_small_the_pages(seeded: Sandbox) -> None:
    client = seeded.client()
    query = Query(JOBS, ("msdyn_integrationjobid",), order_by=("createdon",))
    pages = list(client.pages(query, operation="read", page_size=7))
    ids = [row["msdyn_integrationjobid"] for page in pages for row in page.rows]
    assert len(ids) == len(set(ids)) == SEEDED
    assert max(len(page.rows) for page in pages) == 7


def test_filters_mean_to_a_server_what_they_mean_here(seeded: Sandbox) -> None:
    client = seeded.client()
    job, _ = a_job(client)

    def found(where: Any) -> list[str]:
        rows = [
            row for page in client.pages(Query(JOBS, ("msdyn_name",), where), operation="read") for row in page.rows
        ]
        return [row["msdyn_name"] for row in rows]

    assert found(eq("msdyn_name", "O'Neill & Söhne")) == ["O'Neill & Söhne"]
    assert found(eq("msdyn_name", "' or msdyn_name ne '")) == []
    assert found(is_in("msdyn_integrationjobid", [job, uuid4()])) == ["O'Neill & Söhne"]
    assert found(eq("msdyn_integrationjobid", job) & ~eq("msdyn_status", PROCESSING)) == ["O'Neill & Söhne"]
    assert found(eq("msdyn_integrationjobid", job) & eq("msdyn_status", PROCESSING)) == []


def test_a_wrong_column_is_the_askers_mistake(seeded: Sandbox) -> None:
    with pytest.raises(BadRequestError):
        list(seeded.client().pages(Query(JOBS, ("no_such_column",)), operation="read"))


def test_packets_are_counted_in_groups(seeded: Sandbox) -> None:
    client = seeded.client()
    fetch = Fetch(
        PACKETS,
        "msdyn_integrationjobdetail",
        ("msdyn_integrationjobheader", "job"),
        (Aggregate("msdyn_integrationjobdetailid", "packets", "count"),),
        (condition("statecode", "eq", 0),),
    )
    counted = {row["job"]: row["packets"] for page in client.groups(fetch, operation="count") for row in page.rows}
    query = Query(PACKETS, ("_msdyn_integrationjobheader_value",), eq("statecode", 0))
    listed: dict[str, int] = {}
    for page in client.pages(query, operation="read", page_size=50):
        for row in page.rows:
            job = row["_msdyn_integrationjobheader_value"]
            listed[job] = listed.get(job, 0) + 1
    assert counted == listed
    assert sum(counted.values()) > SEEDED


def test_a_question_too_long_for_a_url_is_answered(seeded: Sandbox) -> None:
    client = seeded.client()
    job, _ = a_job(client)
    ids = [uuid4() for _ in range(1_200)] + [job]
    query = Query(JOBS, ("msdyn_name",), is_in("msdyn_integrationjobid", ids))
    assert len(query.path) > 32_768
    (page,) = client.pages(query, operation="read")
    assert [row["msdyn_integrationjobid"] for row in page.rows] == [str(job)]


def test_reads_outlast_faults(seeded: Sandbox) -> None:
    client = seeded.client()
    seeded.faults(
        {"kind": "reset_before", "operation": "read", "next": 1},
        {"kind": "truncate", "operation": "read", "next": 1},
        {"kind": "server_error", "operation": "read", "next": 1},
    )
    query = Query(JOBS, ("msdyn_integrationjobid",))
    assert sum(len(page.rows) for page in client.pages(query, operation="read")) == SEEDED


# Writing


def test_a_guarded_write_answers_with_the_new_etag_and_a_second_one_loses(sandbox: Sandbox) -> None:
    client = sandbox.client()
    job, etag = a_job(client)
    change = update(JOBS, job, {"msdyn_status": PROCESSING}, etag=etag, select=("msdyn_status",))
    (won,) = client.batch([change], operation="claim").parts
    assert isinstance(won, Part)
    assert won.value["msdyn_status"] == PROCESSING
    assert won.etag not in ("", etag)
    (lost,) = client.batch([change], operation="claim").parts
    assert isinstance(lost, PreconditionFailedError)


def test_a_missing_row_is_never_created_by_a_write(sandbox: Sandbox) -> None:
    client = sandbox.client()
    change = update(JOBS, uuid4(), {"msdyn_name": "ghost"}, etag='W/"1"')
    (gone,) = client.batch([change], operation="claim").parts
    assert isinstance(gone, RowGoneError)


def test_each_operation_of_a_batch_stands_for_itself(sandbox: Sandbox) -> None:
    client = sandbox.client()
    job, etag = a_job(client)
    parts = client.batch(
        [
            update(JOBS, uuid4(), {"msdyn_name": "x"}, etag="*"),
            update(JOBS, job, {"msdyn_name": "half \ud800 a pair"}, etag=etag),
            update(JOBS, job, {"msdyn_name": "x" * 251}, etag="*"),
            read(f"{JOBS}({job})?$select=msdyn_status"),
            read(f"{JOBS}?$select=nothing"),
        ],
        operation="mixed",
    ).parts
    assert parts[0].status == 404
    assert parts[2].status == 400
    assert isinstance(parts[3], Part)
    assert parts[3].value["msdyn_status"] == WAITING
    assert isinstance(parts[4], BadRequestError)


@pytest.mark.parametrize(
    ("fault", "done"),
    [("reset_before", False), ("reset_after", True), ("truncate", True)],
)
def test_a_write_whose_answer_was_lost_is_unknown_and_sent_once(sandbox: Sandbox, fault: str, done: bool) -> None:
    client = sandbox.client()
    job, etag = a_job(client)
    sandbox.faults({"kind": fault, "operation": "write", "next": 1})
    before = sandbox.control.get("stats")["requests"]
    with pytest.raises(OutcomeUnknownError):
        client.batch([update(JOBS, job, {"msdyn_status": PROCESSING}, etag=etag)], operation="claim")
    assert sandbox.control.get("stats")["requests"] - before <= 1
    (row,) = client.batch([read(f"{JOBS}({job})?$select=msdyn_status")], operation="read").parts
    assert isinstance(row, Part)
    assert (row.value["msdyn_status"] == PROCESSING) is done


def test_a_throttled_write_waits_and_is_done_once(sandbox: Sandbox) -> None:
    client = sandbox.client()
    job, etag = a_job(client)
    sandbox.faults({"kind": "throttle", "operation": "write", "next": 1, "seconds": 1})
    started = time.monotonic()
    (won,) = client.batch([update(JOBS, job, {"msdyn_status": PROCESSING}, etag=etag)], operation="claim").parts
    assert isinstance(won, Part)
    assert time.monotonic() - started >= 1
    stats = sandbox.control.get("stats")
    assert stats["retry_after_disobeyed"] == 0
    assert stats["requests_with_cookie"] == 0


# A fleet


def test_a_busy_fleet_stays_within_the_limits(seeded: Sandbox) -> None:
    """Sixteen members send as fast as they may, for several windows of limits that are scaled down."""
    limits = ProtectionLimits(requests=600, execution_seconds=120, window_seconds=6)
    seeded.control.post(
        "limits",
        {
            "requests": limits.requests,
            "window": limits.window_seconds,
            "execution_ms": limits.execution_seconds * 1000,
            "concurrency": 10,
        },
    )
    until = time.monotonic() + 20
    sent: list[int] = []

    def work(throttle: SharedThrottle) -> None:
        client = seeded.client(tokens, throttle)
        count = 0
        while time.monotonic() < until:
            client.batch([read(f"{JOBS}?$select=msdyn_status&$top=1")], operation="read")
            count += 1
        sent.append(count)

    first = client_secret(seeded.application(), seeded.ready["client_secret"])()

    def tokens() -> Any:
        return first

    with tempfile.TemporaryDirectory(prefix="jw-") as folder:
        socket = Path(folder) / "redis.sock"
        with RedisServer(Path(folder) / "redis", unix_socket=socket):
            members = [
                SharedThrottle(
                    FleetState(
                        Redis.from_url(f"unix://{socket}", decode_responses=True),
                        "user",
                        most=16,
                        hold_seconds=60,
                        limits=limits,
                    ),
                    threading.Event().wait,
                    limits,
                )
                for _ in range(16)
            ]
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(work, members))
            seeded.open.pop_all().close()

    stats = seeded.control.get("stats")
    refused = sum(stats["throttled"].values())
    assert stats["retry_after_disobeyed"] == 0
    assert refused / stats["requests"] < 0.01, stats
    # Within the limits, and not far below them: over three windows at 100 requests a second.
    assert sum(sent) > 0.6 * limits.requests * 20 / limits.window_seconds, stats
    assert min(sent) > 0
