"""What lies between HTTP and the Web API: sign-in, protection limits, faults, counting, the headers of an answer."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from sandbox import errors
from sandbox.clock import Clock
from sandbox.connection import send_reset, send_truncated
from sandbox.entra.applications import Applications
from sandbox.entra.tokens import AccessTokens
from sandbox.errors import DataverseError
from sandbox.exchange import Answer, Caller, Operation, error_answer
from sandbox.faults import FaultRule, Faults, Subject, is_write
from sandbox.kinds import kind_of
from sandbox.limits import REQUESTS, Protection
from sandbox.stats import Stats
from sandbox.webapi import WebApi

LONGEST_URL = 32_768
LARGEST_BODY = 128 * 1024 * 1024
VERSIONS = frozenset({"v9.0", "v9.1", "v9.2"})
_PREFIX = "/api/data/"
_COOKIE = ("Set-Cookie", "ARRAffinity=5a0d0b0e; Path=/; HttpOnly; Secure")
_log = logging.getLogger(__name__)


class _ConnectionResetError(Exception):
    """The answer to this request is a reset connection."""


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
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = self._caller(headers)
        if caller is None:
            await self._send(send, self._unauthorized(), None, headers)
            return
        disobedient = self.protection.begin(caller.client_id)
        if disobedient:
            self.stats.disobeyed()
        started = time.perf_counter()
        try:
            await self._admitted(scope, receive, send, headers, caller, disobedient=disobedient)
        except _ConnectionResetError:
            send_reset(scope)
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

    async def _admitted(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[str, str],
        caller: Caller,
        *,
        disobedient: bool,
    ) -> None:
        operation = self._operation(scope, headers, caller)
        kind = kind_of(operation.method, operation.path, operation.query)
        self.stats.request(kind, caller.client_id, in_flight=self.protection.in_flight, with_cookie="cookie" in headers)
        try:
            self._check(scope, caller)
            # Whatever came in at the same time is counted as concurrent before any of it is answered.
            await asyncio.sleep(0)
            self.protection.admit(caller.client_id, disobedient=disobedient)
            operation = await _with_body(operation, receive)
        except DataverseError as error:
            await self._send(send, self._refused(error), caller, headers)
            return
        await self._answered(scope, send, operation, kind)

    def _operation(self, scope: Scope, headers: Mapping[str, str], caller: Caller) -> Operation:
        path = scope["path"].removeprefix(_PREFIX)
        version, _, below = path.partition("/")
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

    def _check(self, scope: Scope, caller: Caller) -> None:
        length = len(scope["raw_path"]) + len(scope["query_string"]) + 1
        if length > LONGEST_URL:
            raise DataverseError(414, "", f"The URL is longer than {LONGEST_URL} characters.")
        version = scope["path"].removeprefix(_PREFIX).partition("/")[0]
        if version not in VERSIONS:
            raise errors.no_such_resource(version)
        if not caller.user_id:
            raise errors.not_a_member()

    def _refused(self, error: DataverseError) -> Answer:
        if error.status == 429:
            self.stats.throttle(error.code)
        return error_answer(error)

    async def _answered(self, scope: Scope, send: Send, operation: Operation, kind: str) -> None:
        struck = self._struck(operation, kind) if self.faults.active else []
        before = [rule for rule in struck if rule.moment == "before" and rule.kind != "reset_after"]
        after = [rule for rule in struck if rule not in before]
        answer = await self._suffer(before, operation.caller)
        if answer is None:
            answer = self._perform(operation)
            answer = await self._suffer(after, operation.caller) or answer
        if any(rule.kind == "truncate" for rule in struck):
            await send_truncated(
                scope, send, answer.status, self._headers(answer, operation.caller, operation.headers), answer.body
            )
            return
        await self._send(send, answer, operation.caller, operation.headers)

    def _struck(self, operation: Operation, kind: str) -> list[FaultRule]:
        writes = is_write(kind, operation.body)
        subject = Subject(kind, operation.method, operation.path, operation.caller.client_id, writes)
        return self.faults.strike(subject)

    async def _suffer(self, rules: list[FaultRule], caller: Caller) -> Answer | None:
        """Let the faults happen; returns what is answered in the place of the true answer, if anything."""
        for rule in rules:
            match rule.kind:
                case "latency":
                    await asyncio.sleep(rule.seconds or 0.0)
                case "throttle":
                    return self._throttled(rule, caller)
                case "server_error":
                    return _server_error(rule)
                case "expired_token":
                    return self._unauthorized()
                case "reset_before" | "reset_after":
                    raise _ConnectionResetError
                case "truncate":
                    pass
        return None

    def _throttled(self, rule: FaultRule, caller: Caller) -> Answer:
        seconds = max(1, round(rule.seconds or 1))
        self.protection.name_wait(caller.client_id, seconds)
        sizes = self.protection.sizes
        message = (
            f"Number of requests exceeded the limit of {sizes.requests} over time window of {sizes.window:g} seconds."
        )
        return self._refused(DataverseError(429, REQUESTS, message, retry_after=seconds))

    def _perform(self, operation: Operation) -> Answer:
        try:
            return self.web_api.answer(operation)
        except Exception:
            # A mistake of the sandbox's own: the client gets what the service would say, the tests get the trace.
            _log.exception("unexpected error while answering %s %s", operation.method, operation.path)
            return error_answer(errors.unexpected())

    def _headers(self, answer: Answer, caller: Caller | None, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
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

    async def _send(self, send: Send, answer: Answer, caller: Caller | None, headers: Mapping[str, str]) -> None:
        self.stats.answered(answer.status)
        fields = self._headers(answer, caller, headers)
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body})


def _server_error(rule: FaultRule) -> Answer:
    """500 comes as JSON; 503 comes from in front of the service, as a page."""
    retry = [] if rule.seconds is None or rule.kind != "server_error" else [("Retry-After", str(round(rule.seconds)))]
    if rule.status == 500:
        answer = error_answer(errors.unexpected())
        answer.headers += retry
        return answer
    page = b"<html><body><h1>Service Unavailable</h1></body></html>"
    return Answer(rule.status, page, [("Content-Type", "text/html"), *retry])


async def _with_body(operation: Operation, receive: Receive) -> Operation:
    """The operation with its body read.

    Raises:
        DataverseError: When the body is too large.
    """
    message = await receive()
    body = message.get("body", b"")
    if message.get("more_body", False):
        chunks = [body]
        size = len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > LARGEST_BODY:
                raise errors.payload_too_large()
        body = b"".join(chunks)
    if not body:
        return operation
    return Operation(
        operation.method,
        operation.path,
        operation.query,
        operation.headers,
        body,
        operation.caller,
        operation.root,
    )
