"""The two documents that msdyn_responsejson holds: the claim while a job is in Processing, the response once it ended.

Both are JSON with a ``schema`` key; ``response.schema.json`` beside this module describes them. Nothing here does I/O.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from tasks.model import OPEN_STATUSES, Claim, ClaimVerdict, JobStatus, Reason

SCHEMA = "jobworker/1"
"""Version of the documents; a claim is ours only if it names it."""

MAX_LENGTH = 1_048_576
"""Of msdyn_responsejson, in UTF-16 units."""

MAX_MISSING_LISTED = 100
MAX_ERROR_LENGTH = 2_000
LIST_LIMITS = (1_000, 100, 10, 0)
"""How many items of each list a result keeps, tried one after the other until the document fits."""

MAX_ATTEMPT = 1_000_000
"""No claim of ours counts further; a document that does was made by somebody else."""

CLAIMED_FROM = {status.label: status for status in OPEN_STATUSES}
"""What a job may have been before it was claimed."""

MESSAGES: dict[str, str] = {
    Reason.DEACTIVATED: "The job was deactivated, so nothing was done.",
    Reason.UNSUPPORTED_TYPE: "The job's type is not one that this service handles, so nothing was done.",
    Reason.NO_PACKETS_EXPECTED: "The job expects no packets, so there was nothing to do.",
    Reason.EXPECTED_COUNT_MISSING: "The job was set to Ready without an expected number of packets.",
    Reason.TOO_MANY_PACKETS: "{received} different packets arrived where {expected} were expected.",
    Reason.SEQUENCE_INVALID: "The packets' sequence numbers do not run without gaps from 0 or from 1.",
    Reason.DUPLICATE_CONFLICT: "Packets with the same sequence number arrived with different contents.",
    Reason.COMPLETE: "All {expected} packets arrived and were handled.",
    Reason.PACKETS_MISSING: "{received} of {expected} packets arrived before the time was up.",
    Reason.WORKER_LOST: "Every attempt at this job lost its worker; it was given up at attempt {attempt}.",
    Reason.OPERATOR: "An operator ended the job by hand.",
    Reason.HANDLER_FAILED: "The handler failed on every attempt that was allowed.",
    Reason.HANDLER_REJECTED: "The handler rejected the job.",
}
"""One sentence a reason; a handler's own reasons get a general one."""


@dataclass(frozen=True, slots=True)
class MissingPackets:
    """Sequence numbers that never came: the first of them, and how many more there are."""

    listed: tuple[int, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class HandlerError:
    """What a handler raised: the name of its type and a message for a person."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Response:
    """Everything the response document tells about a job that has ended."""

    status: JobStatus
    reason: str
    expected_packets: int | None
    received_packets: int
    duplicate_packets: int
    missing: MissingPackets
    attempt: int
    worker: str
    started_at: datetime
    finished_at: datetime
    handler: str | None = None
    result: Mapping[str, Any] | None = None
    error: HandlerError | None = None


def schema() -> dict[str, Any]:
    """Load the JSON Schema of both documents."""
    text = resources.files("tasks").joinpath("response.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def write_claim(claim: Claim) -> str:
    """Write the claim document, what msdyn_responsejson holds while the job is in Processing."""
    return _dump(
        {
            "schema": SCHEMA,
            "status": JobStatus.PROCESSING.label,
            "claimed_from": claim.claimed_from.label,
            "verdict": claim.verdict.value,
            "reason": claim.reason,
            "attempt": claim.attempt,
            "worker": claim.worker,
            "lease_expires_at": format_instant(claim.lease_expires_at),
        }
    )


def read_claim(text: str | None) -> Claim | None:
    """Read a claim document.

    Returns:
        The claim, or None where the text is not a claim of this project and schema; never an error, because anybody
        may write anything into the column.
    """
    document = _load(text)
    try:
        return Claim(
            worker=_text(document["worker"]),
            attempt=_attempt(document["attempt"]),
            lease_expires_at=parse_instant(_text(document["lease_expires_at"])),
            claimed_from=CLAIMED_FROM[_text(document["claimed_from"])],
            verdict=ClaimVerdict(document["verdict"]),
            reason=_text(document["reason"]),
        )
    except (KeyError, ValueError, TypeError):
        return None


def read_settled_by(text: str | None) -> tuple[str, int] | None:
    """Read from a response document whose claim it settled.

    Returns:
        Worker and attempt, or None where the text is no response document of this project.
    """
    document = _load(text)
    if "finished_at" not in document:
        return None
    try:
        return _text(document["worker"]), _attempt(document["attempt"])
    except (KeyError, ValueError, TypeError):
        return None


def write_response(response: Response) -> str:
    """Write the response document.

    Returns:
        Valid JSON of at most `MAX_LENGTH` UTF-16 units: where a handler's result is too long, its lists and texts are
        cut, each with a count of what was left out.
    """
    document = _document(response)
    try:
        text = _dump(document)
        for limit in LIST_LIMITS:
            if utf16_length(text) <= MAX_LENGTH:
                return text
            text = _dump({**document, "result": _cut(response.result, limit)})
    except RecursionError:
        return _dump({**document, "result": {"left_out": "the whole result, which was nested too deeply"}})
    if utf16_length(text) <= MAX_LENGTH:
        return text
    return _dump({**document, "result": {"left_out": "the whole result, which was too long"}})


def _document(response: Response) -> dict[str, Any]:
    elapsed = response.finished_at - response.started_at
    return {
        "schema": SCHEMA,
        "status": response.status.label,
        "reason": response.reason,
        "message": message(response),
        "expected_packets": response.expected_packets,
        "received_packets": response.received_packets,
        "duplicate_packets": response.duplicate_packets,
        "missing_sequence_numbers": list(response.missing.listed),
        "missing_more": response.missing.more,
        "attempt": response.attempt,
        "worker": response.worker,
        "started_at": format_instant(response.started_at),
        "finished_at": format_instant(response.finished_at),
        "duration_ms": max(0, round(elapsed.total_seconds() * 1000)),
        "handler": response.handler,
        "result": response.result,
        "error": _error(response.error),
    }


def message(response: Response) -> str:
    """Say in one sentence, to a person, how and why the job ended."""
    template = MESSAGES.get(response.reason, "The handler ended the job with the reason {reason}.")
    expected = "an unknown number" if response.expected_packets is None else response.expected_packets
    return template.format(
        expected=expected, received=response.received_packets, attempt=response.attempt, reason=response.reason
    )


def utf16_length(text: str) -> int:
    """Count UTF-16 units, which is how Dataverse measures text."""
    return len(text.encode("utf-16-le")) // 2


def format_instant(instant: datetime) -> str:
    """Write an instant in UTC with milliseconds, such as ``2026-01-31T12:00:00.000Z``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """Read an instant.

    Raises:
        ValueError: For anything but a date and time with its offset.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return instant


def _error(error: HandlerError | None) -> dict[str, str] | None:
    return None if error is None else {"type": error.type, "message": error.message[:MAX_ERROR_LENGTH]}


def _dump(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no place on the wire


def _load(text: str | None) -> dict[str, Any]:
    try:
        document = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else {}


def _cut(value: Any, limit: int) -> Any:
    """Cut every list to `limit` items and every text in proportion, saying what was left out."""
    match value:
        case Mapping():
            return {key: _cut(item, limit) for key, item in value.items()}
        case list() | tuple():
            kept = [_cut(item, limit) for item in value[:limit]]
            return [*kept, {"left_out": len(value) - limit}] if len(value) > limit else kept
        case str() if len(value) > (longest := max(100, limit * 100)):
            return f"{value[:longest]}... ({len(value) - longest} characters left out)"
        case _:
            return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _attempt(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ATTEMPT:
        raise ValueError(value)
    return value
