"""The sandbox's own time, which tests may move on. Nothing else in the sandbox asks the machine what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache


class Clock:
    """Wall-clock time plus whatever it was advanced by.

    Args:
        wall: Where seconds since 1970 come from.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset = 0.0

    def now(self) -> float:
        """Seconds since 1970, with their fraction."""
        return self._wall() + self._offset

    def seconds(self) -> int:
        """Whole seconds since 1970: what a row's createdon and modifiedon hold."""
        return int(self.now())

    def advance(self, seconds: float) -> None:
        """Move the time on.

        Raises:
            ValueError: When asked to go back.
        """
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._offset += seconds

    def reset(self) -> None:
        """Back to the machine's time."""
        self._offset = 0.0

    def date_header(self) -> str:
        """The `Date` header of this second."""
        return http_date(self.seconds())


@lru_cache(maxsize=64)
def http_date(seconds: int) -> str:
    """Seconds since 1970 as an HTTP date."""
    return formatdate(seconds, usegmt=True)


@lru_cache(maxsize=65536)
def iso(seconds: int) -> str:
    """Seconds since 1970 as the Web API writes a datetime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_instant(seconds: float) -> str:
    """An instant with its milliseconds, for the control surface."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
