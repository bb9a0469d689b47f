"""The multipart bodies of `$batch`: taking requests out of them and putting answers into them.

Bytes only; what an operation means is decided elsewhere.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from sandbox.errors import bad_query, too_many_operations
from sandbox.exchange import Answer

MOST_OPERATIONS = 1000

_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)"?', re.IGNORECASE)
_REQUEST_LINE = re.compile(r"([A-Z]+) +(\S.*?) +HTTP/1\.[01]")
_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class PartRequest:
    """One operation inside a batch.

    Args:
        method: The HTTP verb.
        url: What stands in the request line.
        headers: Its own header fields, names in lower case.
        body: Its body.
        content_id: The id by which others in its change set refer to it.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Operations that all happen or none."""

    requests: tuple[PartRequest, ...]


BatchPart = PartRequest | ChangeSet


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """The answer to one operation."""

    answer: Answer
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSetAnswer:
    """The answers to a change set that went through."""

    answers: tuple[PartAnswer, ...]


def parse_batch(content_type: str, body: bytes) -> list[BatchPart]:
    """The operations in a batch body, in order.

    Raises:
        DataverseError: When it is not what the standard says, or has too many operations.
    """
    if not content_type.lower().startswith("multipart/mixed"):
        raise bad_query(f"The content type '{content_type}' is not supported in a $batch request.")
    parts = [_batch_part(part) for part in _split(body, _boundary(content_type))]
    operations = sum(len(part.requests) if isinstance(part, ChangeSet) else 1 for part in parts)
    if operations > MOST_OPERATIONS:
        raise too_many_operations(MOST_OPERATIONS)
    return parts


def _boundary(content_type: str) -> bytes:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise bad_query(f"Invalid multipart content type '{content_type}': the boundary is missing.")
    return match.group(1).encode()


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands between the boundaries; line ends have to be CRLF."""
    delimiter = b"--" + boundary
    pieces = (_CRLF + body).split(_CRLF + delimiter)
    if len(pieces) < 2:
        raise bad_query("The $batch body does not have its boundary, or its lines do not end in CRLF.")
    if not pieces[-1].startswith(b"--"):
        raise bad_query("The $batch body ends without its closing boundary.")
    return [_without_padding(piece) for piece in pieces[1:-1]]


def _without_padding(piece: bytes) -> bytes:
    line, found, rest = piece.partition(_CRLF)
    if not found or line.strip():
        raise bad_query("Malformed $batch body: a boundary is not followed by a line end.")
    return rest


def _head_and_body(piece: bytes) -> tuple[list[str], bytes]:
    if piece.startswith(_CRLF):
        return [], piece[2:]
    head, found, body = piece.partition(_CRLF * 2)
    if not found:
        head, body = piece.removesuffix(_CRLF), b""
    return head.decode("utf-8", "replace").split("\r\n"), body


def _headers(lines: Sequence[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise bad_query(
                f"The message header '{line[:100]}' is invalid. It must be '<header name>: <header value>'."
            )
        headers[name.strip().lower()] = value.strip()
    return headers


def _batch_part(piece: bytes) -> BatchPart:
    lines, body = _head_and_body(piece)
    headers = _headers(lines)
    kind = headers.get("content-type", "").lower()
    if kind.startswith("multipart/mixed"):
        requests = tuple(_change(part) for part in _split(body, _boundary(headers["content-type"])))
        return ChangeSet(requests)
    return _request(headers, body)


def _change(piece: bytes) -> PartRequest:
    lines, body = _head_and_body(piece)
    request = _request(_headers(lines), body)
    if request.method not in {"POST", "PUT", "PATCH", "DELETE"}:
        raise bad_query(
            f"An invalid HTTP method '{request.method}' was detected for a request in a change set. Requests in change "
            "sets only support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'."
        )
    if request.content_id is None:
        raise bad_query("The header with name 'Content-ID' was not present in the header collection of a change set.")
    return request


def _request(part_headers: dict[str, str], content: bytes) -> PartRequest:
    if not part_headers.get("content-type", "").lower().startswith("application/http"):
        raise bad_query("The content type of a $batch part has to be 'application/http' or 'multipart/mixed'.")
    lines, body = _head_and_body(content)
    match = _REQUEST_LINE.fullmatch(lines[0].strip()) if lines else None
    if match is None:
        shown = lines[0][:200] if lines else ""
        raise bad_query(f"The request line '{shown}' is invalid. It must be of the format 'METHOD URL HTTP/1.1'.")
    headers = _headers(lines[1:])
    content_id = part_headers.get("content-id") or headers.get("content-id")
    return PartRequest(match.group(1), match.group(2), headers, body, content_id)


def new_boundary(kind: str) -> str:
    """A boundary that occurs nowhere else."""
    return f"{kind}_{uuid.uuid4()}"


def write_batch(answers: Sequence[PartAnswer | ChangeSetAnswer], boundary: str) -> bytes:
    """The body of a batch's answer."""
    pieces = [_written(answer, boundary) for answer in answers]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def _written(answer: PartAnswer | ChangeSetAnswer, boundary: str) -> bytes:
    if isinstance(answer, PartAnswer):
        return _part(answer, boundary)
    inner = new_boundary("changesetresponse")
    head = f"--{boundary}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode()
    body = b"".join(_part(part, inner) for part in answer.answers)
    return head + body + f"--{inner}--\r\n".encode()


def _part(part: PartAnswer, boundary: str) -> bytes:
    lines = [f"--{boundary}", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if part.content_id is not None:
        lines.append(f"Content-ID: {part.content_id}")
    answer = part.answer
    lines += ["", f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join(lines).encode() + _CRLF * 2 + answer.body + _CRLF
