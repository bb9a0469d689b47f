"""One operation of the Web API and the answer to it, whether it came alone or inside a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.errors import DataverseError

JSON_TYPE = "application/json; odata.metadata=minimal"


@dataclass(frozen=True, slots=True)
class Caller:
    """The application user behind a request.

    Args:
        client_id: The application's id in Entra ID.
        user_id: Its `systemuserid`.
        user_row: The row number of that user, by which lookups to users are stored.
    """

    client_id: str
    user_id: str
    user_row: int


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked for.

    Args:
        method: The HTTP verb.
        path: The decoded path below the API's root, without a leading slash.
        query: The raw query string.
        headers: Header fields, names in lower case.
        body: The body's bytes.
        caller: Who asks.
        root: The API's root as the client addressed it, for links in the answer.
        references: Inside a change set, what `$1` and the like stand for: paths of rows.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    caller: Caller
    root: str
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def request_id(self) -> str | None:
        """The id the client gave its request."""
        return self.headers.get("x-ms-client-request-id")


@dataclass(slots=True)
class Answer:
    """What is answered.

    Args:
        status: The HTTP status.
        body: The body's bytes.
        headers: Header fields in order.
        kind: Which kind of operation it was, for the statistics.
    """

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    kind: str = "other"

    def header(self, name: str) -> str | None:
        """The value of a header field, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


def to_json(document: Any) -> bytes:
    """A JSON document as compact UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(document: Any, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Answer:
    """An answer with a JSON body."""
    fields = [("Content-Type", JSON_TYPE), ("OData-Version", "4.0"), *(headers or [])]
    return Answer(status, to_json(document), fields)


def empty_answer(headers: list[tuple[str, str]] | None = None, status: int = 204) -> Answer:
    """An answer without a body."""
    return Answer(status, b"", [("OData-Version", "4.0"), *(headers or [])])


def error_answer(error: DataverseError) -> Answer:
    """A refusal as an answer."""
    headers = [] if error.retry_after is None else [("Retry-After", str(error.retry_after))]
    return json_answer({"error": {"code": error.code, "message": error.message}}, error.status, headers)
