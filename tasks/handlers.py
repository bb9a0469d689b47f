"""What is done with a complete job: handlers, found by entry point and chosen by the job's type and related table.

A handler is any callable of a job and its packets. It may run more than once for the same job (after a crash, or when a
lease ran out), possibly at the same time as a twin: make what it does repeatable, keyed by the job's id.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

from tasks.model import Job, Packet, Reason

ENTRY_POINT_GROUP = "jobworker.handlers"

Handler: TypeAlias = Callable[[Job, Iterator[Packet]], Mapping[str, Any] | None]
"""Gets the job and its packets in order of sequence number, streamed; returns what the response document shows."""


class PermanentError(Exception):
    """Raised by a handler when trying again is of no use: the job ends as Failed.

    Args:
        message: One sentence for a person. It stands in the response document: no secret, no packet content.
        reason: A stable name for programs, in snake_case, at most 64 characters; a metric label, so keep the set of
            them small. What is no such name counts as ``handler_rejected``.
    """

    def __init__(self, message: str, reason: str = Reason.HANDLER_REJECTED) -> None:
        super().__init__(message)
        self.reason = reason


class HandlerConfigurationError(Exception):
    """Two handlers claim the same jobs, or a handler cannot be loaded."""


def accept(job: Job, packets: Iterator[Packet]) -> None:
    """Accept a complete job as it is: the default handler, which reads no packet."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """The installed handlers by the key under which each was registered."""

    by_key: Mapping[str, Handler]

    def choose(self, job: Job) -> tuple[str, Handler]:
        """Find the most specific handler of a job.

        Returns:
            Its key and the handler: ``TYPE.ENTITY``, else ``TYPE``, else ``default``, else the one that accepts.
        """
        for key in (f"{job.type}.{job.regarding_entity}", str(job.type), "default"):
            if key in self.by_key:
                return key, self.by_key[key]
        return "accept", accept


def load_handlers() -> Handlers:
    """Load every handler that is installed under the entry point group ``jobworker.handlers``.

    Raises:
        HandlerConfigurationError: When one cannot be loaded or two have the same key.
    """
    loaded: dict[str, Handler] = {}
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        if entry_point.name in loaded:
            raise HandlerConfigurationError(f"two installed packages register a handler named {entry_point.name!r}")
        loaded[entry_point.name] = _load(entry_point)
    return Handlers(loaded)


def checked_result(result: object) -> Mapping[str, Any] | None:
    """Make sure that what a handler returned can stand in a JSON document.

    Raises:
        PermanentError: When it cannot; trying again would return the same.
    """
    if result is None:
        return None
    if not isinstance(result, Mapping):
        raise PermanentError(f"the handler returned {type(result).__name__} where a mapping or None belongs")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(result), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"the handler returned what JSON cannot hold ({type(error).__name__})") from error
    return copy


def _load(entry_point: EntryPoint) -> Handler:
    try:
        handler = entry_point.load()
    except Exception as error:
        raise HandlerConfigurationError(f"the handler {entry_point.name!r} cannot be loaded: {error}") from error
    if not callable(handler):
        raise HandlerConfigurationError(f"the handler {entry_point.name!r} ({entry_point.value}) is not callable")
    checked: Handler = handler
    return checked
