"""The application registrations of the tenant, and the application users they have in the environment."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from sandbox.database import Database
from sandbox.exchange import Caller
from sandbox.tables import ORGANIZATION_ID, USER

_NAMES = uuid.UUID(ORGANIZATION_ID)
WORKER = "worker"
NEIGHBOUR = "neighbour"


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """An outside issuer whose tokens stand for the application.

    Args:
        issuer: The `iss` of its tokens.
        subject: The `sub` that stands for the application.
        key: The key its tokens are signed with.
    """

    issuer: str
    subject: str
    key: RSAPublicKey


@dataclass(frozen=True, slots=True)
class Application:
    """One application registration.

    Args:
        name: What people call it.
        client_id: Its id.
        secret: Its client secret.
        certificates: Thumbprints (hex SHA-1 and SHA-256 of the DER form) to the public keys registered.
        federated: Its federated credentials.
    """

    name: str
    client_id: str
    secret: str = field(repr=False)
    certificates: dict[str, RSAPublicKey] = field(default_factory=dict, repr=False)
    federated: tuple[FederatedCredential, ...] = ()

    @property
    def object_id(self) -> str:
        """The id of its service principal."""
        return str(uuid.uuid5(_NAMES, f"principal {self.name}"))

    def accepts(self, secret: str) -> bool:
        """Whether this is its secret."""
        return hmac.compare_digest(secret.encode(), self.secret.encode())


class Applications:
    """All registrations.

    Args:
        database: Where their users are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_id: dict[str, Application] = {}
        self._callers: dict[str, Caller] = {}

    def register(self, name: str, *, with_user: bool = True) -> Application:
        """Add an application; its ids follow from its name, its secret is new."""
        client_id = str(uuid.uuid5(_NAMES, f"application {name}"))
        application = Application(name, client_id, secrets.token_urlsafe(24))
        self._by_id[client_id] = application
        if with_user:
            self._callers[client_id] = self._ensure_user(application)
        return application

    def add_certificate(self, application: Application, certificate: Certificate) -> None:
        """Register a certificate for an application.

        Raises:
            ValueError: When its key is no RSA key.
        """
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("only certificates with an RSA key are taken")  # noqa: TRY004 - the value is wrong
        der = certificate.public_bytes(Encoding.DER)
        application.certificates[hashlib.sha1(der).hexdigest()] = key  # noqa: S324 - a name, not a protection
        application.certificates[hashlib.sha256(der).hexdigest()] = key

    def add_federated(self, application: Application, credential: FederatedCredential) -> None:
        """Register a federated credential for an application."""
        known = self._by_id[application.client_id]
        self._by_id[application.client_id] = replace(known, federated=(*known.federated, credential))

    def find(self, client_id: str) -> Application | None:
        """An application by its id."""
        return self._by_id.get(client_id.lower())

    def caller(self, client_id: str) -> Caller | None:
        """The application's user in the environment, or None when it has none."""
        return self._callers.get(client_id)

    def restore_users(self) -> None:
        """Put the users back after their table was cleared."""
        for client_id in list(self._callers):
            self._callers[client_id] = self._ensure_user(self._by_id[client_id])

    def _ensure_user(self, application: Application) -> Caller:
        row = self._user_row(application)
        if row is None:
            self._add_user(application)
            row = self._user_row(application)
        assert row is not None  # noqa: S101 - it was added a moment ago
        return Caller(application.client_id, row[1], row[0])

    def _user_row(self, application: Application) -> tuple[int, str] | None:
        sql = f"SELECT rowid, systemuserid FROM {USER} WHERE applicationid = ?"
        row = self._database.row(sql, (application.client_id,))
        return None if row is None else (row[0], row[1])

    def _add_user(self, application: Application) -> None:
        now = self._database.clock.seconds()
        sql = (
            f"INSERT INTO {USER} (systemuserid, fullname, domainname, internalemailaddress, applicationid, isdisabled, "
            "createdon, modifiedon, versionnumber) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)"
        )
        address = f"{application.name}@sandbox.example"
        user_id = str(uuid.uuid5(_NAMES, f"user {application.name}"))
        version = self._database.next_version()
        row = (user_id, f"# {application.name}", address, address, application.client_id, now, now, version)
        self._database.execute(sql, row)
