"""Counters of what was asked of the sandbox, for benchmarks and tests. In memory; a reset clears them."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Stats:
    """Counts requests, operations, throttling and sign-ins."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._requests: Counter[str] = Counter()
        self._operations: Counter[str] = Counter()
        self._by_user: Counter[str] = Counter()
        self._throttled: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._tokens = 0
        self._peak = 0
        self._disobeyed = 0
        self._with_cookie = 0

    def request(self, kind: str, client_id: str, *, in_flight: int, with_cookie: bool) -> None:
        """A request has come in."""
        self._requests[kind] += 1
        self._by_user[client_id] += 1
        self._peak = max(self._peak, in_flight)
        self._with_cookie += with_cookie

    def operation(self, kind: str) -> None:
        """An operation was carried out or refused, alone or inside a batch."""
        self._operations[kind] += 1

    def answered(self, status: int) -> None:
        """A request was answered."""
        self._statuses[status] += 1

    def throttle(self, code: str) -> None:
        """A 429 was given."""
        self._throttled[code] += 1

    def disobeyed(self) -> None:
        """A request came before the instant that an earlier 429 had named."""
        self._disobeyed += 1

    def token(self) -> None:
        """The token endpoint was asked."""
        self._tokens += 1

    def report(self) -> dict[str, Any]:
        """All counters."""
        return {
            "requests": self._requests.total(),
            "operations": self._operations.total(),
            "requests_by_kind": dict(self._requests),
            "operations_by_kind": dict(self._operations),
            "requests_by_status": {str(status): count for status, count in sorted(self._statuses.items())},
            "peak_concurrency": self._peak,
            "throttled": dict(self._throttled),
            "retry_after_disobeyed": self._disobeyed,
            "requests_with_cookie": self._with_cookie,
            "token_requests": self._tokens,
            "by_user": dict(self._by_user),
        }
