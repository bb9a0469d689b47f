"""A $batch goes out as any MIME parser reads it, and what comes back is read however a server lays it out."""

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dataverse.answers import Part
from worker.dataverse.batch import MAX_PATH_LENGTH, Operation, decode_batch, encode_batch, read, update
from worker.dataverse.errors import (
    DataverseError,
    PreconditionFailedError,
    RowGoneError,
    ThrottledError,
    UnavailableError,
)

ROOT = "/api/data/v9.2/"
JOB = UUID("7f5f5a1e-0000-4000-8000-000000000001")
BODIES = st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=4)


def parsed(content_type: str, body: bytes) -> list[bytes]:
    """Read a multipart body with Python's own parser."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    assert not message.defects
    parts = list(message.iter_parts())
    assert {part.get_content_type() for part in parts} == {"application/http"}
    assert {part["Content-Transfer-Encoding"] for part in parts} == {"binary"}
    return [bytes(part.get_payload(decode=True)) for part in parts]


def answer(*parts: bytes, boundary: str = "batchresponse_1", line: bytes = b"\r\n") -> bytes:
    """Lay out an answer as Dataverse does."""
    opening = line.join(
        [b"--" + boundary.encode(), b"Content-Type: application/http", b"Content-Transfer-Encoding: binary", b"", b""]
    )
    text = b"".join(opening + part.replace(b"\n", line) + line for part in parts)
    return text + b"--" + boundary.encode() + b"--" + line


def decoded(
    body: bytes, content_type: str = "multipart/mixed; boundary=batchresponse_1"
) -> list[Part | DataverseError]:
    return decode_batch(content_type, body)


OK = b'HTTP/1.1 200 OK\nContent-Type: application/json; odata.metadata=minimal\nETag: W/"7"\n\n{"value":[{"a":1}]}'
NOTHING = b"HTTP/1.1 204 No Content\nOData-Version: 4.0\n\n"
LOST = b'HTTP/1.1 412 Precondition Failed\nContent-Type: application/json\n\n{"error":{"code":"","message":"changed"}}'


@given(st.lists(BODIES, min_size=1, max_size=5))
def test_what_goes_out_is_what_a_mime_parser_reads(bodies: list[dict[str, Any]]) -> None:
    operations = [update("jobs", JOB, body, etag='W/"1"', select=("a",)) for body in bodies]
    content_type, content = encode_batch([read("jobs?$top=1"), *operations], ROOT)
    first, *others = parsed(content_type, content)
    assert first.startswith(b"GET /api/data/v9.2/jobs?$top=1 HTTP/1.1\r\n")
    assert b"\r\nIf-None-Match: null\r\n" in first
    for raw, body in zip(others, bodies, strict=True):
        head, _, sent = raw.partition(b"\r\n\r\n")
        assert head.startswith(f"PATCH /api/data/v9.2/jobs({JOB})?$select=a HTTP/1.1\r\n".encode())
        assert b'\r\nIf-Match: W/"1"\r\n' in head
        assert b"\r\nContent-Type: application/json" in head
        assert json.loads(sent) == body


def test_half_a_surrogate_pair_spoils_no_neighbour() -> None:
    content_type, content = encode_batch([update("jobs", JOB, {"a": "\ud800"}, etag="*")], ROOT)
    (part,) = parsed(content_type, content)
    assert part.endswith(b'{"a": "\\ud800"}')


@pytest.mark.parametrize("number", [0, 1_001])
def test_a_batch_holds_one_to_a_thousand_operations(number: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        encode_batch([read("jobs")] * number, ROOT)


def test_an_address_too_long_even_for_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_batch([read("j" * MAX_PATH_LENGTH)], ROOT)


@pytest.mark.parametrize("broken", ['W/"1"\r\nX-Evil: 1', "a\nb"])
def test_a_line_break_begins_no_header(broken: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        update("jobs", JOB, {}, etag=broken)
    with pytest.raises(ValueError, match="line break"):
        Operation("GET", broken)


@pytest.mark.parametrize("line", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_answers_are_read_in_their_order(line: bytes) -> None:
    rows, nothing, lost = decoded(answer(OK, NOTHING, LOST, line=line))
    assert rows == Part(200, {"value": [{"a": 1}]}, 'W/"7"')
    assert nothing == Part(204, {}, None)
    assert isinstance(lost, PreconditionFailedError)
    assert str(lost) == "Dataverse answered 412: changed"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed; boundary=batchresponse_1",
        'multipart/mixed; boundary="batchresponse_1"',
        "Multipart/Mixed;charset=utf-8;Boundary=batchresponse_1",
        'multipart/mixed; boundary="batchresponse_1"; charset=utf-8',
    ],
)
def test_the_boundary_is_found_however_it_is_written(content_type: str) -> None:
    assert len(decoded(answer(OK, OK), content_type)) == 2


def test_a_preamble_and_a_missing_last_line_end_do_no_harm() -> None:
    body = b"preamble\r\n" + answer(OK, NOTHING).removesuffix(b"\r\n")
    assert len(decoded(body)) == 2


def test_a_boundary_inside_a_row_ends_nothing() -> None:
    row = b'HTTP/1.1 200 OK\n\n{"a":"x --batchresponse_1 y"}'
    (part,) = decoded(answer(row))
    assert isinstance(part, Part)
    assert part.value["a"] == "x --batchresponse_1 y"


def test_a_part_without_charset_is_read_as_utf_8() -> None:
    (part,) = decoded(answer('HTTP/1.1 200 OK\nContent-Type: application/json\n\n{"a":"ß→"}'.encode()))
    assert isinstance(part, Part)
    assert part.value == {"a": "ß→"}


def test_indented_json_with_empty_lines_is_read() -> None:
    (part,) = decoded(answer(b'HTTP/1.1 200 OK\n\n{\n\n "a": 1\n\n}'))
    assert isinstance(part, Part)
    assert part.value == {"a": 1}


def test_a_page_of_a_gateway_in_the_place_of_an_error_is_still_that_error() -> None:
    (error,) = decoded(answer(b"HTTP/1.1 503 Service Unavailable\nRetry-After: 7\n\n<html>come back later</html>"))
    assert isinstance(error, UnavailableError)
    assert error.status == 503


def test_a_throttled_part_says_how_long_to_wait() -> None:
    (error,) = decoded(answer(b"HTTP/1.1 429 Too Many\nretry-after: 11\n\n{}"))
    assert isinstance(error, ThrottledError)
    assert error.retry_after == 11


def test_a_row_that_is_gone_is_a_value() -> None:
    body = b'HTTP/1.1 404 Not Found\n\n{"error":{"code":"0x80040217","message":"gone"}}'
    (error,) = decoded(answer(body))
    assert isinstance(error, RowGoneError)
    assert error.code == "0x80040217"


def test_the_etag_in_the_row_goes_before_the_header() -> None:
    body = b'HTTP/1.1 200 OK\nETag: W/"1"\n\n{"@odata.etag":"W/\\"2\\""}'
    (part,) = decoded(answer(body))
    assert isinstance(part, Part)
    assert part.etag == 'W/"2"'


@pytest.mark.parametrize("kept", range(1, len(answer(OK, NOTHING)) - 4, 7))
def test_an_answer_cut_short_anywhere_is_no_answer(kept: int) -> None:
    with pytest.raises(UnavailableError):
        decoded(answer(OK, NOTHING)[:kept])


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"nonsense", id="no-status"),
        pytest.param(b"HTTP/1.1 OK\n\n{}", id="no-number"),
        pytest.param(b"HTTP/1.1 200 OK\n\n[1]", id="no-object"),
        pytest.param(b"HTTP/1.1 200 OK\n\n{broken", id="no-json"),
        pytest.param(
            b"--changesetresponse_1\nContent-Type: application/http\n\nHTTP/1.1 204 No Content\n", id="nested"
        ),
    ],
)
def test_a_part_that_cannot_be_read_is_never_taken_for_a_success(part: bytes) -> None:
    with pytest.raises(UnavailableError):
        decoded(answer(NOTHING, part))


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed"])
def test_an_answer_that_is_no_multipart_is_no_answer(content_type: str) -> None:
    with pytest.raises(UnavailableError):
        decoded(answer(OK), content_type)
