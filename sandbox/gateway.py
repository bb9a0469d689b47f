"""What lies between HTTP and the Web API: sign-in, protection limits, faults, counting, the headers of an answer."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.types import Receive, Scope, Send

from sandbox import errors
from sandbox.clock import Clock
from sandbox.connection import Connection, Fields
from sandbox.entra.applications import Applications
from sandbox.entra.tokens import AccessTokens
from sandbox.errors import DataverseError
from sandbox.exchange import Answer, Caller, Operation, error_answer
from sandbox.faults import Faults
from sandbox.kinds import kind_of
from sandbox.limits import Arrival, Protection
from sandbox.mishaps import ConnectionResetByFaultError, mishaps_of
from sandbox.stats import Stats
from sandbox.webapi import WebApi

LONGEST_URL = 32_768
VERSIONS = frozenset({"v9.0", "v9.1", "v9.2"})
_PREFIX = "/api/data/"
_COOKIE = ("Set-Cookie", "ARRAffinity=5a0d0b0e; Path=/; HttpOnly; Secure")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Gateway:
    """An ASGI application for everything below `/api/data/`.

    Args:
        clock: The sandbox's time.
        web_api: Answers what passes.
        applications: Who may pass.
        tokens: How they show who they are.
        protection: How often they may pass.
        faults: What goes wrong on the way.
        stats: Where it is counted.
        audiences: The addresses tokens have to be made for.
        authority: Where the 401 sends those without a token.
    """

    clock: Clock
    web_api: WebApi
    applications: Applications
    tokens: AccessTokens
    protection: Protection
    faults: Faults
    stats: Stats
    audiences: frozenset[str]
    authority: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection = Connection(scope, receive, send)
        headers = connection.headers
        caller = self._caller(headers)
        if caller is None:
            await self._send(connection, self._unauthorized(), None, headers)
            return
        operation = _operation(scope, headers, caller)
        arrival = self.protection.begin(caller.client_id)
        if arrival.disobedient:
            self.stats.disobeyed()
        started = time.perf_counter()
        try:
            await self._process(connection, operation, arrival)
        except ConnectionResetByFaultError:
            await connection.reset()
        finally:
            self.protection.end(caller.client_id, (time.perf_counter() - started) * 1000)

    def _caller(self, headers: Mapping[str, str]) -> Caller | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        client_id = self.tokens.client_of(token.strip(), self.audiences)
        if client_id is None:
            return None
        return self.applications.caller(client_id) or Caller(client_id, "", 0)

    def _unauthorized(self) -> Answer:
        resource = max(self.audiences)
        challenge = f"Bearer authorization_uri={self.authority}/oauth2/authorize, resource_id={resource}/"
        return Answer(401, b"", [("WWW-Authenticate", challenge)])

    async def _process(self, connection: Connection, operation: Operation, arrival: Arrival) -> None:
        kind = kind_of(operation.method, operation.path, operation.query)
        caller = operation.caller
        self.stats.request(
            kind, caller.client_id, in_flight=self.protection.in_flight, with_cookie="cookie" in operation.headers
        )
        try:
            _check(connection.scope, caller)
            # Whatever came in at the same time is counted as concurrent before any of it is answered.
            await asyncio.sleep(0)
            self.protection.admit(caller.client_id, arrival)
            operation = replace(operation, body=await connection.body())
        except DataverseError as error:
            if error.status == 429:
                self.stats.throttle(error.code)
            await self._send(connection, error_answer(error), caller, operation.headers)
            return
        await self._carry_out(connection, operation, kind)

    async def _carry_out(self, connection: Connection, operation: Operation, kind: str) -> None:
        """Do what is asked, with the mishaps that befall it on the way."""
        client_id = operation.caller.client_id
        mishaps = mishaps_of(self.faults, operation, kind, self.protection, self.stats, self._unauthorized())
        answer = await mishaps.happen("before", client_id)
        if answer is None:
            answer = self._perform(operation)
            answer = await mishaps.happen("after", client_id) or answer
        if mishaps.truncate:
            fields = self._fields(answer, operation.caller, operation.headers)
            await connection.truncate(answer.status, fields, answer.body)
        else:
            await self._send(connection, answer, operation.caller, operation.headers)

    def _perform(self, operation: Operation) -> Answer:
        try:
            return self.web_api.answer(operation)
        except Exception:
            # A mistake of the sandbox's own: the client gets what the service would say, the tests get the trace.
            _log.exception("unexpected error while answering %s %s", operation.method, operation.path)
            return error_answer(errors.unexpected())

    def _fields(self, answer: Answer, caller: Caller | None, headers: Mapping[str, str]) -> Fields:
        fields = [
            *answer.headers,
            ("Date", self.clock.date_header()),
            ("x-ms-service-request-id", str(uuid.uuid4())),
        ]
        if caller is not None:
            fields += self.protection.headers(caller.client_id)
        if "cookie" not in headers:
            fields.append(_COOKIE)
        if answer.status not in {204, 304}:
            fields.append(("Content-Length", str(len(answer.body))))
        return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]

    async def _send(
        self, connection: Connection, answer: Answer, caller: Caller | None, headers: Mapping[str, str]
    ) -> None:
        self.stats.answered(answer.status)
        await connection.answer(answer.status, self._fields(answer, caller, headers), answer.body)


def _operation(scope: Scope, headers: Mapping[str, str], caller: Caller) -> Operation:
    """What is asked, but for the body."""
    version, _, below = scope["path"].removeprefix(_PREFIX).partition("/")
    host = headers.get("host", "localhost")
    return Operation(
        method=scope["method"],
        path=below.rstrip("/"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"",
        caller=caller,
        root=f"{scope['scheme']}://{host}{_PREFIX}{version}",
    )


def _check(scope: Scope, caller: Caller) -> None:
    """Refuse what never gets as far as the Web API."""
    length = len(scope["raw_path"]) + len(scope["query_string"]) + 1
    if length > LONGEST_URL:
        raise DataverseError(414, "", f"The URL is longer than {LONGEST_URL} characters.")
    version = scope["path"].removeprefix(_PREFIX).partition("/")[0]
    if version not in VERSIONS:
        raise errors.no_such_resource(version)
    if not caller.user_id:
        raise errors.not_a_member()
