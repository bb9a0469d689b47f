"""Holding requests back while Dataverse asks for it: what the transport needs for that, and a pause of one process.

Whoever waits resumes at an instant of his own shortly after the one that was named, so that nobody does so at the same
instant as everybody else; never before it.
"""

import random
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from worker.dataverse.budget import Budget
from worker.dataverse.errors import StoppedError

JITTER_SHARE = 0.2
JITTER_SECONDS = 2.0
"""At the most so much of a pause, and so many seconds, are added to it."""

Wait: TypeAlias = Callable[[float], object]
"""Waits so many seconds; a true answer means that this process is to stop. `threading.Event.wait`, `time.sleep`."""

HeldBack: TypeAlias = MutableMapping[str, float]
"""By limit, the seconds for which a request was held back because of it."""


class Throttle(Protocol):
    """Decides when a request may be sent."""

    def slot(self) -> AbstractContextManager[HeldBack]:
        """Wait until a request may be sent, and hold a place for it until its answer came.

        Raises:
            StoppedError: When this process is told to stop meanwhile.
        """
        ...

    def throttled(self, limit: str, retry_after: float) -> None:
        """Note a 429: nobody sends before the named time has passed.

        Args:
            limit: Which limit was hit: ``requests``, ``execution_time``, ``concurrency`` or ``other``.
            retry_after: Seconds.
        """
        ...

    def heard(self, budget: Budget) -> None:
        """Note what an answer said is left."""
        ...

    def close(self) -> None:
        """Close what it is connected to."""
        ...


class Pause:
    """Until when this process must not send, and because of which limit. Safe to share between threads."""

    def __init__(self, wait: Wait, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wait = wait
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._limit = ""

    def begin(self, limit: str, seconds: float) -> None:
        """Pause from now on for at least so long; a longer pause that has begun stands."""
        until = self._monotonic() + seconds + _jitter(seconds)
        with self._lock:
            if until > self._until:
                self._until, self._limit = until, limit

    def sit_out(self, held_back: HeldBack) -> None:
        """Wait until the pause is over, also when it becomes longer meanwhile.

        Raises:
            StoppedError: When this process is told to stop.
        """
        while (left := self._until - self._monotonic()) > 0:
            self.wait(left, self._limit, held_back)

    def wait(self, seconds: float, limit: str, held_back: HeldBack) -> None:
        """Wait because of a limit, and note for how long.

        Raises:
            StoppedError: When this process is told to stop.
        """
        held_back[limit] = held_back.get(limit, 0.0) + seconds
        if self._wait(seconds):
            raise StoppedError("this process is told to stop and waits no longer for Dataverse's limits")


def _jitter(seconds: float) -> float:
    return random.uniform(0, min(seconds * JITTER_SHARE, JITTER_SECONDS))  # noqa: S311 - spreads, guards nothing
