"""Durations as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from config.durations import Duration, format_duration

READER: TypeAdapter[timedelta] = TypeAdapter(Duration)
YEAR = timedelta(days=366)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("2d", 172_800),
        (" 1H ", 3600),
        ("PT30S", 30),
        ("pt1h30m", 5400),
        ("P1D", 86_400),
        ("P1DT1S", 86_401),
    ],
)
def test_a_duration_reads_as_people_write_it(written: str, seconds: float) -> None:
    assert READER.validate_python(written) == timedelta(seconds=seconds)


@given(st.integers(1, YEAR // timedelta(milliseconds=1)).map(lambda each: timedelta(milliseconds=each)))
def test_what_is_written_is_read_back(duration: timedelta) -> None:
    assert READER.validate_python(format_duration(duration)) == duration


@given(st.integers(1, YEAR // timedelta(milliseconds=1)).map(lambda each: timedelta(milliseconds=each)))
def test_a_duration_given_as_one_is_kept(duration: timedelta) -> None:
    assert READER.validate_python(duration) == duration


@pytest.mark.parametrize("written", ["5", "5.5", 5, 5.5, True, None, "", "soon", "5 apples", "-5s", "5s!", "s", [], {}])
def test_what_has_no_unit_or_no_sense_is_refused_with_the_way_out(written: object) -> None:
    with pytest.raises(ValidationError, match="is not a duration: write 30s, 5m, 1h or ISO 8601 such as PT30S"):
        READER.validate_python(written)


@pytest.mark.parametrize("written", ["0s", "PT0S", "367d", "P2Y", "-P1D", "P", "pineapple"])
def test_nothing_less_than_nothing_or_longer_than_a_year_is_a_duration(written: str) -> None:
    with pytest.raises(ValidationError):
        READER.validate_python(written)


@pytest.mark.parametrize("written", ["99999999999999d", "9" * 400 + "s", "9" * 400 + "h1s"])
def test_more_time_than_a_computer_can_count_is_refused_too(written: str) -> None:
    with pytest.raises(ValidationError, match="is longer than a year"):
        READER.validate_python(written)


@given(st.text(max_size=20) | st.from_regex(r"\A[pP0-9.dhms]{0,12}\Z"))
def test_any_text_is_a_duration_or_a_validation_error(written: str) -> None:
    try:
        assert timedelta(0) < READER.validate_python(written) <= YEAR
    except ValidationError:
        return


def test_nothing_is_written_as_nought_seconds() -> None:
    assert format_duration(timedelta(0)) == "0s"
