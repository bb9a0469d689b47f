"""A real Redis-protocol server on a socket, and fleets of throttles that share it as processes do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.dataverse.fleet import FleetState, ProtectionLimits
from worker.dataverse.shared_throttle import SharedThrottle
from worker.dataverse.throttle import Wait

USER = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Makes members that share the limits of one user."""

    socket: Path
    limits: ProtectionLimits
    most: int = 16
    hold_seconds: float = 60.0

    def redis(self) -> Redis:
        """Connect as the service does: text, and a time-out that a frozen server runs into."""
        return Redis.from_url(
            f"unix://{self.socket}", decode_responses=True, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)
        )

    def state(self) -> FleetState:
        return FleetState(self.redis(), USER, most=self.most, hold_seconds=self.hold_seconds, limits=self.limits)

    def member(self, wait: Wait, monotonic: Callable[[], float]) -> SharedThrottle:
        return SharedThrottle(self.state(), wait, self.limits, monotonic)
