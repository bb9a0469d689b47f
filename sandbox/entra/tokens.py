"""Access tokens: issued by the token endpoint, checked by the Web API. Their lifetime runs on the sandbox's clock."""

from __future__ import annotations

import json
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from sandbox.clock import Clock
from sandbox.entra.applications import Application

LIFETIME = 3599
_REMEMBERED = 10_000


class AccessTokens:
    """Issues and checks tokens.

    Args:
        clock: The sandbox's time.
        issuer: The `iss` of the tokens.
        tenant_id: The tenant's id.
        key: What they are signed with; a new key when not given.
    """

    def __init__(self, clock: Clock, issuer: str, tenant_id: str, key: rsa.RSAPrivateKey | None = None) -> None:
        self._clock = clock
        self._issuer = issuer
        self._tenant_id = tenant_id
        self._key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = uuid.uuid4().hex
        self._checked: dict[str, tuple[str, str, int]] = {}
        self.lifetime = LIFETIME

    def issue(self, application: Application, audience: str) -> tuple[str, int]:
        """A token for a resource, and for how many seconds it is good."""
        now = self._clock.seconds()
        claims = {
            "aud": audience,
            "iss": self._issuer,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "appid": application.client_id,
            "idtyp": "app",
            "oid": application.object_id,
            "sub": application.object_id,
            "tid": self._tenant_id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id}), self.lifetime

    def client_of(self, token: str, audiences: frozenset[str]) -> str | None:
        """The client id a token was issued to, or None when it is not good (any more) for these audiences."""
        checked = self._checked.get(token) or self._check(token)
        if checked is None:
            return None
        client_id, audience, expires = checked
        good = expires > self._clock.now() and audience.rstrip("/") in audiences
        return client_id if good else None

    def _check(self, token: str) -> tuple[str, str, int] | None:
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._key.public_key(), algorithms=["RS256"], options=options)
        except jwt.PyJWTError:
            return None
        if len(self._checked) >= _REMEMBERED:
            self._checked.clear()
        self._checked[token] = (claims["appid"], claims["aud"], claims["exp"])
        return self._checked[token]

    def key_set(self) -> dict[str, Any]:
        """The public key, for those who want to verify a token."""
        public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "use": "sig", "kid": self._key_id, "alg": "RS256"}]}
