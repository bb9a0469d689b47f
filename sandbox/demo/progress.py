"""Where a running demo stands: what the sandbox saw, and how the processes are."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.demo.service import Cast, health

FINAL_STATUSES = ("Succeeded", "Failed", "Skipped")
STATUSES = ("Waiting", "Ready", "Processing", *FINAL_STATUSES)


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a running demo."""

    seconds: float
    jobs: int
    by_status: Mapping[str, int]
    packets: int
    packets_due: int
    requests: int
    operations: int
    jobs_per_second: float
    health: Mapping[str, str]

    @property
    def ended(self) -> int:
        """Jobs in a final status."""
        return sum(self.by_status.get(status, 0) for status in FINAL_STATUSES)

    @property
    def requests_per_job(self) -> float | None:
        """Requests to Dataverse per job that has ended."""
        return self.requests / self.ended if self.ended else None


@dataclass(slots=True)
class Observer:
    """Looks at a running demo, again and again."""

    cast: Cast
    jobs: int
    started: float = field(default_factory=time.monotonic)
    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=10))

    def look(self) -> Progress:
        """Look once."""
        overview: Mapping[str, Any] = self.cast.sandbox.get("overview")
        stats: Mapping[str, Any] = self.cast.sandbox.get("stats")
        seconds = time.monotonic() - self.started
        by_status: Mapping[str, int] = overview["jobs_by_status"]
        self._recent.append((seconds, sum(by_status.get(status, 0) for status in FINAL_STATUSES)))
        return Progress(
            seconds=seconds,
            jobs=self.jobs,
            by_status=by_status,
            packets=overview["packets"],
            packets_due=overview["packets_due"],
            requests=stats["requests"],
            operations=stats["operations"],
            jobs_per_second=_rate(self._recent),
            health={process.name: health(process) for process in self.cast.services},
        )


def _rate(recent: Sequence[tuple[float, int]]) -> float:
    (first_at, first), (last_at, last) = recent[0], recent[-1]
    return (last - first) / (last_at - first_at) if last_at > first_at else 0.0
