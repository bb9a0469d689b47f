"""Stand-ins for what a transport is handed: tokens that are numbered, a throttle that only remembers."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.dataverse.budget import Budget
from worker.dataverse.throttle import HeldBack


class FixedTokens:
    """Gives ``token-1`` until it is dropped, then ``token-2``."""

    def __init__(self) -> None:
        self.number = 1
        self.dropped: list[str] = []

    def token(self) -> str:
        return f"token-{self.number}"

    def drop(self, token: str) -> None:
        self.dropped.append(token)
        self.number += 1


class RecordedThrottle:
    """Lets everything pass and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.budgets: list[Budget] = []
        self.holds: HeldBack = {}
        self.in_flight = 0
        self.closed = False

    @contextmanager
    def slot(self) -> Iterator[HeldBack]:
        self.in_flight += 1
        try:
            yield self.holds
        finally:
            self.in_flight -= 1

    def throttled(self, limit: str, retry_after: float) -> None:
        self.told.append((limit, retry_after))

    def heard(self, budget: Budget) -> None:
        self.budgets.append(budget)

    def close(self) -> None:
        self.closed = True
