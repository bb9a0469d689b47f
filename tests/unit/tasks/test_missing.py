"""Which packets never came."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.missing import missing_packets
from tasks.response import MissingPackets


@given(st.lists(st.integers(0, 260)), st.integers(0, 250))
def test_what_is_missing_is_what_a_list_of_all_would_say(arrived: list[int], expected: int) -> None:
    start = 0 if 0 in arrived else 1
    missing = [number for number in range(start, start + expected) if number not in set(arrived)]

    assert missing_packets(iter(sorted(arrived)), expected) == MissingPackets(
        tuple(missing[:100]), max(0, len(missing) - 100)
    )


def test_the_largest_count_there_is_builds_no_list() -> None:
    missing = missing_packets(iter([1, 2_147_483_647]), 2_147_483_647)

    assert missing.listed[:2] == (2, 3)
    assert missing.more == 2_147_483_647 - 2 - 100
