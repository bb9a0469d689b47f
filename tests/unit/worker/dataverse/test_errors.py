"""The table of statuses, row by row, and what a caller decides on."""

import pytest

from worker.dataverse import errors
from worker.dataverse.answers import DEFAULT_RETRY_AFTER, Part, read_error, retry_after
from worker.dataverse.errors import DataverseError, error_for

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "code", "kind", "transient"),
    [
        (400, "0x80044331", errors.BadRequestError, False),
        (400, "0x80060888", errors.BadRequestError, False),
        (400, "0x0", errors.BadRequestError, False),
        (400, "0x8004E023", errors.AggregateLimitError, False),
        (401, "", errors.UnauthorizedError, False),
        (403, "0x80040220", errors.ForbiddenError, False),
        (404, "0x80040217", errors.RowGoneError, False),
        (404, "", errors.RowGoneError, False),
        (404, "0x8006088a", errors.ResourceMissingError, False),
        (408, "", errors.UnavailableError, True),
        (412, "", errors.PreconditionFailedError, False),
        (412, "0x80060882", errors.PreconditionFailedError, False),
        (413, "", errors.BadRequestError, False),
        (429, "0x80072322", errors.ThrottledError, True),
        (500, "0x80040216", errors.UnavailableError, True),
        (502, "", errors.UnavailableError, True),
        (503, "", errors.UnavailableError, True),
        (504, "", errors.UnavailableError, True),
    ],
)
def test_each_status_has_its_error(status: int, code: str, kind: type[DataverseError], transient: bool) -> None:
    error = error_for(status, code, "why")
    assert type(error) is kind
    assert error.transient is transient
    assert error.outcome_known
    assert (error.status, error.code) == (status, code.lower())
    assert "why" in str(error)


def test_only_a_lost_answer_leaves_the_outcome_open() -> None:
    assert not errors.OutcomeUnknownError("lost").outcome_known
    assert errors.NeverSentError("refused").outcome_known


def test_every_error_has_the_one_root() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 10
    assert all(issubclass(kind, DataverseError) for kind in kinds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 12:01:30 GMT", "date": DATE}, 90),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 12:01:30 -0000", "date": DATE}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "Mon, 23 Nov 2026 12:01:30 GMT"}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "soon"}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "inf"}, DEFAULT_RETRY_AFTER),
        ({"retry-after": "nan"}, DEFAULT_RETRY_AFTER),
        ({}, DEFAULT_RETRY_AFTER),
    ],
)
def test_how_long_to_wait_is_read_in_seconds_or_as_a_date_on_the_servers_clock(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("body", [None, [], "text", {"error": None}, {"error": {"code": None}}, {"Message": "x"}])
def test_an_error_without_reason_is_still_an_error(body: object) -> None:
    error = read_error(500, {}, body)
    assert (error.status, error.code) == (500, "")
    assert "no reason given" in str(error)


@pytest.mark.parametrize("value", [{}, {"value": None}, {"value": {}}])
def test_an_answer_without_rows_is_no_empty_one(value: dict[str, object]) -> None:
    with pytest.raises(errors.UnavailableError, match="no rows"):
        _ = Part(200, value).rows
