"""What Dataverse answers, as values: rows, pages, parts of a batch, and its clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from worker.dataverse.errors import DataverseError, UnavailableError, error_for

DEFAULT_RETRY_AFTER = 5.0
"""Seconds to wait after a 429 that does not say how long."""


@dataclass(frozen=True, slots=True)
class Part:
    """One answer: its status, its JSON (empty for none), and the row's ETag where there is one."""

    status: int
    value: Mapping[str, Any]
    etag_header: str | None = None

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows of a collection.

        Raises:
            UnavailableError: When the answer holds no list of rows, which must not pass for an empty one.
        """
        rows = self.value.get("value")
        if not isinstance(rows, list):
            raise UnavailableError("Dataverse's answer to a query holds no rows, not even none", status=self.status)
        return rows

    @property
    def next_link(self) -> str | None:
        """Where the next page is."""
        return self.value.get("@odata.nextLink")

    @property
    def etag(self) -> str:
        """The ETag of the row that was read or written; empty where there is none."""
        return self.value.get("@odata.etag") or self.etag_header or ""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answers to a $batch in the order of its operations; an error is a value here. And the server's clock."""

    parts: Sequence[Part | DataverseError]
    date: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows and the server's clock when it was read."""

    rows: Sequence[Mapping[str, Any]]
    date: datetime


def read_error(status: int, headers: Mapping[str, str], value: object) -> DataverseError:
    """Read an error answer; its body may be anything."""
    error = value.get("error") if isinstance(value, Mapping) else None
    code = str(error.get("code") or "") if isinstance(error, Mapping) else ""
    message = str(error.get("message") or "") if isinstance(error, Mapping) else ""
    return error_for(status, code, message or "no reason given", retry_after=retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float:
    """Read how many seconds to wait, whether given in seconds or as a date against the server's own clock."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_between(headers.get("date", ""), text)
    return max(0.0, seconds) if math.isfinite(seconds) else DEFAULT_RETRY_AFTER


def _seconds_between(now: str, then: str) -> float:
    try:
        wait = parsedate_to_datetime(then) - parsedate_to_datetime(now)
    except (TypeError, ValueError):
        return DEFAULT_RETRY_AFTER
    return max(0.0, wait.total_seconds())
