"""Reads the certificate that signs in, with its private key, as MSAL takes it. Knows files, not Entra ID."""

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates

from worker.dataverse.errors import SignInError

SETTING = "JOBWORKER_AUTH__CERTIFICATE_FILE"
PASSWORD_SETTING = "JOBWORKER_AUTH__CERTIFICATE_PASSWORD"  # noqa: S105 - the setting's name


def read_certificate(file: Path, password: str | None) -> dict[str, str]:
    """Read a PEM file with certificate and private key, in any order and perhaps with its chain, or a PFX file.

    Args:
        file: Where it is.
        password: Of the key or of the PFX file.

    Returns:
        The credential as MSAL's ConfidentialClientApplication takes it.

    Raises:
        SignInError: Naming the setting that is wrong, and nothing of what the file holds.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SignInError(f"{SETTING}: {file} cannot be read ({type(error).__name__}).") from error
    secret = password.encode() if password else None
    key, certificates = _from_pem(content, secret) if b"-----BEGIN" in content else _from_pfx(content, secret)
    if not isinstance(key, RSAPrivateKey):
        raise SignInError(f"{SETTING} holds a key that is not RSA, which Microsoft Entra ID does not take.")
    return {
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "public_certificate": _leaf(key, certificates).public_bytes(Encoding.PEM).decode(),
    }


def _from_pem(content: bytes, secret: bytes | None) -> tuple[PrivateKeyTypes, Sequence[Certificate]]:
    if b"PRIVATE KEY-----" not in content:
        raise SignInError(f"{SETTING} holds no private key.")
    try:
        return load_pem_private_key(content, secret), load_pem_x509_certificates(content)
    except (TypeError, ValueError) as error:
        raise _unreadable(error) from None


def _from_pfx(content: bytes, secret: bytes | None) -> tuple[PrivateKeyTypes | None, Sequence[Certificate]]:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(content, secret)
    except (TypeError, ValueError) as error:
        raise _unreadable(error) from None
    return key, [*([certificate] if certificate else []), *others]


def _leaf(key: RSAPrivateKey, certificates: Sequence[Certificate]) -> Certificate:
    """Choose the certificate that belongs to the key; the others are its chain."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for certificate in certificates:
        if certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public:
            return certificate
    raise SignInError(f"{SETTING} holds no certificate that belongs to its private key.")


def _unreadable(error: Exception) -> SignInError:
    # A TypeError is cryptography's word for a password that is missing, or given for nothing.
    wrong = PASSWORD_SETTING if isinstance(error, TypeError) else f"{SETTING} or {PASSWORD_SETTING}"
    return SignInError(f"The certificate that signs in cannot be opened: check {wrong}.")
