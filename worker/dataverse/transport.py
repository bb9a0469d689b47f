"""Sends one request to the Web API and turns whatever comes back into an answer or an error.

No cookies (the affinity cookie would pin every request to one web server), no redirects, TLS verified always, no
address but the environment's. Every request is counted and timed; none is logged with its body or its token.
"""

import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from worker.dataverse.budget import read_budget
from worker.dataverse.errors import (
    DataverseError,
    NeverSentError,
    OutcomeUnknownError,
    UnavailableError,
    UnexpectedAnswerError,
)
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


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the Web API.

    Attributes:
        method: The HTTP verb.
        path: Below the API's root, percent-encoded.
        operation: What the request is for, as a metric label.
        writes: Whether it may change something: an answer that is lost then leaves its outcome unknown.
        headers: Beside those that every request carries.
        content: The body.
    """

    method: str
    path: str
    operation: str
    writes: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)


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
        patience: float = PATIENCE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it.

        Args:
            url: The environment's root, such as ``https://yourorg.crm.dynamics.com``.
            api_version: Such as ``v9.2``.
            tokens: Where access tokens come from.
            throttle: Decides when a request may be sent.
            metrics: Where requests are counted and timed.
            timeout: Seconds without a byte of an answer after which it counts as lost.
            ca_file: Authorities to trust beside the system's.
            patience: Seconds for which one request may be held back by 429 answers.
            monotonic: A clock, in seconds.
        """
        self.root = f"{url}/api/data/{api_version}/"
        self.root_path = urlsplit(self.root).path
        self._tokens = tokens
        self._throttle = throttle
        self._metrics = metrics
        self._patience = patience
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
        """Close the connections, the throttle's as well."""
        self._http.close()
        self._throttle.close()

    def server_time(self) -> datetime | None:
        """Give the server's clock, in whole milliseconds, in which claims are written and recognised again.

        It is the last ``Date`` seen and what has passed since; None before the first answer.
        """
        if self._clock is None:
            return None
        date, seen = self._clock
        return date + timedelta(milliseconds=int((self._monotonic() - seen) * 1000))

    def send(self, request: Request) -> httpx.Response:
        """Send a request and wait for its whole answer, sitting out 429 answers and renewing a refused token once.

        Returns:
            An answer with a status below 300.

        Raises:
            DataverseError: As `worker.dataverse.errors` has them.
        """
        give_up_at = self._monotonic() + self._patience
        is_fresh = False
        while True:
            token = self._tokens.token()
            response = self._exchange(request, token)
            if response.status_code == HTTPStatus.UNAUTHORIZED and not is_fresh:
                self._tokens.drop(token)
                is_fresh = True
            elif response.status_code != HTTPStatus.TOO_MANY_REQUESTS or not self._may_wait(response, give_up_at):
                return _checked(response, writes=request.writes)

    def _exchange(self, request: Request, token: str) -> httpx.Response:
        with self._throttle.slot() as held_back:
            for limit, seconds in held_back.items():
                self._metrics.paused_seconds.labels(limit).inc(seconds)
            response = self._timed(request, token)
            self._throttle.heard(read_budget(response.headers))
        self._note_clock(response)
        return response

    def _timed(self, request: Request, token: str) -> httpx.Response:
        headers = {**request.headers, "Authorization": f"Bearer {token}", "x-ms-client-request-id": _request_id()}
        started, status = self._monotonic(), "none"
        try:
            response = self._http.request(
                request.method, self.root + request.path, headers=headers, content=request.content
            )
            status = str(response.status_code)
        except httpx.HTTPError as error:
            raise _lost(error, writes=request.writes) from error
        finally:
            self._metrics.requests.labels(request.operation, status).inc()
            self._metrics.request_duration.labels(request.operation).observe(self._monotonic() - started)
        return response

    def _note_clock(self, response: httpx.Response) -> None:
        try:
            date = parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return  # without its date an answer does not tell the time; the clock runs on
        self._clock = (date, self._monotonic())

    def _may_wait(self, response: httpx.Response, give_up_at: float) -> bool:
        """Tell everybody about a 429, and say whether this request's patience lasts until it may be sent again."""
        error = _error(response)
        limit = LIMITS.get(error.code, "other")
        self._metrics.throttled.labels(limit).inc()
        self._throttle.throttled(limit, error.retry_after)
        log.warning("dataverse_throttled", limit=limit, retry_after=error.retry_after)
        return self._monotonic() + error.retry_after < give_up_at


class _NoCookies(DefaultCookiePolicy):
    """Takes no cookie from anybody."""

    def set_ok(self, _cookie: object, _request: object) -> bool:
        """Refuse."""
        return False


def _checked(response: httpx.Response, *, writes: bool) -> httpx.Response:
    if response.is_success:
        return response
    if response.is_redirect:
        raise UnexpectedAnswerError(
            "Dataverse answered with a redirect, which is not followed: is JOBWORKER_DATAVERSE__URL right?",
            status=response.status_code,
        )
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
        return NeverSentError(f"Dataverse cannot be reached ({name}): is JOBWORKER_DATAVERSE__URL right?")
    if writes:
        return OutcomeUnknownError(f"the answer to a write was lost ({name})")
    return UnavailableError(f"Dataverse's answer was lost ({name})")


def _request_id() -> str:
    bound = structlog.contextvars.get_contextvars().get("correlation_id")
    return str(bound or uuid.uuid4())
