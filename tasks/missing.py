"""Which packets never came, worked out from the numbers that did, without ever building the list of all."""

from collections.abc import Iterable

from tasks.response import MAX_MISSING_LISTED, MissingPackets


def missing_packets(arrived: Iterable[int], expected: int) -> MissingPackets:
    """Find the sequence numbers that are missing.

    Args:
        arrived: The numbers that came, ascending, repeats allowed. Read no further than needed.
        expected: How many packets were expected, 0 to 2147483647.

    Returns:
        The first missing numbers, counted from 0 if 0 arrived and from 1 otherwise, and how many more there are.
    """
    listed: list[int] = []
    wanted: int | None = None
    end, in_range = expected, 0
    for number in arrived:
        if wanted is None:
            wanted = 0 if number == 0 else 1
            end = wanted + expected
        if number >= end:
            break
        if number >= wanted:
            _list(listed, wanted, number)
            in_range += 1
            wanted = number + 1
    if wanted is None:
        wanted, end = 1, 1 + expected
    _list(listed, wanted, end)
    return MissingPackets(tuple(listed), expected - in_range - len(listed))


def _list(listed: list[int], start: int, stop: int) -> None:
    room = MAX_MISSING_LISTED - len(listed)
    listed.extend(range(start, min(stop, start + room)))
