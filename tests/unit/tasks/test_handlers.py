"""Which handler a job gets, how handlers are found, and what they may return."""

import math
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import handlers
from tasks.handlers import (
    ENTRY_POINT_GROUP,
    HandlerConfigurationError,
    Handlers,
    PermanentError,
    accept,
    checked_result,
    load_handlers,
)
from tasks.model import Job, Packet, Reason
from tests.builders import a_job

NOT_CALLABLE = 5


def by_type_and_table(job: Job, packets: Iterator[Packet]) -> None:
    """Stand for a handler of one type and table."""


def by_type(job: Job, packets: Iterator[Packet]) -> None:
    """Stand for a handler of one type."""


def by_default(job: Job, packets: Iterator[Packet]) -> None:
    """Stand for everybody's handler."""


ALL = {"192350000.msdyn_project": by_type_and_table, "192350000": by_type, "default": by_default}


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        (["192350000.msdyn_project", "192350000", "default"], "192350000.msdyn_project"),
        (["192350000", "default"], "192350000"),
        (["default"], "default"),
        ([], "accept"),
        (["192350000.msdyn_task", "192350001"], "accept"),
    ],
)
def test_the_most_specific_handler_is_chosen(installed: list[str], chosen: str) -> None:
    name, handler = Handlers({key: ALL.get(key, by_default) for key in installed}).choose(a_job())

    assert name == chosen
    assert handler is ALL.get(chosen, accept)


def test_a_job_of_no_table_gets_its_types_handler() -> None:
    assert Handlers(ALL).choose(a_job(regarding_entity=None)) == ("192350000", by_type)


def test_the_default_accepts_without_reading_a_packet() -> None:
    def packets() -> Iterator[Packet]:
        raise AssertionError
        yield

    accept(a_job(), packets())


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Stand for what is installed: whatever a test adds to this list."""
    entries: list[EntryPoint] = []

    def entry_points(*, group: str) -> EntryPoints:
        return EntryPoints(entries).select(group=group)

    monkeypatch.setattr(handlers, "entry_points", entry_points)
    return entries


def test_handlers_are_found_by_entry_point(installed: list[EntryPoint]) -> None:
    installed.append(entry("default", f"{__name__}:by_default"))
    installed.append(EntryPoint("other", f"{__name__}:by_type", "another.group"))

    assert list(load_handlers().by_key) == ["default"]
    assert load_handlers().by_key["default"].__name__ == "by_default"


def test_without_any_installed_jobs_are_accepted(installed: list[EntryPoint]) -> None:
    assert load_handlers().choose(a_job()) == ("accept", accept)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (
            [entry("default", "tests.builders:a_job"), entry("default", "tests.builders:count_of")],
            "two installed packages register a handler named 'default'",
        ),
        ([entry("default", "no.such.module:handle")], "the handler 'default' cannot be loaded: No module named 'no'"),
        ([entry("default", "tests.builders:missing")], "the handler 'default' cannot be loaded"),
        ([entry("default", "tests.builders:NOW")], "the handler 'default' (tests.builders:NOW) is not callable"),
    ],
)
def test_a_handler_that_cannot_be_had_is_said_before_anything_starts(
    installed: list[EntryPoint], entries: list[EntryPoint], said: str
) -> None:
    installed.extend(entries)

    with pytest.raises(HandlerConfigurationError) as raised:
        load_handlers()
    assert said in str(raised.value)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_what_json_can_hold_is_taken_as_it_is(result: dict[str, Any]) -> None:
    checked = checked_result(result)

    assert checked == result
    assert checked is not result  # what a handler does to it later changes nothing


def test_nothing_is_a_result() -> None:
    assert checked_result(None) is None


def nested(depth: int) -> dict[str, Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return {"rows": value}


class Odd:
    """What no JSON document can hold."""


@pytest.mark.parametrize(
    "result",
    [
        5, "text", [], True, Odd(), {"value": Odd()}, {"value": {1}}, {("a", "b"): 1}, {"value": b"bytes"},
        {"value": math.nan}, {"value": [math.inf]}, nested(100_000),
    ],
    ids=lambda result: type(result).__name__,
)  # fmt: skip
def test_what_json_cannot_hold_is_refused_for_good(result: object) -> None:
    with pytest.raises(PermanentError) as raised:
        checked_result(result)
    assert raised.value.reason == Reason.HANDLER_REJECTED
    assert "the handler returned" in str(raised.value)


def test_a_result_that_holds_itself_is_refused_for_good() -> None:
    result: dict[str, Any] = {}
    result["again"] = result

    with pytest.raises(PermanentError):
        checked_result(result)
