"""Sends one request to the Web API and turns whatever comes back into an answer or an error.

No cookies (the affinity cookie would pin every request to one web server), no redirects, TLS verified always, no
address but the environment's. Every request is counted and timed; none is logged with its body or its token.
"""

import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import structlog

from config.metrics import DataverseMetrics
from worker.dataverse.answers import read_error
from worker.dataverse.errors import DataverseError, OutcomeUnknownError, ThrottledError, UnavailableError
from worker.dataverse.throttle import Throttle

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 600.0
"""How long one request may be held back by 429 answers before it is given up."""

LIMITS = {"0x80072322": "requests", "0x80072321": "execution_time", "0x80072326": "concurrency"}

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Failures before a byte of the request was on its way: nothing can have been done."""


class TokenSource(Protocol):
    """Gives access tokens."""

    def token(self) -> str:
        """Give a token that is good for some minutes at least.

        Raises:
            SignInError: When there is none to be had.
        """
        ...

    def drop(self, token: str) -> None:
        """Forget a token that was refused."""
        ...


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the system's authorities (or what SSL_CERT_FILE names) and those of a file."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class Transport:
    """One process's way to one Dataverse environment. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        api_version: str,
        tokens: TokenSource,
        throttle: Throttle,
        metrics: DataverseMetrics,
        *,
        timeout: float,
        ca_file: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = f"{url}/api/data/{api_version}/"
        self.root_path = urlsplit(self.root).path
        self._tokens = tokens
        self._throttle = throttle
        self._metrics = metrics
        self._monotonic = monotonic
        self._clock: tuple[datetime, float] | None = None
        self._http = httpx.Client(
            verify=tls_context(ca_file),
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            follow_redirects=False,
            trust_env=False,
            headers={
                "Accept": "application/json",
                "OData-MaxVersion": "4.0",
                "OData-Version": "4.0",
                "User-Agent": f"jobworker/{version('jobworker')}",
            },
        )
        self._http.cookies.jar.set_policy(_NoCookies())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def server_time(self) -> datetime | None:
        """Give the server's clock: the last ``Date`` seen and what has passed since; None before the first answer."""
        if self._clock is None:
            return None
        date, seen = self._clock
        return date + timedelta(seconds=self._monotonic() - seen)

    def send(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        writes: bool,
    ) -> httpx.Response:
        """Send a request and wait for its whole answer, sitting out 429 answers and renewing a refused token once.

        Args:
            method: The HTTP verb.
            path: Below the API's root, or a next link within it.
            operation: What the request is for, as a metric label.
            headers: Beside those that every request carries.
            content: The body.
            writes: Whether the request may change something: an answer that is lost then leaves its outcome unknown.

        Returns:
            An answer with a status below 400.

        Raises:
            DataverseError: As `worker.dataverse.errors` has them.
        """
        address = self._address(path)
        give_up_at = self._monotonic() + PATIENCE_SECONDS
        refused = False
        while True:
            token = self._tokens.token()
            response = self._exchange(method, address, operation, headers, content, token, writes=writes)
            if response.status_code == HTTPStatus.UNAUTHORIZED and not refused:
                refused = True
                self._tokens.drop(token)
                continue
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and self._sit_out(response, give_up_at):
                continue
            return _checked(response, writes=writes)

    def _address(self, path: str) -> str:
        """Resolve a path; a next link must stay within the API of this environment.

        Raises:
            UnavailableError: For a link to anywhere else, which is never followed.
        """
        if not path.startswith(("https://", "http://")):
            return self.root + path
        if not path.startswith(self.root):
            raise UnavailableError("Dataverse sent a next link that leads to another address; it is not followed")
        return path

    def _exchange(
        self,
        method: str,
        address: str,
        operation: str,
        headers: Mapping[str, str],
        content: bytes | None,
        token: str,
        *,
        writes: bool,
    ) -> httpx.Response:
        sent = {**headers, "Authorization": f"Bearer {token}", "x-ms-client-request-id": _request_id()}
        with self._throttle.slot():
            started = self._monotonic()
            status = "none"
            try:
                response = self._http.request(method, address, headers=sent, content=content)
                status = str(response.status_code)
            except httpx.HTTPError as error:
                raise _lost(error, writes=writes) from error
            finally:
                self._metrics.requests.labels(operation, status).inc()
                self._metrics.request_duration.labels(operation).observe(self._monotonic() - started)
        self._note(response)
        return response

    def _note(self, response: httpx.Response) -> None:
        """Take from the headers what concerns everybody: the clock and the recommended parallelism."""
        try:
            self._clock = (parsedate_to_datetime(response.headers["date"]).astimezone(UTC), self._monotonic())
            self._throttle.hint(int(response.headers["x-ms-dop-hint"]))
        except (KeyError, ValueError, TypeError):
            return  # a header that is absent or unreadable tells nothing

    def _sit_out(self, response: httpx.Response, give_up_at: float) -> bool:
        error = _error(response)
        wait = error.retry_after if isinstance(error, ThrottledError) else 0.0
        limit = LIMITS.get(error.code, "other")
        self._metrics.throttled.labels(limit).inc()
        self._throttle.throttled(limit, wait)
        log.warning("dataverse_throttled", limit=limit, retry_after=wait)
        return self._monotonic() + wait < give_up_at


class _NoCookies(DefaultCookiePolicy):
    """Takes no cookie from anybody."""

    def set_ok(self, _cookie: object, _request: object) -> bool:
        """Refuse."""
        return False


def _checked(response: httpx.Response, *, writes: bool) -> httpx.Response:
    if response.is_success:
        return response
    if response.is_redirect:
        raise UnavailableError("Dataverse answered with a redirect, which is not followed", status=response.status_code)
    error = _error(response)
    if writes and isinstance(error, UnavailableError):
        raise OutcomeUnknownError(f"the outcome of a write is not known: {error}", status=error.status)
    raise error


def _error(response: httpx.Response) -> DataverseError:
    try:
        value = response.json()
    except ValueError:
        value = None
    return read_error(response.status_code, response.headers, value)


def _lost(error: httpx.HTTPError, *, writes: bool) -> DataverseError:
    name = type(error).__name__
    if isinstance(error, NEVER_SENT):
        return UnavailableError(f"Dataverse cannot be reached ({name}): is JOBWORKER_DATAVERSE__URL right?")
    if writes:
        return OutcomeUnknownError(f"the answer to a write was lost ({name})")
    return UnavailableError(f"Dataverse's answer was lost ({name})")


def _request_id() -> str:
    bound = structlog.contextvars.get_contextvars().get("correlation_id")
    return str(bound or uuid.uuid4())
