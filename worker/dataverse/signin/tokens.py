"""Keeps one access token and replaces it in time: one token request per process and hour. How is others' business."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import structlog

from worker.dataverse.errors import DataverseError, SignInError

log = structlog.get_logger(__name__)

REFRESH_BEFORE_SECONDS = 360.0
"""Before its end a token is replaced, in time to do without Entra ID for a few minutes."""

ASK_AGAIN_SECONDS = 30.0
"""After a failure, while the old token still serves; or after a refusal, which asking again would not change."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token as it was issued: its text, and for how many seconds it lasts."""

    text: str = field(repr=False)
    lasts: float


SignIn: TypeAlias = Callable[[], Issued]
"""Signs in once. Raises SignInError for a refusal, NeverSentError when nobody could be asked."""


@dataclass(frozen=True, slots=True)
class _Held:
    text: str = field(repr=False)
    ends_at: float
    refresh_at: float


class Tokens:
    """Gives tokens. Safe to share between threads; only one of them signs in at a time."""

    def __init__(self, sign_in: SignIn, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Make it.

        Args:
            sign_in: Signs in once.
            monotonic: A clock, in seconds.
        """
        self._sign_in = sign_in
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._refusal: SignInError | None = None
        self._refused_until = float("-inf")

    def token(self) -> str:
        """Give a token that is still good, as far as its end is known.

        Raises:
            SignInError: When Entra ID refuses, naming the setting at fault.
            NeverSentError: When it cannot be reached.
        """
        with self._lock:
            held = self._held
            if held is None or self._monotonic() >= held.refresh_at:
                held = self._held = self._replaced(held)
            return held.text

    def drop(self, token: str) -> None:
        """Forget a token that was refused, unless it was replaced meanwhile."""
        with self._lock:
            if self._held is not None and self._held.text == token:
                self._held = None

    def _replaced(self, held: _Held | None) -> _Held:
        try:
            return self._fetched()
        except DataverseError as error:
            now = self._monotonic()
            if held is None or now >= held.ends_at:
                raise
            log.warning("token_not_renewed", error=str(error), good_for=held.ends_at - now)
            return replace(held, refresh_at=now + ASK_AGAIN_SECONDS)

    def _fetched(self) -> _Held:
        if self._refusal is not None and self._monotonic() < self._refused_until:
            raise SignInError(str(self._refusal), code=self._refusal.code) from self._refusal
        try:
            issued = self._sign_in()
        except SignInError as error:
            self._refusal, self._refused_until = error, self._monotonic() + ASK_AGAIN_SECONDS
            raise
        self._refusal = None
        log.info("signed_in", expires_in=issued.lasts)
        now = self._monotonic()
        return _Held(
            issued.text, now + issued.lasts, now + max(issued.lasts - REFRESH_BEFORE_SECONDS, issued.lasts / 2)
        )
