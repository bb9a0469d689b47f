"""What the handlers of the Web API share: the rows, the reader, the privileges. Wired once, in `sandbox.service`."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.database import Database
from sandbox.odata.reading import Reader
from sandbox.odata.tokens import TokenSigner
from sandbox.privileges import Privileges
from sandbox.rows import Rows


@dataclass(slots=True)
class Environment:
    """One Dataverse environment.

    Args:
        database: The rows.
        rows: Writing them.
        reader: Reading them.
        signer: Signing link tokens.
        privileges: Who may do what.
    """

    database: Database
    rows: Rows
    reader: Reader
    signer: TokenSigner
    privileges: Privileges = field(default_factory=Privileges)


def make_environment(database: Database, key: bytes) -> Environment:
    """An environment over a database."""
    signer = TokenSigner(key)
    return Environment(database, Rows(database), Reader(database, signer), signer)
