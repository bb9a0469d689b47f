"""Holds requests back for the whole fleet: the limits are the application user's, not the process's.

What this process knows itself (that everybody has to wait) it remembers itself too: while Redis is away, that is what
it goes by, and it asks Redis again after a rest.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from worker.dataverse.budget import Budget
from worker.dataverse.fleet import DOCUMENTED, Admission, FleetState, ProtectionLimits
from worker.dataverse.throttle import HeldBack, Pause, Wait

log = structlog.get_logger(__name__)

LOW_SHARE = 0.1
"""When less of a limit is left than this, the fleet slows down; the less is left, the slower it goes."""

SLOWEST_SHARE = 0.02
"""Of the full pace: somebody must go on asking, or nobody learns that there is room again."""

LONGEST_PACED_SECONDS = 1.0
"""Then the pace may have changed."""

HINT_SECONDS = 600.0
"""A recommendation that stays the same is written again after so long, well before it expires."""

REST_SECONDS = 5.0
"""After Redis was away it is left alone for so long: each try may block for a socket's time-out."""


class SharedThrottle:
    """Implements `Throttle` for a fleet. One a process, made after the fork; safe to share between its threads."""

    def __init__(
        self,
        fleet: FleetState,
        wait: Wait = time.sleep,
        limits: ProtectionLimits = DOCUMENTED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it.

        Args:
            fleet: What all processes share.
            wait: Waits; a true answer means that this process is to stop.
            limits: Of the user.
            monotonic: A clock, in seconds.
        """
        self._fleet = fleet
        self._limits = limits
        self._monotonic = monotonic
        self._pause = Pause(wait, monotonic)
        self._redis_rests_until = float("-inf")
        self._is_paced = False
        self._hint: tuple[int | None, float] = (None, float("-inf"))

    @contextmanager
    def slot(self) -> Iterator[HeldBack]:
        """Wait until the fleet may send one more request, and hold a place for it."""
        held_back: HeldBack = {}
        request_id = uuid.uuid4().hex
        self._wait_for_admission(request_id, held_back)
        try:
            yield held_back
        finally:
            self._tell(lambda: self._fleet.release(request_id))

    def throttled(self, limit: str, retry_after: float) -> None:
        """Have everybody wait for the named time."""
        self._pause.begin(limit, retry_after)
        self._tell(lambda: self._fleet.throttled(limit, retry_after))

    def heard(self, budget: Budget) -> None:
        """Pass on what is news: another recommended parallelism, a limit of which little is left, or enough again."""
        hint = budget.parallelism if self._is_news(budget.parallelism) else None
        share, limit = self._share_left(budget)
        if share is not None and share >= 1 and not self._is_paced:
            share = None
        if hint is not None or share is not None:
            self._tell(lambda: self._fleet.heard(hint, share, limit))

    def close(self) -> None:
        """Close the connections to Redis."""
        self._fleet.close()

    def _wait_for_admission(self, request_id: str, held_back: HeldBack) -> None:
        while True:
            self._pause.sit_out(held_back)
            admission = self._ask(request_id)
            match admission.verdict:
                case "go":
                    self._is_paced = admission.is_paced
                    return
                case "paused":
                    self._pause.begin(admission.limit, admission.seconds)
                case "full" | "paced":
                    seconds = min(admission.seconds, LONGEST_PACED_SECONDS) * random.uniform(1, 1.5)  # noqa: S311
                    self._pause.wait(seconds, admission.limit, held_back)

    def _ask(self, request_id: str) -> Admission:
        if self._redis_rests():
            return Admission("go")
        try:
            return self._fleet.admit(request_id)
        except RedisError as error:
            self._let_rest(error)
            return Admission("go")

    def _tell(self, tell: Callable[[], object]) -> None:
        if self._redis_rests():
            return
        try:
            tell()
        except RedisError as error:
            self._let_rest(error)

    def _redis_rests(self) -> bool:
        return self._monotonic() < self._redis_rests_until

    def _let_rest(self, error: RedisError) -> None:
        self._redis_rests_until = self._monotonic() + REST_SECONDS
        log.warning("throttle_not_shared", error=type(error).__name__, again_in=REST_SECONDS)

    def _is_news(self, parallelism: int | None) -> bool:
        known, written_at = self._hint
        now = self._monotonic()
        if not parallelism or (parallelism == known and now - written_at < HINT_SECONDS):
            return False
        self._hint = (parallelism, now)
        return True

    def _share_left(self, budget: Budget) -> tuple[float | None, str]:
        """Work out which share of the full pace fits what is left; the scarcer limit decides."""
        left = [
            (amount / (allowed * LOW_SHARE), limit)
            for amount, allowed, limit in (
                (budget.requests_left, self._limits.requests, "requests"),
                (budget.seconds_left, self._limits.execution_seconds, "execution_time"),
            )
            if amount is not None
        ]
        if not left:
            return None, ""
        share, limit = min(left)
        return min(1.0, max(SLOWEST_SHARE, share)), limit
