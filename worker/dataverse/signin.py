"""Signs the application user in through MSAL and keeps its token: one token request per process and hour.

MSAL answers repeated failures from memory for a while, so a failed sign-in is followed by a new MSAL application.
What MSAL says of a failure may quote what was sent; only the AADSTS code is repeated, beside the setting it is about.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msal
import structlog

from worker.dataverse.errors import SignInError, UnavailableError

log = structlog.get_logger(__name__)

REFRESH_BEFORE_SECONDS = 360.0
"""Before its end a token is replaced; MSAL itself does not reuse one with less than five minutes left."""

PUBLIC_CLOUD = "https://login.microsoftonline.com"

TRANSIENT_CODES = {"AADSTS90033", "AADSTS50196", "AADSTS90099"}

SETTINGS_AT_FAULT: Mapping[str, str] = {
    "AADSTS7000215": "JOBWORKER_AUTH__CLIENT_SECRET is not a secret of this application: create one and set it.",
    "AADSTS7000222": "the secret in JOBWORKER_AUTH__CLIENT_SECRET has expired: create a new one and set it.",
    "AADSTS700016": "JOBWORKER_AUTH__CLIENT_ID is not an application of this tenant.",
    "AADSTS700027": "the certificate in JOBWORKER_AUTH__CERTIFICATE_FILE is not registered with this application.",
    "AADSTS90002": "JOBWORKER_AUTH__TENANT_ID is not a tenant that exists.",
    "AADSTS900023": "JOBWORKER_AUTH__TENANT_ID is neither a tenant's id nor its domain.",
    "AADSTS500011": "JOBWORKER_DATAVERSE__URL is not an environment of this tenant.",
    "AADSTS70021": "no federated credential of the application fits the token in JOBWORKER_AUTH__FEDERATED_TOKEN_FILE.",
}

_CODE = re.compile(r"AADSTS\d+")

Acquire = Callable[[], Mapping[str, Any]]
"""Asks MSAL for a token; what it returns is MSAL's result."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    refresh_at: float

    def __repr__(self) -> str:
        return "_Token(...)"


class Tokens:
    """Keeps one token and replaces it in time. Safe to share between threads."""

    def __init__(self, begin: Callable[[], Acquire], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Make it.

        Args:
            begin: Makes a new MSAL application and returns how it is asked.
            monotonic: A clock, in seconds.
        """
        self._begin = begin
        self._acquire: Acquire | None = None
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def token(self) -> str:
        """Give a token that is good for some minutes.

        Raises:
            SignInError: When Entra ID refuses, naming the setting at fault.
            UnavailableError: When it cannot be reached.
        """
        with self._lock:
            if self._token is None or self._monotonic() >= self._token.refresh_at:
                self._token = self._fetch()
            return self._token.text

    def drop(self, token: str) -> None:
        """Forget a token that was refused, unless it was replaced meanwhile."""
        with self._lock:
            if self._token is not None and self._token.text == token:
                self._token, self._acquire = None, None

    def _fetch(self) -> _Token:
        try:
            self._acquire = self._acquire or self._begin()
            result = self._acquire()
        except (httpx.HTTPError, OSError) as error:
            self._acquire = None
            reason = (
                f"Microsoft Entra ID cannot be reached ({type(error).__name__}): is JOBWORKER_AUTH__AUTHORITY right?"
            )
            raise UnavailableError(reason) from error
        except ValueError as error:
            self._acquire = None
            raise SignInError(
                "The tenant's sign-in service is not what JOBWORKER_AUTH__TENANT_ID and JOBWORKER_AUTH__AUTHORITY say: "
                f"its configuration cannot be read ({type(error).__name__})."
            ) from None
        if "access_token" not in result:
            self._acquire = None
            raise refused(result)
        log.info("signed_in", expires_in=result.get("expires_in"))
        lasts = float(result.get("expires_in", 0))
        return _Token(result["access_token"], self._monotonic() + max(lasts - REFRESH_BEFORE_SECONDS, lasts / 2))


def refused(result: Mapping[str, Any]) -> SignInError | UnavailableError:
    """Put a refusal into words, repeating nothing of it but its code."""
    codes = _CODE.findall(str(result.get("error_description", ""))) or [str(result.get("error", "unknown"))[:40]]
    code = codes[0]
    if code in TRANSIENT_CODES or result.get("error") in ("temporarily_unavailable", "server_error"):
        return UnavailableError(f"Microsoft Entra ID could not sign in just now ({code})")
    advice = SETTINGS_AT_FAULT.get(code, "check the settings JOBWORKER_AUTH__...")
    return SignInError(f"Microsoft Entra ID refused to sign in ({code}): {advice}", code=code)


def client_credentials(
    authority: str, client_id: str, credential: Any, scope: str, http_client: Any
) -> Callable[[], Acquire]:
    """Sign in as an application with a secret or a certificate.

    Args:
        authority: The sign-in service with the tenant at its end.
        client_id: The application.
        credential: What MSAL's ConfidentialClientApplication takes.
        scope: ``{environment}/.default``.
        http_client: What MSAL sends its requests with.
    """

    def begin() -> Acquire:
        app = msal.ConfidentialClientApplication(
            client_id,
            client_credential=credential,
            authority=authority,
            instance_discovery=authority.startswith(PUBLIC_CLOUD),
            http_client=http_client,
        )
        return lambda: app.acquire_token_for_client(scopes=[scope]) or {}

    return begin
