"""The HTTP side of a process: /metrics, /healthz (it is alive) and /readyz (it can do its work). Nothing else answers.

Served by threads beside the real work, so a busy process still answers.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from config.sources import SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Check = Callable[[], str | None]
"""Gives None when all is well, otherwise what is wrong in one sentence without a secret."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What a process answers about itself.

    Attributes:
        alive: By name, what must hold for the process not to be restarted.
        ready: By name, what must hold for it to do its work.
    """

    alive: Mapping[str, Check]
    ready: Mapping[str, Check]


class Heartbeat:
    """Touched by a loop that must not stand still."""

    def __init__(self, longest_pause: float) -> None:
        """Make it.

        Args:
            longest_pause: Seconds without a beat after which the loop counts as stuck.
        """
        self._longest_pause = longest_pause
        self._last = time.monotonic()

    def beat(self) -> None:
        """Note that the loop goes on."""
        self._last = time.monotonic()

    def check(self) -> str | None:
        """Tell whether the loop still goes on."""
        pause = time.monotonic() - self._last
        return f"nothing happened for {pause:.0f} s" if pause > self._longest_pause else None


class Cached:
    """A check that is asked at most every few seconds, so that probes cost nothing however often they come."""

    def __init__(self, check: Check, seconds: float) -> None:
        self._check = check
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._answer: str | None = None

    def __call__(self) -> str | None:
        """Give the last answer while it is fresh, otherwise ask."""
        with self._lock:
            now = time.monotonic()
            if self._asked is None or now - self._asked > self._seconds:
                self._answer = self._check()
                self._asked = now
            return self._answer


class HealthServer:
    """Serves metrics and health of this process until it is stopped."""

    def __init__(self, host: str, port: int, checks: Checks, registry: CollectorRegistry) -> None:
        """Listen.

        Args:
            host: The address to listen on.
            port: The port; 0 for any that is free.
            checks: What the process answers about itself.
            registry: What /metrics shows.

        Raises:
            SettingsError: When the address cannot be listened on.
        """
        application = _application(checks, registry)
        try:
            server_class = _ServerV6 if ":" in host else _Server
            self._server = make_server(host, port, application, server_class=server_class, handler_class=_QuietHandler)
        except OSError as error:
            sentence = f"Metrics and health cannot be served at {host}:{port}: {error.strerror or error}."
            advice = "Set JOBWORKER_METRICS__HOST and JOBWORKER_METRICS__PORT to an address that is free."
            raise SettingsError([f"{sentence} {advice}"]) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # a stranger who connects and says nothing holds a thread no longer than this

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        """Leave probes and scrapes out of the log."""


def _application(checks: Checks, registry: CollectorRegistry) -> "WSGIApplication":
    metrics: WSGIApplication = make_wsgi_app(registry)

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["REQUEST_METHOD"]:
            case "GET":
                return show(environ, start_response)
            case "HEAD":
                show({**environ, "REQUEST_METHOD": "GET"}, start_response)
                return []
            case _:
                error = {"error": "only GET is answered"}
                return _reply(start_response, "405 Method Not Allowed", error, ("Allow", "GET, HEAD"))

    def show(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/healthz":
                return _report(start_response, checks.alive)
            case "/readyz":
                return _report(start_response, {**checks.alive, **checks.ready})
            case _:
                return _reply(start_response, "404 Not Found", {"error": "there are /metrics, /healthz and /readyz"})

    return answer


def _report(start_response: "StartResponse", checks: Mapping[str, Check]) -> Iterable[bytes]:
    answers = {name: check() for name, check in checks.items()}
    status = "503 Service Unavailable" if any(answers.values()) else "200 OK"
    return _reply(start_response, status, {name: wrong or "ok" for name, wrong in answers.items()})


def _reply(
    start_response: "StartResponse", status: str, body: Mapping[str, str], *more: tuple[str, str]
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store"), *more])
    return [json.dumps(body).encode()]
