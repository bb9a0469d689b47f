"""A sign-in service as far as MSAL asks for one, and the files that sign in. It checks nothing: it remembers."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from tests.unit.worker.dataverse.server import Answer, Received, ScriptedServer

TENANT = "8d3e2f4a-0000-4000-8000-00000000000a"
TOKEN = "eyJ0eXAi.the-access-token.signature"


def refusal(number: int, said: str = "", status: int = 401) -> Answer:
    """Refuse as Entra ID does, quoting what was sent."""
    body = {"error": "invalid_client", "error_description": f"AADSTS{number}: refused. {said}", "error_codes": [number]}
    return Answer(status, body)


@dataclass(slots=True)
class FakeEntra:
    """Describes itself and issues tokens, unless it is told to answer otherwise."""

    server: ScriptedServer
    answers: list[Answer]
    lasts: int = 3600

    def __post_init__(self) -> None:
        self.server.will_answer(self.reply)

    @property
    def authority(self) -> str:
        return f"{self.server.url}/{TENANT}"

    def forms(self) -> list[dict[str, str]]:
        """Give the token requests that came."""
        posts = [received for received in self.server.received if received.method == "POST"]
        return [{name: values[0] for name, values in parse_qs(post.body.decode()).items()} for post in posts]

    def reply(self, received: Received) -> Answer:
        if received.method == "POST" or "metadata/identity" in received.path:
            return self.answers.pop(0) if self.answers else self.issued(len(self.server.received))
        authority = f"{self.server.url}/{urlsplit(received.path).path.split('/')[1]}"
        return Answer(
            200,
            {
                "issuer": f"{authority}/v2.0",
                "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
                "token_endpoint": f"{authority}/oauth2/v2.0/token",
            },
        )

    def issued(self, number: int) -> Answer:
        return Answer(200, {"token_type": "Bearer", "expires_in": self.lasts, "access_token": f"{TOKEN}-{number}"})


@dataclass(frozen=True, slots=True)
class Identity:
    """A self-signed certificate and its key."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: str | None = None) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption(password))

    def pfx(self, password: str | None = None) -> bytes:
        return pkcs12.serialize_key_and_certificates(b"name", self.key, self.certificate, None, _encryption(password))

    def thumbprint(self) -> bytes:
        return self.certificate.fingerprint(hashes.SHA256())


def rsa_identity() -> Identity:
    return _self_signed(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def ec_identity() -> Identity:
    return _self_signed(ec.generate_private_key(ec.SECP256R1()))


def written(folder: Path, *parts: bytes) -> Path:
    """Write a file that signs in."""
    path = folder / "credential"
    path.write_bytes(b"".join(parts))
    return path


def part_of_jwt(token: str, number: int) -> dict[str, str]:
    """Read the header (0) or the claims (1) of a token."""
    text = token.split(".")[number]
    decoded: dict[str, str] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


def _encryption(password: str | None) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode()) if password else NoEncryption()


def _self_signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Identity:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jobworker")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    return Identity(key, builder.sign(key, hashes.SHA256()))
