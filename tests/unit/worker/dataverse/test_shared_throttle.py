"""A fleet's throttle on a real server: what one member learns all obey, and Redis may go away at any moment."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from sandbox.redis_server import RedisServer
from tests.unit.worker.dataverse.fleets import USER, Fleet
from worker.dataverse.budget import Budget
from worker.dataverse.errors import StoppedError
from worker.dataverse.fleet import DOCUMENTED, ProtectionLimits
from worker.dataverse.shared_throttle import REST_SECONDS, SharedThrottle
from worker.dataverse.throttle import JITTER_SECONDS, JITTER_SHARE
from worker.redis_keys import throttle_ceiling, throttle_inflight, throttle_pace, throttle_pause, throttle_user

LIMITS = ProtectionLimits(requests=100, execution_seconds=20, window_seconds=10)
"""So that the full pace is 9.5 requests a second."""


class Member(Protocol):
    """Makes one more member of the fleet."""

    def __call__(self, most: int = ..., hold_seconds: float = ...) -> SharedThrottle: ...


@pytest.fixture
def fleet(redis_server: RedisServer) -> Iterator[Fleet]:
    fleet = Fleet(Path(redis_server.url.removeprefix("unix://").removesuffix("?db=0")), LIMITS)
    with fleet.redis() as redis:
        redis.flushall()
    yield fleet
    with fleet.redis() as redis:
        kept = [key for key in redis.scan_iter() if redis.pttl(key) < 0]
    assert kept == [], "keys without a time to live"


@pytest.fixture
def member(fleet: Fleet) -> Iterator[Member]:
    """Make members, each with connections of its own, as another process would have."""
    made: list[SharedThrottle] = []

    def make(most: int = 16, hold_seconds: float = 60.0) -> SharedThrottle:
        made.append(Fleet(fleet.socket, fleet.limits, most, hold_seconds).member(time.sleep, time.monotonic))
        return made[-1]

    yield make
    for throttle in made:
        throttle.close()


def seconds_to_pass(throttle: SharedThrottle) -> float:
    started = time.monotonic()
    with throttle.slot():
        return time.monotonic() - started


def passes_in(throttle: SharedThrottle, seconds: float) -> int:
    """Count how many requests pass, one after the other."""
    passed, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        with throttle.slot():
            passed += 1
    return passed


# Pauses


def test_a_pause_that_one_learns_of_all_obey(member: Member) -> None:
    members = [member() for _ in range(4)]
    started = time.monotonic()
    members[0].throttled("requests", 0.5)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda throttle: throttle.slot().__enter__(), members[:1] + members[1:]))
    assert time.monotonic() - started >= 0.5


def test_each_member_is_held_back_as_long_as_named_and_hardly_longer(member: Member) -> None:
    first, second = member(), member()
    first.throttled("execution_time", 0.5)
    with second.slot() as held_back:
        pass
    assert 0.45 <= held_back["execution_time"] <= 0.5 * (1 + JITTER_SHARE) + 0.01


def test_a_shorter_pause_ends_no_longer_one(fleet: Fleet, member: Member) -> None:
    throttle = member()
    throttle.throttled("requests", 60)
    throttle.throttled("concurrency", 1)
    with fleet.redis() as redis:
        assert redis.get(throttle_pause(USER)) == "requests"
        assert redis.pttl(throttle_pause(USER)) > 55_000


def test_the_pause_of_another_user_is_none_of_ours(fleet: Fleet, member: Member) -> None:
    with fleet.redis() as redis:
        redis.set(throttle_pause("another"), "requests", px=60_000)
    assert seconds_to_pass(member()) < 1


def test_whoever_is_told_to_stop_waits_no_longer(fleet: Fleet, member: Member) -> None:
    member().throttled("requests", 60)
    stop = threading.Event()
    throttle = fleet.member(stop.wait, time.monotonic)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(StoppedError), throttle.slot():
        pytest.fail("sent during a pause")
    throttle.close()


def test_processes_obey_each_other(fleet: Fleet) -> None:
    """Three processes send as fast as they may; one is told to wait: none sends until the wait is over."""
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from tests.unit.worker.dataverse.fleets import Fleet
        from worker.dataverse.fleet import ProtectionLimits
        limits = ProtectionLimits(requests=1_000_000, execution_seconds=1_000_000, window_seconds=1)
        throttle = Fleet(Path(sys.argv[1]), limits).member(time.sleep, time.monotonic)
        with throttle.slot():
            print("ready", flush=True)
        sys.stdin.readline()
        until = time.monotonic() + 2
        told = sys.argv[2] == "told"
        while time.monotonic() < until:
            with throttle.slot():
                print(time.monotonic(), flush=True)
                if told and time.monotonic() > until - 1.7:
                    told = False
                    throttle.throttled("requests", 1)
                    print("told", time.monotonic(), flush=True)
        """
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(fleet.socket), role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        for role in ("told", "other", "other")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(3) as pool:
        outputs = [output for output, _ in pool.map(lambda process: process.communicate("go\n", timeout=30), processes)]
    lines = [line for output in outputs for line in output.splitlines()]
    (told_at,) = [float(line.split()[1]) for line in lines if line.startswith("told")]
    sent = sorted(float(line) for line in lines if not line.startswith("told"))
    # What was on its way when the 429 came could not know of it.
    assert [at for at in sent if told_at + 0.02 < at < told_at + 1] == []
    assert [at for at in sent if at >= told_at + 1] != []
    assert len([at for at in sent if at <= told_at]) > 100
    resumed = [min(at for line in output.splitlines() if (at := _instant(line)) > told_at + 1) for output in outputs]
    assert max(resumed) - min(resumed) > 0.001  # each at an instant of his own


def _instant(line: str) -> float:
    return 0.0 if line.startswith("told") else float(line)


# Concurrency


def peak_in_flight(throttles: list[SharedThrottle], rounds: int = 5) -> int:
    """Have every member send at once, and see how many were on their way at the same time."""
    lock, in_flight, peak = threading.Lock(), 0, 0

    def send(throttle: SharedThrottle) -> None:
        nonlocal in_flight, peak
        for _ in range(rounds):
            with throttle.slot():
                with lock:
                    in_flight += 1
                    peak = max(peak, in_flight)
                time.sleep(0.01)
                with lock:
                    in_flight -= 1

    with ThreadPoolExecutor(len(throttles)) as pool:
        list(pool.map(send, throttles))
    return peak


def test_no_more_than_the_most_are_in_flight_in_the_whole_fleet(member: Member) -> None:
    assert peak_in_flight([member(most=3) for _ in range(8)]) == 3


def test_the_recommended_parallelism_is_followed_down_and_up(member: Member) -> None:
    members = [member(most=6) for _ in range(8)]
    members[0].heard(Budget(parallelism=2))
    assert peak_in_flight(members) == 2
    members[1].heard(Budget(parallelism=4))
    assert peak_in_flight(members) == 4
    members[2].heard(Budget(parallelism=50))
    assert peak_in_flight(members) == 6


def test_a_concurrency_429_lowers_the_ceiling_once_and_calm_raises_it_again(fleet: Fleet, member: Member) -> None:
    members = [member(most=10) for _ in range(12)]
    for throttle in members[:4]:
        throttle.throttled("concurrency", 0.1)  # all of them for the same burst
    assert peak_in_flight(members) == 7
    with fleet.redis() as redis:
        redis.hincrby(throttle_ceiling(USER), "changed_at", -20_000)
        assert peak_in_flight(members) == 9
        redis.hincrby(throttle_ceiling(USER), "changed_at", -60_000)
        assert peak_in_flight(members) == 10
        assert redis.hget(throttle_ceiling(USER), "lowered") is None


def test_one_request_at_a_time_always_passes(member: Member) -> None:
    throttle = member(most=2)
    for _ in range(5):
        throttle.throttled("concurrency", 0.02)
        seconds_to_pass(throttle)
    assert seconds_to_pass(throttle) < 1


def test_a_request_whose_process_died_gives_its_place_back_in_time(member: Member) -> None:
    dead, alive = member(most=1, hold_seconds=0.4), member(most=1, hold_seconds=0.4)
    abandoned = dead.slot()
    abandoned.__enter__()
    assert 0.2 <= seconds_to_pass(alive) <= 2


def test_a_failed_request_gives_its_place_back_at_once(fleet: Fleet, member: Member) -> None:
    throttle = member(most=1)
    with pytest.raises(ZeroDivisionError), throttle.slot():
        _ = 1 / 0
    with fleet.redis() as redis:
        assert redis.zcard(throttle_inflight(USER)) == 0
    assert seconds_to_pass(throttle) < 0.5


# Pace


@pytest.mark.parametrize("limit", ["requests", "execution_time"])
def test_after_a_429_the_fleet_keeps_just_below_the_documented_rate(member: Member, limit: str) -> None:
    members = [member() for _ in range(3)]
    members[0].throttled(limit, 0.05)
    with ThreadPoolExecutor(3) as pool:
        passed = sum(pool.map(lambda throttle: passes_in(throttle, 1.5), members))
    # 1.45 s at 9.5 a second, and one under way for each at the end.
    assert 8 <= passed <= 17


def test_pacing_ends_when_a_window_went_by_without_another_cause(fleet: Fleet, member: Member) -> None:
    member().throttled("requests", 1)
    with fleet.redis() as redis:
        assert 10_000 < redis.pttl(throttle_pace(USER)) <= 11_000


def test_a_concurrency_429_paces_nobody(fleet: Fleet, member: Member) -> None:
    member().throttled("concurrency", 0.01)
    with fleet.redis() as redis:
        assert not redis.exists(throttle_pace(USER))


@pytest.mark.parametrize(
    ("budget", "slow"),
    [
        (Budget(requests_left=100, seconds_left=20.0), False),
        (Budget(requests_left=11), False),
        (Budget(requests_left=5), True),
        (Budget(seconds_left=1.0), True),
        (Budget(requests_left=100, seconds_left=0.5), True),
        (Budget(), False),
    ],
)
def test_the_fleet_slows_down_before_a_limit_is_hit(member: Member, budget: Budget, slow: bool) -> None:
    first, second = member(), member()
    first.heard(budget)
    passed = passes_in(second, 0.6)
    assert passed < 6 if slow else passed > 30


def test_with_nothing_left_somebody_goes_on_asking(fleet: Fleet) -> None:
    limits = ProtectionLimits(requests=1_000, execution_seconds=200, window_seconds=10)
    throttle = Fleet(fleet.socket, limits).member(time.sleep, time.monotonic)
    throttle.heard(Budget(requests_left=0))
    assert 0.3 <= seconds_to_pass(throttle) < 3
    throttle.close()


def test_room_again_is_noticed_by_all(member: Member) -> None:
    first, second = member(), member()
    first.heard(Budget(requests_left=5))
    seconds_to_pass(second)
    second.heard(Budget(requests_left=90))
    # Paced still, at full pace now, until a window has gone by.
    assert 4 <= passes_in(first, 1) <= 13


# Redis away


def test_without_redis_this_process_obeys_what_it_knows(
    fleet: Fleet, redis_server: RedisServer, member: Member
) -> None:
    throttle, stranger = member(), member()
    seconds_to_pass(throttle)
    redis_server.kill()
    try:
        throttle.throttled("requests", 0.5)
        assert seconds_to_pass(throttle) >= 0.5
        assert seconds_to_pass(stranger) < 0.4
    finally:
        redis_server.start()


def test_a_pause_learned_from_redis_is_obeyed_after_redis_went(
    fleet: Fleet, redis_server: RedisServer, member: Member
) -> None:
    waits = threading.Event()

    def wait(seconds: float) -> None:
        waits.set()
        time.sleep(seconds)

    second = fleet.member(wait, time.monotonic)
    started = time.monotonic()
    member().throttled("requests", 1)
    waiting = threading.Thread(target=seconds_to_pass, args=[second])
    waiting.start()
    assert waits.wait(5)
    redis_server.kill()
    try:
        waiting.join()
        assert time.monotonic() - started >= 1
    finally:
        redis_server.start()
        second.close()


def test_a_frozen_redis_costs_one_time_out_and_then_nothing(redis_server: RedisServer, member: Member) -> None:
    throttle = member()
    redis_server.freeze()
    try:
        first = seconds_to_pass(throttle)
        others = [seconds_to_pass(throttle) for _ in range(10)]
    finally:
        redis_server.thaw()
    assert first < 1
    assert sum(others) < 0.1


def test_redis_is_asked_again_after_a_rest(fleet: Fleet, redis_server: RedisServer, member: Member) -> None:
    now = [0.0]
    throttle = fleet.member(time.sleep, lambda: now[0])
    redis_server.kill()
    try:
        seconds_to_pass(throttle)
    finally:
        redis_server.start()
    member().throttled("requests", 60)
    assert seconds_to_pass(throttle) < 0.2  # not asked yet
    now[0] += REST_SECONDS
    with fleet.redis() as redis:
        redis.delete(throttle_pause(USER), throttle_pace(USER))
        with throttle.slot():
            assert redis.zcard(throttle_inflight(USER)) == 1
    throttle.close()


def test_a_wiped_redis_is_taught_again(fleet: Fleet, member: Member) -> None:
    throttle = member()
    seconds_to_pass(throttle)
    with fleet.redis() as redis:
        redis.flushall()
        redis.script_flush()
        with throttle.slot():
            redis.flushall()
    assert seconds_to_pass(throttle) < 0.2


# Names


def test_the_user_is_named_alike_in_every_process_and_without_a_secret() -> None:
    url, client = "https://org.crm.dynamics.com", "3b9c1d7e-0000-4000-8000-00000000000b"
    assert throttle_user(url, client) == throttle_user(url, client)
    assert throttle_user(url, client) != throttle_user(url, None)
    assert throttle_user(url, client) != throttle_user("https://other.crm.dynamics.com", client)
    assert client not in throttle_user(url, client)
    assert len(throttle_user(url, client)) == 16


def test_the_documented_limits_are_the_documented_ones() -> None:
    assert ProtectionLimits(6_000, 1_200, 300) == DOCUMENTED
    assert DOCUMENTED.full_pace == 19
    assert JITTER_SECONDS <= 2
