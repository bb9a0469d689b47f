"""An outside issuer, as a cluster is one for its workloads: its tokens stand for the worker without any secret."""

from __future__ import annotations

import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.clock import Clock
from sandbox.entra.applications import FederatedCredential
from sandbox.entra.assertions import FEDERATED_AUDIENCE

SUBJECT = "system:serviceaccount:jobworker:worker"
_LIFETIME = 24 * 3600


class WorkloadIssuer:
    """Issues federated tokens.

    Args:
        url: The sandbox's address; the issuer's is below it.
        clock: The sandbox's time.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._issuer = f"{url}/sandbox/issuer"
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def credential(self) -> FederatedCredential:
        """What to register for the application."""
        return FederatedCredential(self._issuer, SUBJECT, self._key.public_key())

    def token(self, audience: str = FEDERATED_AUDIENCE) -> str:
        """A token that stands for the application."""
        now = self._clock.seconds()
        claims = {"iss": self._issuer, "sub": SUBJECT, "aud": audience, "iat": now, "nbf": now, "exp": now + _LIFETIME}
        return jwt.encode({**claims, "jti": uuid.uuid4().hex}, self._key, algorithm="RS256")
