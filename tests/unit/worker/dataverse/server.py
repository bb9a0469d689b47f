"""A small HTTPS server that answers as a test tells it to, and remembers what it was asked. It knows no Dataverse."""

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import trustme

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer. A body that is neither bytes nor None is sent as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    promised_length: int | None = None

    @property
    def content(self) -> bytes:
        match self.body:
            case None:
                return b""
            case bytes():
                return self.body
            case _:
                return json.dumps(self.body).encode()


class Hangup:
    """Reads the request and closes the connection without a word."""


Reply: TypeAlias = Answer | Hangup | Callable[[Received], Answer]


class ScriptedServer:
    """Gives its replies in order, the last of them for ever."""

    def __init__(self, ca: trustme.CA) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._replies: deque[Reply] = deque([Answer(204)])
        self._lock = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self._http = _Quiet(("127.0.0.1", 0), _handler(self))
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(0.01))
        self._thread.start()

    def will_answer(self, *replies: Reply) -> None:
        """Give these replies from now on."""
        with self._lock:
            self._replies = deque(replies)
            self.received.clear()

    def reply_to(self, received: Received) -> Reply:
        with self._lock:
            self.received.append(received)
            return self._replies.popleft() if len(self._replies) > 1 else self._replies[0]

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Quiet(ThreadingHTTPServer):
    """Does not print what a client that went away left behind."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            received = Received(self.command, self.path, self.headers, body)
            reply = server.reply_to(received)
            if callable(reply):
                reply = reply(received)
            if isinstance(reply, Hangup):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._send(reply)

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            given = {name.lower() for name in answer.headers}
            if "date" not in given:
                self.send_header("Date", DATE)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            content = answer.content
            if answer.status != 204:
                self.send_header("Content-Length", str(answer.promised_length or len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = answer.promised_length is not None

        do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815 - the names http.server calls

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def scripted_server(ca: trustme.CA) -> Iterator[ScriptedServer]:
    """Run a server for the length of a test."""
    server = ScriptedServer(ca)
    try:
        yield server
    finally:
        server.stop()


def write_ca(ca: trustme.CA, folder: Path) -> Path:
    """Write the authority's certificate where a client can be told to trust it."""
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path
