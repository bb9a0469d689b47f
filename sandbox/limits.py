"""Service protection limits: requests, execution time and concurrency of one user in a sliding window.

The sandbox stands for one web server, so its windows are the user's whole budget. It decides; counting what it refused
and answering 429 is `sandbox.gateway`'s part.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.errors import DataverseError

REQUESTS = "0x80072322"
EXECUTION_TIME = "0x80072321"
CONCURRENCY = "0x80072326"

# So much of the window has to be free again before a throttled user may go on, or it is throttled at once again.
_FREE_SHARE = 0.05
# What was already on its way when a 429 was sent is not held against the user.
IN_FLIGHT_GRACE = 0.05
_CONCURRENCY_WAIT = 1.0
_PENALTY_SHARE = 0.1
_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class LimitSizes:
    """How much is allowed.

    Args:
        requests: Requests in the window.
        window: Seconds.
        execution_ms: Milliseconds of execution time in the window.
        concurrency: Requests at the same time.
        enabled: Whether anything is refused at all.
        dop_hint: The recommended degree of parallelism in the answers.
    """

    requests: int = 6000
    window: float = 300.0
    execution_ms: float = 1_200_000.0
    concurrency: int = 52
    enabled: bool = True
    dop_hint: int = 8


@dataclass(slots=True)
class _Budget:
    """What one user has used."""

    starts: deque[float] = field(default_factory=deque)
    executions: deque[tuple[float, float]] = field(default_factory=deque)
    spent_ms: float = 0.0
    in_flight: int = 0
    blocked_until: float = 0.0
    blocked_code: str = ""
    base_wait: float = 0.0
    named: list[tuple[float, float]] = field(default_factory=list)

    def forget(self, before: float) -> None:
        while self.starts and self.starts[0] <= before:
            self.starts.popleft()
        while self.executions and self.executions[0][0] <= before:
            self.spent_ms -= self.executions.popleft()[1]


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a request came in.

    Args:
        disobedient: Whether it came before an instant that a 429 had named.
        place: Its place among the user's requests that are under way, from 1.
    """

    disobedient: bool
    place: int


class Protection:
    """The limits of every user.

    Args:
        now: The sandbox's time.
        sizes: How much is allowed.
    """

    def __init__(self, now: Callable[[], float], sizes: LimitSizes) -> None:
        self._now = now
        self.sizes = sizes
        self._budgets: dict[str, _Budget] = defaultdict(_Budget)

    def clear(self) -> None:
        """Forget what was used, but for what is still under way."""
        for budget in self._budgets.values():
            in_flight = budget.in_flight
            budget.__init__()  # type: ignore[misc]  # a fresh budget in place: those under way hold on to it
            budget.in_flight = in_flight

    @property
    def in_flight(self) -> int:
        """Requests under way, of everybody."""
        return sum(budget.in_flight for budget in self._budgets.values())

    def begin(self, user: str) -> Arrival:
        """A request has come in; whoever comes later cannot take its place."""
        budget = self._budgets[user]
        budget.in_flight += 1
        now = self._now()
        budget.named = [(sent, until) for sent, until in budget.named[-_REMEMBERED:] if until > now]
        disobedient = any(sent + IN_FLIGHT_GRACE < now for sent, _ in budget.named)
        return Arrival(disobedient, budget.in_flight)

    def end(self, user: str, milliseconds: float) -> None:
        """A request has been answered after so much execution time."""
        budget = self._budgets[user]
        budget.in_flight -= 1
        budget.executions.append((self._now(), milliseconds))
        budget.spent_ms += milliseconds

    def admit(self, user: str, arrival: Arrival) -> None:
        """Let a request pass, or not.

        Raises:
            DataverseError: With the code of the limit that is exceeded, and how long to wait.
        """
        if not self.sizes.enabled:
            return
        now = self._now()
        budget = self._budgets[user]
        budget.forget(now - self.sizes.window)
        if budget.blocked_until > now:
            if arrival.disobedient:
                self._prolong(budget, now)
            raise self._refusal(budget, budget.blocked_code, budget.blocked_until - now)
        if arrival.place > self.sizes.concurrency:
            raise self._refusal(budget, CONCURRENCY, _CONCURRENCY_WAIT * (1 + len(budget.named) * _PENALTY_SHARE))
        if len(budget.starts) >= self.sizes.requests:
            raise self._block(budget, REQUESTS, now, self._request_wait(budget, now))
        if budget.spent_ms >= self.sizes.execution_ms:
            raise self._block(budget, EXECUTION_TIME, now, self._execution_wait(budget, now))
        budget.starts.append(now)

    def name_wait(self, user: str, seconds: float) -> None:
        """A 429 with this wait was given to the user."""
        now = self._now()
        self._budgets[user].named.append((now, now + seconds))

    def headers(self, user: str) -> list[tuple[str, str]]:
        """What is left, for information."""
        budget = self._budgets[user]
        left = max(0, self.sizes.requests - len(budget.starts))
        seconds = max(0.0, (self.sizes.execution_ms - budget.spent_ms) / 1000)
        return [
            ("x-ms-ratelimit-burst-remaining-xrm-requests", str(left)),
            ("x-ms-ratelimit-time-remaining-xrm-requests", f"{seconds:,.2f}"),
            ("x-ms-dop-hint", str(self.sizes.dop_hint)),
        ]

    def _request_wait(self, budget: _Budget, now: float) -> float:
        """Until a share of the requests has left the window."""
        place = min(len(budget.starts) - 1, int(self.sizes.requests * _FREE_SHARE))
        return budget.starts[place] + self.sizes.window - now

    def _execution_wait(self, budget: _Budget, now: float) -> float:
        """Until enough execution time has left the window."""
        wanted = self.sizes.execution_ms * (1 - _FREE_SHARE)
        left = budget.spent_ms
        for at, milliseconds in budget.executions:
            left -= milliseconds
            if left <= wanted:
                return at + self.sizes.window - now
        return self.sizes.window

    def _block(self, budget: _Budget, code: str, now: float, wait: float) -> DataverseError:
        budget.base_wait = max(1.0, wait)
        budget.blocked_until = now + budget.base_wait
        budget.blocked_code = code
        return self._refusal(budget, code, budget.base_wait)

    def _prolong(self, budget: _Budget, now: float) -> None:
        """Going on sending makes the wait longer."""
        longer = budget.blocked_until + max(1.0, budget.base_wait * _PENALTY_SHARE)
        budget.blocked_until = min(longer, now + self.sizes.window + budget.base_wait)

    def _refusal(self, budget: _Budget, code: str, wait: float) -> DataverseError:
        now = self._now()
        seconds = max(1, math.ceil(wait))
        budget.named.append((now, now + seconds))
        return DataverseError(429, code, self.message(code), retry_after=seconds)

    def message(self, code: str) -> str:
        """What the service says when a limit is exceeded."""
        sizes = self.sizes
        match code:
            case "0x80072322":
                return (
                    f"Number of requests exceeded the limit of {sizes.requests} over time window of "
                    f"{sizes.window:g} seconds."
                )
            case "0x80072321":
                return (
                    f"Combined execution time of incoming requests exceeded limit of {sizes.execution_ms:,.0f} "
                    f"milliseconds over time window of {sizes.window:g} seconds. Decrease number of concurrent "
                    "requests or reduce the duration of requests and try again later."
                )
            case _:
                return f"Number of concurrent requests exceeded the limit of {sizes.concurrency}."
