"""Serving the sandbox over HTTPS on loopback, with the signals of a well-behaved process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sandbox.connection import EXTENSION

_BACKLOG = 1024
_KEEP_ALIVE = 120


class PortInUseError(Exception):
    """Somebody else listens on the port."""


class TransportExposingProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with the connection's transport in the scope so that faults can reset it."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}

    def shutdown(self) -> None:
        """The server ends: an idle client need not agree to it, as an orderly end of TLS would have it."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # noqa: TC006 - a name in quotes looks unused
        if cycle is None or cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which ends the process by the signal instead of with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to a loopback address; for 127.0.0.1 also ::1 on the same port, as `localhost` may mean either.

    Raises:
        PortInUseError: When the port is taken.
        ValueError: When the address is not a loopback address.
    """
    if host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError(f"the sandbox listens on loopback only, not on {host!r}")
    hosts = {"::1": ["::1"], "127.0.0.1": ["127.0.0.1", "::1"], "localhost": ["127.0.0.1", "::1"]}[host]
    sockets: list[socket.socket] = []
    for number, address in enumerate(hosts):
        try:
            bound = _bind(address, sockets[0].getsockname()[1] if sockets else port)
        except OSError as error:
            if number == 0:
                raise PortInUseError(f"port {port} on {address} cannot be used: {error.strerror}") from error
        else:
            sockets.append(bound)
    return sockets


def _bind(address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


async def serve(
    app: ASGIApp,
    sockets: list[socket.socket],
    certificate: Path,
    ready: Callable[[], None],
    background: Callable[[], Awaitable[None]],
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        app: What answers.
        sockets: Where it listens.
        certificate: The file with the server's certificate and key.
        ready: Called once requests are answered.
        background: What runs beside it, until it is cancelled.
    """
    config = uvicorn.Config(
        app,
        http=TransportExposingProtocol,
        ws="none",
        lifespan="off",
        loop="none",
        ssl_certfile=certificate,
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    serving = asyncio.ensure_future(server.serve(sockets=sockets))
    beside = asyncio.ensure_future(background())
    await _started(server, serving)
    ready()
    try:
        await serving
    finally:
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside


async def _started(server: uvicorn.Server, serving: asyncio.Future[None]) -> None:
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
