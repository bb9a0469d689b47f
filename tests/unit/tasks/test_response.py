"""The two documents of msdyn_responsejson."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model import Claim, ClaimVerdict, JobStatus, Reason
from tasks.response import (
    MAX_LENGTH,
    SCHEMA,
    HandlerError,
    MissingPackets,
    Response,
    read_claim,
    read_settled_by,
    schema,
    utf16_length,
    write_claim,
    write_response,
)
from tests.builders import NOW, a_claim

CHECKER = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())
KEYS = [
    "schema", "status", "reason", "message", "expected_packets", "received_packets", "duplicate_packets",
    "missing_sequence_numbers", "missing_more", "attempt", "worker", "started_at", "finished_at", "duration_ms",
    "handler", "result", "error",
]  # fmt: skip

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - made aware next
    lambda instant: instant.replace(tzinfo=UTC, microsecond=instant.microsecond // 1000 * 1000)
)
anything = st.characters(exclude_categories=[])  # lone surrogates as well
texts = st.text(anything, min_size=1, max_size=60)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(anything, max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(anything, max_size=8), inner, max_size=4),
    max_leaves=12,
)
responses = st.builds(
    Response,
    status=st.sampled_from([JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SKIPPED]),
    reason=st.sampled_from([reason.value for reason in Reason]) | st.from_regex(r"[a-z_]{1,30}", fullmatch=True),
    expected_packets=st.none() | st.integers(0, 2**31 - 1),
    received_packets=st.integers(0, 2**31 - 1),
    duplicate_packets=st.integers(0, 2**31 - 1),
    missing=st.builds(MissingPackets, st.lists(st.integers(0, 2**31), max_size=100).map(tuple), st.integers(0, 2**31)),
    attempt=st.integers(1, 200),
    worker=texts,
    started_at=instants,
    finished_at=instants,
    handler=st.none() | texts,
    result=st.none() | st.dictionaries(st.text(anything, max_size=8), json_values, max_size=4),
    error=st.none() | st.builds(HandlerError, texts, st.text(anything, max_size=3000)),
)
claims = st.builds(
    Claim,
    worker=st.text(min_size=1, max_size=60),
    attempt=st.integers(1, 200),
    lease_expires_at=instants,
    claimed_from=st.sampled_from([JobStatus.WAITING, JobStatus.READY]),
    verdict=st.sampled_from(ClaimVerdict),
    reason=st.sampled_from([reason.value for reason in Reason]),
)


def a_response(**changed: Any) -> Response:
    usual: dict[str, Any] = {
        "status": JobStatus.SUCCEEDED,
        "reason": Reason.COMPLETE,
        "expected_packets": 3,
        "received_packets": 3,
        "duplicate_packets": 0,
        "missing": MissingPackets(),
        "attempt": 1,
        "worker": "w",
        "started_at": NOW,
        "finished_at": NOW + timedelta(milliseconds=1250),
    }
    return Response(**{**usual, **changed})


@given(responses)
def test_every_response_fits_the_schema_and_keeps_the_order_of_its_keys(response: Response) -> None:
    text = write_response(response)
    document = json.loads(text)

    CHECKER.validate(document)
    assert list(document) == KEYS
    assert json.loads(text.encode("utf-8")) == document


@given(claims)
def test_a_claim_is_read_as_it_was_written(claim: Claim) -> None:
    CHECKER.validate(json.loads(write_claim(claim)))
    assert read_claim(write_claim(claim)) == claim
    assert read_settled_by(write_claim(claim)) is None


@given(responses)
def test_a_response_is_no_claim_and_names_whose_it_was(response: Response) -> None:
    text = write_response(response)

    assert read_claim(text) is None
    settled_by = read_settled_by(text)
    assert settled_by is not None
    assert settled_by[1] == response.attempt


@given(st.text() | json_values.map(json.dumps))
def test_what_others_write_is_never_taken_for_ours(text: str) -> None:
    assert read_claim(text) is None
    assert read_settled_by(text) is None


@given(
    claims, st.sampled_from(["worker", "attempt", "lease_expires_at", "claimed_from", "verdict", "reason", "schema"])
)
def test_a_claim_with_a_key_that_is_missing_or_odd_is_not_ours(claim: Claim, key: str) -> None:
    document = json.loads(write_claim(claim))
    without = {name: value for name, value in document.items() if name != key}

    assert read_claim(json.dumps(without)) is None
    odd_ones: list[object] = [None, 0, True, [], "no such thing" if key not in ("worker", "reason") else 5]
    for odd in odd_ones:
        assert read_claim(json.dumps({**document, key: odd})) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"claimed_from": "Processing"},
        {"claimed_from": "Succeeded"},
        {"claimed_from": "waiting"},
        {"attempt": 10**9},
        {"attempt": 1.0},
        {"lease_expires_at": "2026-01-01T00:00:00"},
        {"schema": "jobworker/2"},
    ],
)
def test_a_claim_that_we_would_never_write_is_not_ours(changed: dict[str, Any]) -> None:
    document = json.loads(write_claim(a_claim()))
    assert read_claim(json.dumps(document)) is not None

    assert read_claim(json.dumps({**document, **changed})) is None


@given(
    st.fixed_dictionaries(
        {"schema": st.just(SCHEMA)},
        optional={
            "worker": json_values | texts,
            "attempt": json_values | st.integers(),
            "lease_expires_at": json_values
            | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]),
            "claimed_from": json_values | st.sampled_from(["Waiting", "Ready"]),
            "verdict": json_values | st.sampled_from(["skip", "fail", "handle"]),
            "reason": json_values | texts,
            "finished_at": json_values,
        },
    )
)
def test_whatever_stands_under_our_schema_is_read_without_an_error(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    claim = read_claim(text)
    settled_by = read_settled_by(text)

    if claim is not None:
        assert (claim.worker, claim.attempt) == (document["worker"], document["attempt"])
        assert claim.lease_expires_at < NOW or claim.lease_expires_at > NOW
    if settled_by is not None:
        assert settled_by == (document["worker"], document["attempt"])


@pytest.mark.parametrize("text", [None, "", "{", "[" * 100_000, "1" * 5_000, "null", '{"schema": {}}', "\ud800"])
def test_what_is_no_document_is_nobodys(text: str | None) -> None:
    assert read_claim(text) is None
    assert read_settled_by(text) is None


@pytest.mark.parametrize(
    "result",
    [
        {"rows": ["x" * 50] * 100_000},
        {"text": "x" * 3_000_000},
        {"astral": "😀" * 700_000},
        {"nested": [[["deep"] * 1000] * 1000]},
        {f"key {number}": "x" * 100 for number in range(50_000)},
    ],
)
def test_a_result_that_is_too_long_is_cut_and_stays_valid(result: dict[str, Any]) -> None:
    text = write_response(a_response(result=result))

    assert utf16_length(text) <= MAX_LENGTH
    document = json.loads(text)
    CHECKER.validate(document)
    assert "left" in json.dumps(document["result"])


@pytest.mark.parametrize("padding", [0, 1_100_000])
def test_a_result_that_is_nested_too_deeply_is_left_out(padding: int) -> None:
    deep: list[Any] = ["x" * padding]
    for _ in range(5_000):
        deep = [deep]

    document = json.loads(write_response(a_response(result={"deep": deep})))

    CHECKER.validate(document)
    assert document["result"] == {"left_out": "the whole result, which was nested too deeply"}


def test_a_result_that_just_fits_is_not_cut() -> None:
    room = MAX_LENGTH - utf16_length(write_response(a_response(result={"text": ""})))
    fitting = write_response(a_response(result={"text": "x" * room}))

    assert utf16_length(fitting) == MAX_LENGTH
    assert json.loads(fitting)["result"]["text"] == "x" * room
    assert utf16_length(write_response(a_response(result={"text": "x" * (room + 1)}))) <= MAX_LENGTH


def test_lone_surrogates_do_not_reach_the_wire() -> None:
    write_response(a_response(result={"text": "\ud800"})).encode("utf-8")


def test_messages_are_sentences_for_people() -> None:
    late = a_response(status=JobStatus.FAILED, reason=Reason.PACKETS_MISSING, received_packets=2)
    assert json.loads(write_response(late))["message"] == "2 of 3 packets arrived before the time was up."
    own = a_response(status=JobStatus.FAILED, reason="empty_packet")
    assert "empty_packet" in json.loads(write_response(own))["message"]


def test_the_version_of_the_schema_is_the_one_that_is_written() -> None:
    assert schema()["$defs"]["response"]["properties"]["schema"]["const"] == SCHEMA
