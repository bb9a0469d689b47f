"""What a question is to the poller: something that finds jobs, a batch at a time, whenever its time has come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol
from uuid import UUID


class Travel(Enum):
    """How the jobs that a question finds travel to a worker."""

    IN_CHUNKS = auto()  # many to a message, sharing requests
    ALONE = auto()  # one to a message, because it may take its worker down


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs that need a look: what made them found (a label of ``jobworker_poll_found_total``), and how they travel."""

    source: str
    ids: Sequence[UUID]
    travel: Travel = Travel.IN_CHUNKS


class Question(Protocol):
    """One of the poller's questions."""

    def ask(self) -> Iterator[Found]:
        """Ask, as far as it is time to.

        Yields:
            Jobs that need a look, a batch at a time. What the question remembers of having asked is noted only once
            the last batch was taken: a question that is broken off is asked again.
        """
        ...
