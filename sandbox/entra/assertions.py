"""Client assertions: signed tokens that an application shows instead of a secret."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import jwt

from sandbox.entra import errors
from sandbox.entra.applications import Application

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
_SKEW = 300
_ALGORITHMS = ["RS256", "PS256"]
_THUMBPRINTS = ("x5t#S256", "x5t")


class AssertionVerifier:
    """Verifies assertions.

    Args:
        now: The sandbox's time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def verify(self, application: Application, assertion: str, endpoint: str) -> None:
        """Let the assertion stand for the application, or not.

        Args:
            application: Whose it has to be.
            assertion: The token.
            endpoint: The address of the token endpoint, for which it has to be made.

        Raises:
            SignInError: When it does not verify.
        """
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise errors.malformed_assertion() from error
        if any(name in header for name in _THUMBPRINTS):
            self._verify_certificate(application, assertion, header, claims, endpoint)
        else:
            self._verify_federated(application, assertion, claims)

    def _verify_certificate(
        self, application: Application, assertion: str, header: dict[str, Any], claims: dict[str, Any], endpoint: str
    ) -> None:
        key = application.certificates.get(_thumbprint(header))
        if key is None or not _signed_by(assertion, key):
            raise errors.unknown_certificate(application.client_id)
        self._check_time(claims)
        authority = endpoint.removesuffix("/oauth2/v2.0/token")
        if claims.get("aud") not in {endpoint, authority, f"{authority}/v2.0"}:
            raise errors.assertion_audience(claims.get("aud"))
        if claims.get("iss") != application.client_id or claims.get("sub") != application.client_id:
            raise errors.unknown_certificate(application.client_id)

    def _verify_federated(self, application: Application, assertion: str, claims: dict[str, Any]) -> None:
        wanted = (claims.get("iss"), claims.get("sub"))
        for credential in application.federated:
            fits = wanted == (credential.issuer, credential.subject) and claims.get("aud") == FEDERATED_AUDIENCE
            if fits and _signed_by(assertion, credential.key):
                self._check_time(claims)
                return
        raise errors.no_federated_identity(*wanted, claims.get("aud"))

    def _check_time(self, claims: dict[str, Any]) -> None:
        """Against the sandbox's own time; a signature check against the machine's would ignore a moved clock."""
        now = self._now()
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int | float) or now > expires + _SKEW or now < begins - _SKEW:
            raise errors.assertion_expired()


def _thumbprint(header: dict[str, Any]) -> str:
    for name in _THUMBPRINTS:
        if name in header:
            text = str(header[name])
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
            except (binascii.Error, ValueError):
                return ""
    return ""


def _signed_by(assertion: str, key: Any) -> bool:
    options: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
    try:
        jwt.decode(assertion, key, algorithms=_ALGORITHMS, options=options)
    except jwt.PyJWTError:
        return False
    return True
