"""What becomes of a claim once its verdict is carried out."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from structlog.testing import capture_logs

from tasks.handlers import Handler, Handlers, PermanentError
from tasks.handling import Ending, OutOfTimeError, TryAgain, end
from tasks.model import ClaimVerdict, Job, JobStatus, Packet, Reason
from tasks.response import HandlerError
from tests.builders import NOW, a_claim, a_job, packets

HUSH = "a packet's content"


class UnreadableError(Exception):
    """An exception that fails even at being read."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class UnfinishedError(PermanentError):
    """A subclass that forgot its parent's constructor."""

    def __init__(self) -> None:
        Exception.__init__(self, "unfinished")


def raising(error: Exception) -> Handler:
    def handler(job: Job, stream: Iterator[Packet]) -> None:
        raise error

    return handler


def returning(result: Any) -> Handler:
    def handler(job: Job, stream: Iterator[Packet]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = result
        return found

    return handler


def ended(
    handler: Handler | None = None,
    *,
    arrived: Callable[[], Iterator[Packet]] = lambda: iter(packets(1, 2, 3)),
    max_attempts: int = 3,
    **claim: Any,
) -> Ending | TryAgain:
    handlers = Handlers({} if handler is None else {"default": handler})
    return end(a_job(), a_claim(**claim), handlers, arrived, max_attempts)


def never() -> Iterator[Packet]:
    raise AssertionError("the packets were asked for")


@pytest.mark.parametrize(
    ("verdict", "reason", "status"),
    [
        (ClaimVerdict.SKIP, Reason.DEACTIVATED, JobStatus.SKIPPED),
        (ClaimVerdict.FAIL, Reason.PACKETS_MISSING, JobStatus.FAILED),
        (ClaimVerdict.FAIL, Reason.WORKER_LOST, JobStatus.FAILED),
    ],
)
def test_what_needs_no_handler_meets_none(verdict: ClaimVerdict, reason: Reason, status: JobStatus) -> None:
    ending = ended(raising(AssertionError()), arrived=never, verdict=verdict, reason=reason)

    assert ending == Ending(status, reason)


def test_without_a_handler_a_complete_job_is_accepted_unread() -> None:
    assert ended(arrived=never) == Ending(JobStatus.SUCCEEDED, Reason.COMPLETE, "accept")


def test_a_handlers_result_is_kept() -> None:
    assert ended(returning({"rows": (1, 2)})) == Ending(
        JobStatus.SUCCEEDED, Reason.COMPLETE, "default", {"rows": [1, 2]}
    )


def test_a_handler_reads_each_packet_once_in_order() -> None:
    def numbers(job: Job, stream: Iterator[Packet]) -> Mapping[str, Any]:
        return {"numbers": [each.sequence_number for each in stream]}

    ending = ended(numbers, arrived=lambda: iter(packets(1, 2, 2, 2, 3)))

    assert isinstance(ending, Ending)
    assert ending.result == {"numbers": [1, 2, 3]}


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (PermanentError("not for us"), "handler_rejected", "not for us"),
        (PermanentError("not for us", "not_for_us"), "not_for_us", "not for us"),
        (PermanentError("", "x"), "x", "PermanentError"),
        (PermanentError("m", ""), "handler_rejected", "m"),
        (PermanentError("m", "Not A Name"), "handler_rejected", "m"),
        (PermanentError("m", "x" * 65), "handler_rejected", "m"),
        (PermanentError("m", "x\n"), "handler_rejected", "m"),
        (PermanentError("m", None), "handler_rejected", "m"),  # type: ignore[arg-type]
        (UnfinishedError(), "handler_rejected", "unfinished"),
    ],
)
def test_what_a_handler_rejects_fails_at_once_under_its_reason(
    error: PermanentError, reason: str, message: str
) -> None:
    ending = ended(raising(error), attempt=1)

    assert ending == Ending(JobStatus.FAILED, reason, "default", error=HandlerError(type(error).__name__, message))


def test_a_result_that_is_none_fails_at_once() -> None:
    ending = ended(returning([1]))

    assert isinstance(ending, Ending)
    assert (ending.status, ending.reason) == (JobStatus.FAILED, Reason.HANDLER_REJECTED)


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_failing_handler_is_tried_as_often_as_allowed(attempt: int, again: bool) -> None:
    described = HandlerError("ValueError", "broken")

    outcome = ended(raising(ValueError("broken")), attempt=attempt, max_attempts=3)

    if again:
        assert outcome == TryAgain("default", described)
    else:
        assert outcome == Ending(JobStatus.FAILED, Reason.HANDLER_FAILED, "default", error=described)


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (3, False)])
def test_a_handler_that_runs_out_of_time_stops_its_chunk(attempt: int, again: bool) -> None:
    with pytest.raises(OutOfTimeError) as raised:
        ended(raising(SoftTimeLimitExceeded()), attempt=attempt)

    outcome = raised.value.outcome
    assert isinstance(outcome, TryAgain) == again
    assert outcome.error == HandlerError("SoftTimeLimitExceeded", "The handler did not end within the time limit.")


def test_packets_that_cannot_be_read_are_a_failed_attempt() -> None:
    def unreachable() -> Iterator[Packet]:
        yield packets(1)[0]
        raise OSError("gone")

    def exhaust(job: Job, stream: Iterator[Packet]) -> None:
        list(stream)

    assert isinstance(ended(exhaust, arrived=unreachable), TryAgain)


def test_an_exception_that_cannot_be_read_is_a_failed_attempt_like_any_other() -> None:
    outcome = ended(raising(UnreadableError()))

    assert isinstance(outcome, TryAgain)
    assert "whose message cannot be read" in outcome.error.message


def test_a_handlers_message_never_reaches_the_log() -> None:
    with capture_logs() as logged:
        ended(raising(ValueError(HUSH)))

    assert [event["event"] for event in logged] == ["handler_failed"]
    assert logged[0]["error"] == "ValueError"
    assert HUSH not in repr(logged)


def test_a_packet_shows_no_payload() -> None:
    assert HUSH not in repr(packets(1, payload=HUSH))


def test_a_process_that_is_told_to_end_is_not_held_up() -> None:
    def leave(job: Job, stream: Iterator[Packet]) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        ended(leave)


def test_a_claim_is_the_same_renewed_or_not() -> None:
    claim = a_claim()

    assert claim.is_by(a_claim(lease_expires_at=NOW + timedelta(hours=1)))
    assert not claim.is_by(a_claim(attempt=2))
    assert not claim.is_by(a_claim(worker="somebody else"))
