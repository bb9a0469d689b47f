"""Runs a handler on a claimed job and turns whatever happens into an ending. Settles nothing."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from tasks.handlers import Handlers, PermanentError, checked_result
from tasks.model import Claim, ClaimVerdict, Job, JobStatus, Packet, Reason
from tasks.response import HandlerError

log = structlog.get_logger(__name__)

REASON = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
"""What a handler's own reason looks like."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a claimed job ends: final status, reason, and what the handler had to say."""

    status: JobStatus
    reason: str
    handler: str | None = None
    result: Mapping[str, Any] | None = None
    error: HandlerError | None = None


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The handler failed in a way that another attempt may mend."""

    handler: str
    error: HandlerError


class OutOfTimeError(Exception):
    """The soft time limit struck inside a handler; `outcome` is what that means for its job."""

    def __init__(self, outcome: Ending | TryAgain) -> None:
        super().__init__("the soft time limit struck inside a handler")
        self.outcome = outcome


def end(
    job: Job, claim: Claim, handlers: Handlers, packets: Callable[[], Iterator[Packet]], max_attempts: int
) -> Ending | TryAgain:
    """Carry out a claim's verdict.

    Args:
        job: The claimed job.
        claim: The claim on it.
        handlers: The installed handlers.
        packets: Opens the stream of the job's packets; called only when a handler runs.
        max_attempts: Up to which attempt a failing handler is tried again.

    Returns:
        How the job ends, or that it is to be tried again.

    Raises:
        OutOfTimeError: When the soft time limit struck; no further handler may be started.
    """
    match claim.verdict:
        case ClaimVerdict.SKIP:
            return Ending(JobStatus.SKIPPED, claim.reason)
        case ClaimVerdict.FAIL:
            return Ending(JobStatus.FAILED, claim.reason)
        case ClaimVerdict.HANDLE:
            return _run(job, claim, handlers, packets, max_attempts)


def _run(
    job: Job, claim: Claim, handlers: Handlers, packets: Callable[[], Iterator[Packet]], max_attempts: int
) -> Ending | TryAgain:
    name, handler = handlers.choose(job)
    try:
        result = checked_result(handler(job, _once_each(packets)))
    except PermanentError as error:
        return Ending(JobStatus.FAILED, _reason(error), name, error=_described(error))
    except SoftTimeLimitExceeded as error:
        described = HandlerError(type(error).__name__, "The handler did not end within the time limit.")
        raise OutOfTimeError(_failed(claim, name, described, max_attempts)) from error
    except Exception as error:
        # The message may quote packet content, so it goes into the response document, never into the log.
        log.warning("handler_failed", handler=name, error=type(error).__name__, attempt=claim.attempt)
        return _failed(claim, name, _described(error), max_attempts)
    return Ending(JobStatus.SUCCEEDED, claim.reason, name, result)


def _failed(claim: Claim, handler: str, error: HandlerError, max_attempts: int) -> Ending | TryAgain:
    if claim.attempt >= max_attempts:
        return Ending(JobStatus.FAILED, Reason.HANDLER_FAILED, handler, error=error)
    return TryAgain(handler, error)


def _reason(error: PermanentError) -> str:
    """Give the handler's own reason, unless it is no name: it becomes a metric label and a name for programs."""
    reason = str(getattr(error, "reason", ""))  # a subclass may never have set it
    return reason if REASON.fullmatch(reason) else Reason.HANDLER_REJECTED


def _described(error: Exception) -> HandlerError:
    name = type(error).__name__
    try:
        return HandlerError(name, str(error) or name)
    except Exception as worse:  # a handler's exception may fail even at being read, and must not take others with it
        return HandlerError(name, f"{name}, whose message cannot be read ({type(worse).__name__})")


def _once_each(packets: Callable[[], Iterator[Packet]]) -> Iterator[Packet]:
    """Stream each packet once: equal copies of a packet are the same packet sent again."""
    for _, copies in groupby(packets(), key=lambda packet: packet.sequence_number):
        yield next(copies)
