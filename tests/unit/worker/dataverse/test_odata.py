"""A value can never change what a query means: what was built is parsed back by a grammar that is not ours."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.odata.syntax import And, Call, Compare, Literal, Member, Not, Or, Values, parse_filter
from worker.dataverse.odata import Filter, Query, eq, ge, is_in, literal, lt, row_path

JOB = UUID("7f5f5a1e-0000-4000-8000-000000000001")

# Half a surrogate pair has no place in a URL.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INDIA = timezone(timedelta(hours=5, minutes=30))
INSTANTS = st.integers(-6_000_000_000, 200_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, INDIA))


def options_of(path: str) -> dict[str, str]:
    """Read the options as a server does, insisting that each is there once."""
    pairs = parse_qsl(path.partition("?")[2], keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def sent(where: Filter) -> Any:
    """Give the tree that a server makes of a filter, after it has been on its way in a URL."""
    return parse_filter(options_of(Query("rows", ("name",), where).path)["$filter"])


@given(TEXT)
def test_text_arrives_as_one_literal_whatever_it_holds(value: str) -> None:
    assert sent(eq("name", value)) == Compare("eq", Member(("name",)), Literal("string", value))


@given(st.integers())
def test_a_number_arrives_bare(value: int) -> None:
    tree = sent(ge("number", value))
    assert (tree.operator, tree.right.type, int(tree.right.value)) == ("ge", "number", value)


@given(st.uuids())
def test_an_id_arrives_bare(value: UUID) -> None:
    tree = sent(eq("id", value))
    assert (tree.right.type, UUID(str(tree.right.value))) == ("guid", value)


@given(INSTANTS)
def test_an_instant_arrives_in_utc_with_whole_seconds(value: datetime) -> None:
    utc = value.astimezone(UTC).replace(microsecond=0)
    assert literal(value) == f"{utc:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")
    assert sent(lt("at", value)).right.type == "instant"


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_every_value_of_a_list_arrives_as_one_literal(values: list[str]) -> None:
    text = options_of(Query("rows", ("name",), is_in("name", values)).path)["$filter"]
    before, _, listed = text.partition("PropertyValues=")
    assert before == "Microsoft.Dynamics.CRM.In(PropertyName='name',"
    assert listed.endswith(")")
    assert json.loads(listed.removesuffix(")")) == values


@given(st.lists(st.uuids(), min_size=1, max_size=5))
def test_ids_of_a_list_are_understood_by_a_server(ids: list[UUID]) -> None:
    expected = Values(tuple(Literal("string", str(each)) for each in ids))
    assert sent(is_in("name", ids)) == Call(
        "Microsoft.Dynamics.CRM.In",
        named=(("PropertyName", Literal("string", "name")), ("PropertyValues", expected)),
    )


@given(TEXT, TEXT, TEXT)
def test_conditions_keep_their_grouping(first: str, second: str, third: str) -> None:
    one, two, three = eq("a", first), eq("b", second), eq("c", third)
    tree = sent((one | two) & ~three)
    assert isinstance(tree, And)
    either, negated = tree.parts
    assert isinstance(either, Or)
    assert [compared_with(part) for part in either.parts] == [first, second]
    assert isinstance(negated, Not)
    assert compared_with(negated.part) == third


def compared_with(condition: object) -> object:
    """Give the literal that a condition compares with."""
    assert isinstance(condition, Compare)
    assert isinstance(condition.right, Literal)
    return condition.right.value


@given(TEXT)
def test_nothing_in_a_value_adds_an_option(value: str) -> None:
    path = Query("rows", ("id", "name"), eq("name", value), ("name desc",), 3).path
    options = options_of(path)
    assert options.pop("$filter").startswith("name eq '")
    assert options == {"$select": "id,name", "$orderby": "name desc", "$top": "3"}
    assert "\n" not in path
    assert "#" not in path


@pytest.mark.parametrize(
    ("built", "text"),
    [
        (eq("name", None), "name eq null"),
        (eq("flag", True), "flag eq true"),
        (eq("name", "O'Neill"), "name eq 'O''Neill'"),
        (eq("_job_value", JOB), f"_job_value eq {JOB}"),
        (
            is_in("id", [JOB]),
            f"Microsoft.Dynamics.CRM.In(PropertyName='id',PropertyValues=[\"{JOB}\"])",
        ),
    ],
)
def test_filters_read_as_the_documents_write_them(built: Filter, text: str) -> None:
    assert built.text == text


def test_an_instant_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        literal(datetime(2026, 11, 23))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (lambda: row_path("rows", JOB), f"rows({JOB})"),
        (lambda: row_path("rows", JOB, ("a", "b")), f"rows({JOB})?$select=a%2Cb"),
        (lambda: Query("rows", ("a",)).path, "rows?$select=a"),
    ],
)
def test_paths_of_rows_and_tables(path: Callable[[], str], expected: str) -> None:
    assert path() == expected
