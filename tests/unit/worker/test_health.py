"""The HTTP side of a process, asked over real connections; and the checks whose time passes when a test says so."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from config.sources import SettingsError
from worker.health import Cached, Check, Checks, HealthServer, Heartbeat

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds after which something that is awaited counts as not coming."""


@dataclass(slots=True)
class Process:
    """What a process would answer about itself, changed at will."""

    alive: dict[str, str | None] = field(default_factory=lambda: {"loop": None})
    ready: dict[str, str | None] = field(default_factory=lambda: {"redis": None, "dataverse": None})
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def checks(self) -> Checks:
        return Checks(_checks(self.alive), _checks(self.ready))

    def recover(self) -> None:
        for answers in (self.alive, self.ready):
            answers.update(dict.fromkeys(answers))


def _checks(answers: dict[str, str | None]) -> dict[str, Check]:
    return {name: partial(answers.__getitem__, name) for name in answers}


@dataclass(slots=True)
class Clock:
    """Stands in for the module `time`."""

    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@dataclass(slots=True)
class Asked:
    """A check that counts how often it is asked."""

    answer: str | None = None
    times: int = 0

    def __call__(self) -> str | None:
        self.times += 1
        return self.answer


@pytest.fixture(scope="module")
def shared() -> Process:
    return Process()


@pytest.fixture(scope="module")
def server(shared: Process) -> Iterator[HealthServer]:
    """One server for all tests of the module: to stop takes it half a second."""
    made = HealthServer(HOST, 0, shared.checks(), shared.registry)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def process(shared: Process) -> Process:
    """The process that the server speaks of, which is well to begin with."""
    shared.recover()
    return shared


@pytest.fixture
def probe(server: HealthServer, process: Process) -> Iterator[httpx.Client]:
    """Whoever asks the process."""
    with httpx.Client(base_url=f"http://{HOST}:{server.port}", timeout=PATIENCE, trust_env=False) as client:
        yield client


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("worker.health.time", clock)
    return clock


# What is answered


def test_metrics_are_those_of_the_registry_that_was_given(process: Process, probe: httpx.Client) -> None:
    Counter("promises_kept", "Promises kept.", registry=process.registry).inc(3)

    answer = probe.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "promises_kept_total 3.0" in answer.text.splitlines()
    assert "python_info" not in answer.text  # which is of the registry that was not given


def test_a_live_process_says_so_of_each_check(probe: httpx.Client) -> None:
    answer = probe.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"loop": "ok"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_a_ready_process_says_so_of_each_check(probe: httpx.Client) -> None:
    answer = probe.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"loop": "ok", "redis": "ok", "dataverse": "ok"})


def test_what_is_not_ready_is_named_with_its_reason_and_the_process_lives(
    process: Process, probe: httpx.Client
) -> None:
    process.ready["redis"] = "Redis cannot be reached."

    answer = probe.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"loop": "ok", "redis": "Redis cannot be reached.", "dataverse": "ok"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert probe.get("/healthz").status_code == 200


def test_what_does_not_live_is_not_ready_either(process: Process, probe: httpx.Client) -> None:
    process.alive["loop"] = "nothing happened for 99 s"

    health, readiness = probe.get("/healthz"), probe.get("/readyz")

    assert (health.status_code, health.json()) == (503, {"loop": "nothing happened for 99 s"})
    assert readiness.status_code == 503
    assert readiness.json() == {"loop": "nothing happened for 99 s", "redis": "ok", "dataverse": "ok"}


def test_each_probe_asks_anew(process: Process, probe: httpx.Client) -> None:
    statuses = []
    for reason in (None, "away", None):
        process.ready["dataverse"] = reason
        statuses.append(probe.get("/readyz").status_code)

    assert statuses == [200, 503, 200]


def test_metrics_are_shown_by_a_process_that_is_not_well(process: Process, probe: httpx.Client) -> None:
    process.alive["loop"] = process.ready["redis"] = "stuck"

    assert probe.get("/metrics").status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/healthz/", "/metrics/jobs", "/readyz.json", "//metrics"])
def test_nothing_else_is_there_and_the_answer_says_what_is(probe: httpx.Client, path: str) -> None:
    answer = probe.get(path)

    assert answer.status_code == 404
    assert answer.json() == {"error": "there are /metrics, /healthz and /readyz"}


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/elsewhere"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed_here(probe: httpx.Client, method: str, path: str) -> None:
    answer = probe.request(method, path)

    assert answer.status_code == 405
    assert answer.json() == {"error": "only GET is answered"}
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_head_request_tells_the_same_status_and_nothing_else(
    server: HealthServer, process: Process, probe: httpx.Client
) -> None:
    process.ready["redis"] = "away"

    paths = ("/metrics", "/healthz", "/readyz", "/else")
    assert [probe.head(path).status_code for path in paths] == [200, 200, 503, 404]
    with socket.create_connection((HOST, server.port)) as connection:
        connection.sendall(b"HEAD /healthz HTTP/1.0\r\n\r\n")
        answered = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answered.startswith(b"HTTP/1.0 200 OK")
    assert answered.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_address_may_be_one_of_ipv6(process: Process, host: str) -> None:
    served = HealthServer(host, 0, process.checks(), process.registry)
    served.start()
    assert httpx.get(f"http://[::1]:{served.port}/healthz", trust_env=False).status_code == 200
    served.stop()


def test_a_query_changes_nothing(probe: httpx.Client) -> None:
    assert probe.get("/healthz?verbose=1").json() == {"loop": "ok"}


# How it is served


def test_a_check_that_takes_its_time_keeps_no_other_probe_waiting() -> None:
    entered, goes_on = threading.Event(), threading.Event()

    def slow() -> str | None:
        entered.set()
        goes_on.wait(PATIENCE)
        return None

    server = HealthServer(HOST, 0, Checks(alive={}, ready={"slow": slow}), CollectorRegistry())
    server.start()
    address = f"http://{HOST}:{server.port}"
    with ThreadPoolExecutor(1) as pool:
        try:
            readiness = pool.submit(httpx.get, f"{address}/readyz", timeout=PATIENCE, trust_env=False)
            assert entered.wait(PATIENCE)
            assert httpx.get(f"{address}/healthz", timeout=PATIENCE / 2, trust_env=False).status_code == 200
            assert not readiness.done()
            goes_on.set()
            assert readiness.result().json() == {"slow": "ok"}
        finally:
            goes_on.set()
            server.stop()


def test_a_stranger_who_says_nothing_keeps_nobody_waiting(server: HealthServer, probe: httpx.Client) -> None:
    with socket.create_connection((HOST, server.port)):
        assert probe.get("/healthz").status_code == 200


def test_probes_and_scrapes_write_nothing(
    server: HealthServer, probe: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in ("/metrics", "/healthz", "/readyz", "/elsewhere"):
        probe.get(path)
    for thread in threading.enumerate():
        if "process_request" in thread.name:  # what is written about a request is written after its answer
            thread.join(PATIENCE)

    assert capfd.readouterr() == ("", "")


def test_once_stopped_nothing_answers_and_the_port_is_free(process: Process) -> None:
    first = HealthServer(HOST, 0, process.checks(), process.registry)
    first.start()
    port = first.port
    first.stop()

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{HOST}:{port}/healthz", trust_env=False)
    second = HealthServer(HOST, port, process.checks(), process.registry)
    second.start()
    assert second.port == port
    assert httpx.get(f"http://{HOST}:{port}/healthz", trust_env=False).status_code == 200
    second.stop()


def test_an_address_in_use_is_a_mistake_in_the_settings_that_says_which(server: HealthServer, process: Process) -> None:
    with pytest.raises(SettingsError) as raised:
        HealthServer(HOST, server.port, process.checks(), process.registry)

    (mistake,) = raised.value.mistakes
    assert f"{HOST}:{server.port}: Address already in use." in mistake
    assert "JOBWORKER_METRICS__HOST" in mistake
    assert "JOBWORKER_METRICS__PORT" in mistake


def test_an_address_of_another_machine_is_a_mistake_in_the_settings(process: Process) -> None:
    elsewhere = "192.0.2.1"  # kept for documentation, so no machine has it

    with pytest.raises(SettingsError, match=r"192\.0\.2\.1:0: .*JOBWORKER_METRICS__HOST"):
        HealthServer(elsewhere, 0, process.checks(), process.registry)


# Checks that are asked at most every few seconds


@pytest.mark.parametrize("answer", [None, "Redis cannot be reached."])
def test_an_answer_holds_for_a_while_and_then_it_is_asked_again(clock: Clock, answer: str | None) -> None:
    check = Asked(answer)
    cached = Cached(check, 5)

    assert [cached(), cached()] == [answer, answer]
    clock.seconds += 5
    assert cached() == answer
    assert check.times == 1
    clock.seconds += 0.001
    assert cached() == answer
    assert check.times == 2


def test_a_change_is_noticed_when_the_answer_is_not_fresh_any_more(clock: Clock) -> None:
    check = Asked("away")
    cached = Cached(check, 5)
    cached()

    check.answer = None
    assert cached() == "away"
    clock.seconds += 6
    assert cached() is None


def test_probes_do_not_put_the_next_question_off(clock: Clock) -> None:
    check = Asked()
    cached = Cached(check, 5)
    for _ in range(12):
        cached()
        clock.seconds += 1

    assert check.times == 2


def test_the_first_question_is_asked_however_young_the_machine_is(clock: Clock) -> None:
    clock.seconds = 0.0
    check = Asked("away")

    assert Cached(check, 5)() == "away"


def test_nothing_is_asked_before_a_probe_comes(clock: Clock) -> None:
    check = Asked()
    Cached(check, 5)

    assert check.times == 0


def test_two_probes_at_once_ask_once_and_hear_the_same(clock: Clock) -> None:
    times, together = [0], threading.Barrier(2)

    def check() -> str | None:
        times[0] += 1
        try:
            together.wait(0.3)  # until another thread is in here as well, which does not happen
        except threading.BrokenBarrierError:
            return "alone"
        return "together"

    cached = Cached(check, 5)
    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(cached) for _ in range(2)]]

    assert answers == ["alone", "alone"]
    assert times == [1]


# Loops that must not stand still


def test_a_loop_is_well_until_its_longest_pause_is_over(clock: Clock) -> None:
    heartbeat = Heartbeat(30)

    assert heartbeat.check() is None
    clock.seconds += 30
    assert heartbeat.check() is None
    clock.seconds += 1
    assert heartbeat.check() == "nothing happened for 31 s"
    clock.seconds += 60
    assert heartbeat.check() == "nothing happened for 91 s"


def test_a_beat_shows_that_the_loop_goes_on(clock: Clock) -> None:
    heartbeat = Heartbeat(30)
    clock.seconds += 29
    heartbeat.beat()
    clock.seconds += 29
    assert heartbeat.check() is None

    clock.seconds += 29
    assert heartbeat.check() is not None
    heartbeat.beat()
    assert heartbeat.check() is None


def test_a_loop_that_stands_still_is_no_live_process(clock: Clock) -> None:
    heartbeat = Heartbeat(30)
    server = HealthServer(HOST, 0, Checks(alive={"loop": heartbeat.check}, ready={}), CollectorRegistry())
    server.start()
    statuses = []
    for pause in (30, 31):
        heartbeat.beat()
        clock.seconds += pause
        statuses.append(httpx.get(f"http://{HOST}:{server.port}/healthz", trust_env=False).status_code)
    server.stop()

    assert statuses == [200, 503]
