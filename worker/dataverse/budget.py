"""What Dataverse says beside its answers of how much more it will take. Any part of it may be absent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T", int, float)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of the limits of one user on one web server.

    Attributes:
        parallelism: How many requests at a time Dataverse recommends.
        requests_left: In the window of the limit.
        seconds_left: Of execution time, in the window of the limit.
    """

    parallelism: int | None = None
    requests_left: int | None = None
    seconds_left: float | None = None


def read_budget(headers: Mapping[str, str]) -> Budget:
    """Read the budget out of an answer's headers; what cannot be read tells nothing."""
    return Budget(
        parallelism=_positive(headers.get("x-ms-dop-hint"), int),
        requests_left=_positive(headers.get("x-ms-ratelimit-burst-remaining-xrm-requests"), int),
        seconds_left=_positive(headers.get("x-ms-ratelimit-time-remaining-xrm-requests"), float),
    )


def _positive(text: str | None, kind: Callable[[str], T]) -> T | None:
    try:
        number = kind((text or "").replace(",", ""))  # written with separators: 1,200.00
    except ValueError:
        return None
    return number if number >= 0 else None
