"""The kinds of job a scenario is made of, as data: what the rows look like, and how the rules say the job must end.

The ends were worked out from the domain's decision table by hand and on purpose not by calling the worker's rules:
a mistake there must not hide itself here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sandbox.tables import (
    FAILED,
    OTHER_TYPE,
    PROJECT_CLIENT_TYPE,
    READY,
    SKIPPED,
    SUCCEEDED,
    WAITING,
)

Later = Literal["ready", "count and ready"]


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet.

    Args:
        sequence: Its number.
        changes: msdyn_changesjson.
        full: msdyn_fulljson.
        active: Whether its row is Active.
    """

    sequence: int | None
    changes: str | None
    full: str | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a job's rows look like.

    Args:
        packets: Its packets, in the order they arrive.
        expected: msdyn_numberofpackets.
        status: msdyn_status.
        type: msdyn_type.
        active: Whether the job's row is Active.
        later: What happens to the job once its packets are there.
    """

    packets: tuple[Packet, ...] = ()
    expected: int | None = None
    status: int = WAITING
    type: int | None = PROJECT_CLIENT_TYPE
    active: bool = True
    later: Later | None = None


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job.

    Args:
        name: What it is called in scenarios.
        build: Makes a blueprint of it.
        status: The status it must end in.
        reason: The reason it must end with.
        weight: Its share of a scenario that names no kinds.
        arrives: Whether its packets may come in while a worker is already at it without changing its end.
    """

    name: str
    build: Callable[[random.Random], Blueprint]
    status: int
    reason: str
    weight: float = 1.0
    arrives: bool = field(default=False)


def _count(source: random.Random) -> int:
    """How many packets: mostly few, now and then many."""
    return source.choice((1, 2, 2, 3, 3, 3, 4, 4, 5, 8))


def _numbered(numbers: range | list[int]) -> tuple[Packet, ...]:
    return tuple(Packet(number, f'{{"packet":{number},"changes":[{number},"a"]}}') for number in numbers)


def _complete(first: int) -> Callable[[random.Random], Blueprint]:
    def build(source: random.Random) -> Blueprint:
        count = _count(source)
        return Blueprint(_numbered(range(first, first + count)), count)

    return build


def _shuffled(source: random.Random) -> Blueprint:
    count = source.randint(3, 8)
    numbers = list(range(count))
    source.shuffle(numbers)
    return Blueprint(_numbered(numbers), count)


def _single(source: random.Random) -> Blueprint:
    return Blueprint(_numbered(range(first := source.choice((0, 1)), first + 1)), 1)


def _ready_complete(source: random.Random) -> Blueprint:
    count = _count(source)
    return Blueprint(_numbered(range(1, count + 1)), count, READY)


def _equal_duplicates(source: random.Random) -> Blueprint:
    count = source.randint(2, 4)
    packets = _numbered(range(count))
    return Blueprint((*packets, source.choice(packets), packets[0]), count)


def _inactive_ignored(source: random.Random) -> Blueprint:
    count = source.randint(2, 4)
    stray = Packet(count + 5, '{"withdrawn":true}', active=False)
    return Blueprint((stray, *_numbered(range(count))), count)


def _both_payloads(source: random.Random) -> Blueprint:
    count = source.randint(2, 3)
    packets = [
        Packet(number, f'{{"n":{number}}}', f'{{"all":"Ünïcödé «{number}» & <more>"}}') for number in range(count)
    ]
    return Blueprint((*packets, packets[-1]), count)


def _made_ready(source: random.Random) -> Blueprint:
    count = _count(source)
    return Blueprint(_numbered(range(count)), count, later="ready")


def _counted_at_the_end(source: random.Random) -> Blueprint:
    count = _count(source)
    return Blueprint(_numbered(range(1, count + 1)), count, later="count and ready")


def _deactivated(source: random.Random) -> Blueprint:
    count = _count(source)
    return Blueprint(_numbered(range(count)), count, source.choice((WAITING, READY)), active=False)


def _of_type(kind: int | None) -> Callable[[random.Random], Blueprint]:
    def build(source: random.Random) -> Blueprint:
        count = _count(source)
        return Blueprint(_numbered(range(count)), count, source.choice((WAITING, READY)), kind)

    return build


def _nothing_expected(status: int) -> Callable[[random.Random], Blueprint]:
    return lambda _source: Blueprint((), 0, status)


def _ready_without_count(source: random.Random) -> Blueprint:
    return Blueprint(_numbered(range(source.randint(0, 3))), None, READY)


def _too_many(source: random.Random) -> Blueprint:
    count = source.randint(1, 4)
    extra = source.randint(1, 3)
    return Blueprint(_numbered(range(count + extra)), count, source.choice((WAITING, READY)))


def _more_than_none(source: random.Random) -> Blueprint:
    return Blueprint(_numbered(range(source.randint(1, 2))), 0)


def _null_number(source: random.Random) -> Blueprint:
    count = source.randint(2, 4)
    return Blueprint((*_numbered(range(count - 1)), Packet(None, '{"lost":"number"}')), count)


def _gap(source: random.Random) -> Blueprint:
    count = source.randint(2, 5)
    numbers = [*range(count - 1), count + source.randint(0, 3)]
    return Blueprint(_numbered(numbers), count, source.choice((WAITING, READY)))


def _wrong_start(source: random.Random) -> Blueprint:
    count = source.randint(1, 4)
    return Blueprint(_numbered(range(2, count + 2)), count)


def _conflict(source: random.Random) -> Blueprint:
    count = source.randint(2, 4)
    other = Packet(0, '{"packet":0,"changes":["something else"]}')
    return Blueprint((*_numbered(range(count)), other), count)


def _conflict_in_case(source: random.Random) -> Blueprint:
    count = source.randint(2, 4)
    other = Packet(0, '{"packet":0,"changes":[0,"A"]}')
    return Blueprint((*_numbered(range(count)), other), count)


def _conflict_in_full(source: random.Random) -> Blueprint:
    count = source.randint(2, 3)
    packets = _numbered(range(count))
    return Blueprint((*packets, Packet(1, packets[1].changes, '{"only":"here"}')), count)


def _missing(status: int) -> Callable[[random.Random], Blueprint]:
    def build(source: random.Random) -> Blueprint:
        count = source.randint(2, 6)
        numbers = sorted(source.sample(range(count), source.randint(0, count - 1)))
        return Blueprint(_numbered(numbers), count, status)

    return build


def _never_counted(source: random.Random) -> Blueprint:
    return Blueprint(_numbered(range(source.randint(0, 3))), None)


KINDS: dict[str, JobKind] = {
    kind.name: kind
    for kind in (
        JobKind("complete_from_zero", _complete(0), SUCCEEDED, "complete", 20, arrives=True),
        JobKind("complete_from_one", _complete(1), SUCCEEDED, "complete", 20, arrives=True),
        JobKind("complete_shuffled", _shuffled, SUCCEEDED, "complete", 10, arrives=True),
        JobKind("complete_single", _single, SUCCEEDED, "complete", 5, arrives=True),
        JobKind("ready_complete", _ready_complete, SUCCEEDED, "complete", 10),
        JobKind("equal_duplicates", _equal_duplicates, SUCCEEDED, "complete", 4),
        JobKind("equal_duplicates_both_payloads", _both_payloads, SUCCEEDED, "complete", 1),
        JobKind("inactive_packet_ignored", _inactive_ignored, SUCCEEDED, "complete", 2),
        JobKind("made_ready", _made_ready, SUCCEEDED, "complete", 4, arrives=True),
        JobKind("counted_at_the_end", _counted_at_the_end, SUCCEEDED, "complete", 4, arrives=True),
        JobKind("deactivated", _deactivated, SKIPPED, "deactivated", 2),
        JobKind("unsupported_type", _of_type(OTHER_TYPE), SKIPPED, "unsupported_type", 2),
        JobKind("null_type", _of_type(None), SKIPPED, "unsupported_type", 1),
        JobKind("waiting_nothing_expected", _nothing_expected(WAITING), SKIPPED, "no_packets_expected"),
        JobKind("ready_nothing_expected", _nothing_expected(READY), SKIPPED, "no_packets_expected"),
        JobKind("ready_without_count", _ready_without_count, FAILED, "expected_count_missing", 2),
        JobKind("too_many_packets", _too_many, FAILED, "too_many_packets", 2),
        JobKind("more_than_none", _more_than_none, FAILED, "too_many_packets"),
        JobKind("null_sequence_number", _null_number, FAILED, "sequence_invalid"),
        JobKind("gap", _gap, FAILED, "sequence_invalid"),
        JobKind("wrong_start", _wrong_start, FAILED, "sequence_invalid"),
        JobKind("conflicting_duplicates", _conflict, FAILED, "duplicate_conflict"),
        JobKind("duplicates_differ_in_case", _conflict_in_case, FAILED, "duplicate_conflict"),
        JobKind("duplicates_differ_in_full", _conflict_in_full, FAILED, "duplicate_conflict"),
        JobKind("waiting_missing", _missing(WAITING), FAILED, "packets_missing", 2),
        JobKind("ready_missing", _missing(READY), FAILED, "packets_missing", 2),
        JobKind("never_counted", _never_counted, FAILED, "packets_missing", 1),
    )
}
