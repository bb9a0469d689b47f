"""Holds requests back while Dataverse asks for it. This one knows only its own process; a fleet shares another."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

JITTER = 0.2
"""Of a pause, at the most, added so that nobody resumes at the same instant as everybody else."""


class Throttle(Protocol):
    """Decides when a request may be sent."""

    def slot(self) -> AbstractContextManager[None]:
        """Wait until a request may be sent and hold a place for it until its answer came."""
        ...

    def throttled(self, limit: str, retry_after: float) -> None:
        """Note a 429: nobody sends before the named time has passed.

        Args:
            limit: Which limit was hit: ``requests``, ``execution_time``, ``concurrency`` or ``other``.
            retry_after: Seconds.
        """
        ...

    def hint(self, degree_of_parallelism: int) -> None:
        """Note how many requests at a time Dataverse recommends."""
        ...


class LocalThrottle:
    """Pauses this process."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._until = 0.0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until the pause is over."""
        while (left := self._until - time.monotonic()) > 0:
            self._sleep(left)
        yield

    def throttled(self, limit: str, retry_after: float) -> None:  # noqa: ARG002 - one limit is like another here
        """Pause for the named time and a little more."""
        pause = retry_after * (1 + random.uniform(0, JITTER))  # noqa: S311 - jitter
        with self._lock:
            self._until = max(self._until, time.monotonic() + pause)

    def hint(self, degree_of_parallelism: int) -> None:
        """Nothing to be done: one process sends one request at a time."""
