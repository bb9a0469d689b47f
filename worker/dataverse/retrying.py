"""How long to keep asking while Dataverse is not there: with growing, jittered pauses, never without end.

Reads are repeated whatever became of them; a write only if it certainly never left this machine. Waiting for Dataverse
because it said so (429) is the throttle's business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from worker.dataverse.errors import DataverseError, NeverSentError, UnavailableError

T = TypeVar("T")

LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and for how many seconds in all, something is tried."""

    attempts: int
    seconds: float


READS = Patience(attempts=5, seconds=60.0)
WRITES = Patience(attempts=3, seconds=15.0)
"""Less than for reads: whoever writes holds a lease, which runs."""


def read_again(ask: Callable[[], T], patience: Patience = READS) -> T:
    """Ask, and ask again while Dataverse cannot be had.

    Raises:
        DataverseError: The last one, once patience has run out; at once where asking again would not help.
    """
    return _again(ask, UnavailableError, patience)


def send_again(send: Callable[[], T], patience: Patience = WRITES) -> T:
    """Send a write, and send it again as long as it never left this machine.

    Raises:
        DataverseError: The last one, once patience has run out; at once where the write may have been done.
    """
    return _again(send, NeverSentError, patience)


def _again(action: Callable[[], T], on: type[DataverseError], patience: Patience) -> T:
    for attempt in stamina.retry_context(
        on=on, attempts=patience.attempts, timeout=patience.seconds, wait_max=LONGEST_PAUSE_SECONDS
    ):
        with attempt:
            return action()
    raise AssertionError("stamina ends with a result or an error")
