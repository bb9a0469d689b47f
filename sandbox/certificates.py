"""The certificates of one run: a throw-away authority, the server's certificate, and one to sign in with.

Key files are readable by their owner only and go when the sandbox goes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.x509 import Certificate, load_pem_x509_certificate

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are.

    Args:
        ca_file: The authority's certificate, for clients to trust.
        server_file: The server's certificate and key.
        client_file: A certificate and key for signing in.
        client_certificate: The same certificate, to be registered.
    """

    ca_file: Path
    server_file: Path
    client_file: Path
    client_certificate: Certificate


def write_private(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def issue_certificates(directory: Path) -> Certificates:
    """Make the certificates of this run, in a private directory."""
    authority = trustme.CA()
    server = authority.issue_cert(*NAMES)
    client = authority.issue_cert("worker.sandbox.example", key_type=trustme.KeyType.RSA)
    client_pem = client.private_key_pem.bytes() + client.cert_chain_pems[0].bytes()
    return Certificates(
        ca_file=write_private(directory / "ca.pem", authority.cert_pem.bytes()),
        server_file=write_private(directory / "server.pem", server.private_key_and_cert_chain_pem.bytes()),
        client_file=write_private(directory / "client.pem", client_pem),
        client_certificate=load_pem_x509_certificate(client.cert_chain_pems[0].bytes()),
    )
