"""What all processes of one application user share in Redis so that together they respect the user's limits.

Each question is one Lua script, so that it is answered as of one instant of Redis's own clock: machines' clocks differ.
All of it may be lost at any moment; Dataverse's next answers teach it again.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

from redis import Redis

from worker.redis_keys import (
    THROTTLE_CEILING_TTL,
    throttle_ceiling,
    throttle_inflight,
    throttle_pace,
    throttle_pause,
)

FULL_PACE_SHARE = 0.95
"""Of the documented rate: the pace after a limit was hit, just below what would hit it again."""

CALM_MS = 10_000
"""After so long without a concurrency 429 one request more at a time is tried."""


@dataclass(frozen=True, slots=True)
class ProtectionLimits:
    """Dataverse's documented limits of one user on one web server."""

    requests: int = 6_000
    execution_seconds: float = 1_200.0
    window_seconds: float = 300.0

    @property
    def full_pace(self) -> float:
        """Requests a second that can be kept up."""
        return FULL_PACE_SHARE * self.requests / self.window_seconds


DOCUMENTED = ProtectionLimits()

Verdict = Literal["go", "paused", "full", "paced"]


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request may be sent.

    Attributes:
        verdict: ``go``, or what to wait for.
        seconds: How long to wait before asking again.
        limit: Because of which limit.
        is_paced: Whether the fleet is slowed down at the moment.
    """

    verdict: Verdict
    seconds: float = 0.0
    limit: str = ""
    is_paced: bool = False


class FleetState:
    """The shared state. Every method raises `redis.RedisError` when Redis is away."""

    def __init__(self, redis: Redis, user: str, *, most: int, hold_seconds: float, limits: ProtectionLimits) -> None:
        """Make it.

        Args:
            redis: Answers text.
            user: Names the application user, as `worker.redis_keys.throttle_user` does.
            most: The most requests that the fleet may have in flight.
            hold_seconds: After so long a request counts as ended, should its process have died.
            limits: Of the user.
        """
        self._redis = redis
        self._most = most
        self._hold_ms = round(hold_seconds * 1000)
        self._limits = limits
        self._window_ms = round(limits.window_seconds * 1000)
        self._kept_ms = round(THROTTLE_CEILING_TTL.total_seconds() * 1000)
        self._inflight = throttle_inflight(user)
        self._two = [throttle_pace(user), throttle_ceiling(user)]
        self._all = [throttle_pause(user), self._inflight, *self._two]
        self._admit, self._throttled, self._heard = (
            redis.register_script(_script(name)) for name in ("admit", "throttled", "heard")
        )

    def admit(self, request_id: str) -> Admission:
        """Ask for a request to be sent now; where it may, it holds a place until it is released."""
        arguments: list[str | float] = [request_id, self._hold_ms, self._most, self._limits.full_pace, CALM_MS]
        verdict, number, limit = cast("tuple[Verdict, int, str]", self._admit(self._all, arguments))
        if verdict == "go":
            return Admission(verdict, is_paced=0 <= number < 1000)
        return Admission(verdict, number / 1000, limit)

    def release(self, request_id: str) -> None:
        """Give a request's place back."""
        self._redis.zrem(self._inflight, request_id)

    def throttled(self, limit: str, retry_after: float) -> None:
        """Note a 429."""
        arguments: list[str | float] = [limit, round(retry_after * 1000), self._window_ms, self._most, self._kept_ms]
        self._throttled(self._all, arguments)

    def heard(self, parallelism: int | None, share: float | None, limit: str) -> None:
        """Note what an answer said.

        Args:
            parallelism: How many requests at a time Dataverse recommends, where that is news.
            share: Of the full pace, for what is left of a limit; 1 where plenty is left.
            limit: The limit that the share is about.
        """
        arguments: list[str | float] = [
            parallelism or "",
            "" if share is None else share,
            limit,
            self._window_ms,
            self._kept_ms,
        ]
        self._heard(self._two, arguments)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _script(name: str) -> str:
    return files("worker.dataverse").joinpath("lua", f"{name}.lua").read_text("utf-8")
