"""The sandbox driven without sockets: the ASGI application called directly, on a clock that stands still."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.clock import Clock
from sandbox.entra.applications import Application
from sandbox.limits import LimitSizes
from sandbox.service import Sandbox, build_sandbox

PORT = 8443
ROOT = f"https://localhost:{PORT}/api/data/v9.2"
START = 1_790_000_000.0
SIGNING_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
"""Made once: making a key takes longer than most tests."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.document["error"]["code"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self.document["value"])


@dataclass
class Driver:
    """Talks to a sandbox in this process."""

    sandbox: Sandbox
    wall: list[float]
    bearer: str = field(default="")

    def __post_init__(self) -> None:
        self.sign_in(self.sandbox.worker)

    def sign_in(self, application: Application) -> None:
        """Be this application from now on."""
        self.bearer = self.token_of(application)

    def token_of(self, application: Application) -> str:
        gateway = self.sandbox.app.routes[0].app  # type: ignore[attr-defined]
        token, _ = gateway.tokens.issue(application, f"https://localhost:{PORT}")
        return str(token)

    def sleep(self, seconds: float) -> None:
        """Let time pass without waiting."""
        self.wall[0] += seconds

    def send(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None, **scope: Any
    ) -> Reply:
        """Any request to the server."""
        return asyncio.run(self.exchange(method, target, body, headers, **scope))

    async def exchange(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None, **scope: Any
    ) -> Reply:
        path, _, query = target.partition("?")
        fields = {"host": f"localhost:{PORT}", **{name.lower(): value for name, value in (headers or {}).items()}}
        made = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode(),
            "scheme": "https",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", PORT),
            **scope,
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.sandbox.app(made, receive, send)
        start = sent[0]
        answered = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], answered, b"".join(each.get("body", b"") for each in sent[1:]))

    def api(
        self, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None, **options: str
    ) -> Reply:
        """A request to the Web API; options are query options, their leading `$` written as `_`."""
        pairs = [(f"${name[1:]}" if name.startswith("_") else name, value) for name, value in options.items()]
        query = f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""
        body = b"" if document is None else json.dumps(document).encode()
        fields = {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/json", **(headers or {})}
        return self.send(method, f"/api/data/v9.2/{path}{query}", body, fields)

    def get(self, path: str, headers: Mapping[str, str] | None = None, **options: str) -> Reply:
        return self.api("GET", path, None, headers, **options)

    def follow(self, link: str, headers: Mapping[str, str] | None = None) -> Reply:
        """A link that an answer held."""
        target = link.removeprefix(f"https://localhost:{PORT}")
        return self.send("GET", target, b"", {"Authorization": f"Bearer {self.bearer}", **(headers or {})})

    def control(self, path: str, document: Any = None) -> Any:
        """The control surface."""
        method = "GET" if document is None else "POST"
        reply = self.send(method, f"/sandbox/{path}", b"" if document is None else json.dumps(document).encode())
        assert reply.status == 200, reply.body
        return reply.document

    def job(self, **columns: Any) -> str:
        """A new job; returns its id."""
        return self._create("msdyn_integrationjobs", columns)

    def packet(self, job: str | None, sequence: int | None = None, **columns: Any) -> str:
        """A new packet; returns its id."""
        bind = {} if job is None else {"msdyn_IntegrationJobHeader@odata.bind": f"/msdyn_integrationjobs({job})"}
        return self._create("msdyn_integrationjobdetails", {"msdyn_sequencenumber": sequence, **bind, **columns})

    def _create(self, entity_set: str, columns: Mapping[str, Any]) -> str:
        reply = self.api("POST", entity_set, dict(columns))
        assert reply.status == 204, reply.body
        return reply.headers["odata-entityid"].rpartition("(")[2].rstrip(")")

    def row(self, job: str) -> dict[str, Any]:
        """A job's row."""
        return dict(self.get(f"msdyn_integrationjobs({job})").document)


def start(directory: Path, sizes: LimitSizes | None = None) -> Driver:
    """A fresh sandbox."""
    wall = [START]
    clock = Clock(lambda: wall[0])
    return Driver(build_sandbox(directory / "rows.sqlite", PORT, sizes or LimitSizes(), clock, SIGNING_KEY), wall)


WAITING, READY, SKIPPED, PROCESSING, SUCCEEDED, FAILED = range(192350000, 192350006)
