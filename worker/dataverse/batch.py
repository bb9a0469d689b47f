"""$batch: many operations in one request, as multipart/mixed. Encoding and decoding only; nothing is sent here."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

from worker.dataverse.answers import Part, read_error
from worker.dataverse.errors import DataverseError, UnavailableError
from worker.dataverse.odata import row_path

MAX_OPERATIONS = 1_000
"""In one $batch, by Dataverse's documentation."""

MAX_PATH_LENGTH = 65_536
"""Characters of an address inside a $batch: twice what it may have outside."""

CRLF = b"\r\n"
LINE_BREAKS = frozenset("\r\n")


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, inside a $batch or by itself.

    Attributes:
        method: The HTTP verb.
        path: Below the API's root, percent-encoded.
        headers: Beside those that every request carries.
        body: What is sent as JSON; None for no body.

    Raises:
        ValueError: For a line break in the path or a header, which would begin a header of somebody else's making.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if any(set(text) & LINE_BREAKS for text in (self.path, *self.headers.values())):
            raise ValueError("a path or a header of a request holds a line break")

    @property
    def content(self) -> bytes | None:
        """The body as it is sent: ASCII, so that even half a surrogate pair is valid in it."""
        return None if self.body is None else json.dumps(self.body).encode("ascii")

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"


def read(path: str, *, page_size: int | None = None, annotations: str | None = None) -> Operation:
    """Make a read.

    Args:
        path: What to read.
        page_size: Rows a page, 5,000 at the most.
        annotations: Which annotations to include.
    """
    preferences = []
    if page_size is not None:
        preferences.append(f"odata.maxpagesize={page_size}")
    if annotations is not None:
        preferences.append(f'odata.include-annotations="{annotations}"')
    headers = {"If-None-Match": "null"}
    if preferences:
        headers["Prefer"] = ",".join(preferences)
    return Operation("GET", path, headers)


def update(
    entity_set: str, row_id: UUID, changes: Mapping[str, Any], *, etag: str, select: Sequence[str] = ()
) -> Operation:
    """Make a guarded update of a row that exists.

    Args:
        entity_set: The table.
        row_id: The row.
        changes: The columns to change.
        etag: What the row's ETag must still be; without one Dataverse would create a missing row.
        select: Columns to answer with, beside the new ETag.
    """
    headers = {"If-Match": etag, "Prefer": "return=representation"}
    return Operation("PATCH", row_path(entity_set, row_id, select), headers, changes)


def encode_batch(operations: Sequence[Operation], root_path: str) -> tuple[str, bytes]:
    """Write operations as one multipart body, each independent of the others.

    Args:
        operations: At most `MAX_OPERATIONS`.
        root_path: The API's root as a path, such as ``/api/data/v9.2/``.

    Returns:
        The content type and the body.

    Raises:
        ValueError: For too many operations or none, or for an address that is too long.
    """
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise ValueError(f"a $batch holds 1 to {MAX_OPERATIONS} operations, not {len(operations)}")
    boundary = f"batch_{uuid.uuid4()}"
    opening = f"--{boundary}".encode() + CRLF
    parts = b"".join(opening + _encode_part(operation, root_path) + CRLF for operation in operations)
    return f'multipart/mixed; boundary="{boundary}"', parts + f"--{boundary}--".encode() + CRLF


def decode_batch(content_type: str, body: bytes) -> list[Part | DataverseError]:
    """Read the answers out of a multipart body, in their order.

    Raises:
        UnavailableError: When the body is cut short or is no multipart: nobody knows what was done.
    """
    boundary = _boundary(content_type).encode()
    lines = body.replace(b"\r\n", b"\n")
    if b"--" + boundary + b"--" not in lines:
        raise UnavailableError("Dataverse's answer to a $batch was cut short")
    sections = (b"\n" + lines).split(b"\n--" + boundary)[1:-1]
    return [_decode_part(section) for section in sections]


def _encode_part(operation: Operation, root_path: str) -> bytes:
    address = root_path + operation.path
    if len(address) > MAX_PATH_LENGTH:
        raise ValueError(f"an address of {len(address)} characters is too long even for a $batch")
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"{operation.method} {address} HTTP/1.1",
        "Accept: application/json",
        *(f"{name}: {value}" for name, value in operation.headers.items()),
    ]
    content = operation.content
    if content is not None:
        lines.append("Content-Type: application/json")
    return CRLF.join([*(line.encode("ascii") for line in lines), b"", content or b""])


def _decode_part(section: bytes) -> Part | DataverseError:
    _, _, http = section.lstrip(b"\n").partition(b"\n\n")
    head, _, content = http.partition(b"\n\n")
    status_line, *header_lines = head.decode("utf-8", "replace").split("\n")
    headers = {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in header_lines)}
    status, value = _status(status_line), _json(content)
    if status >= HTTPStatus.BAD_REQUEST:
        return read_error(status, headers, value)
    if not isinstance(value, Mapping):
        raise UnavailableError("an answer in a $batch is not a JSON object")
    return Part(status, value, headers.get("etag"))


def _status(status_line: str) -> int:
    try:
        return int(status_line.split(" ", 2)[1])
    except (IndexError, ValueError) as error:
        raise UnavailableError("an answer in a $batch has no status") from error


def _json(content: bytes) -> object:
    """Read JSON; None for anything else, such as the page that a gateway puts in the place of an answer."""
    try:
        return json.loads(content) if content.strip() else {}
    except ValueError:
        return None


def _boundary(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            return value.strip('"')
    raise UnavailableError("Dataverse's answer to a $batch is no multipart")
