"""One process's pause: obeyed to the end, a little longer for each in his own way, and given up when told to stop."""

import random
import threading

import pytest

from worker.dataverse.budget import Budget, read_budget
from worker.dataverse.errors import StoppedError
from worker.dataverse.throttle import JITTER_SECONDS, JITTER_SHARE, HeldBack, Pause


class Clock:
    """Moves on only when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pause(clock: Clock) -> Pause:
    return Pause(clock.wait, clock)


def sat_out(pause: Pause) -> HeldBack:
    held_back: HeldBack = {}
    pause.sit_out(held_back)
    return held_back


def test_without_a_pause_nobody_waits(pause: Pause, clock: Clock) -> None:
    assert sat_out(pause) == {}
    assert clock.waits == []


@pytest.mark.parametrize("seconds", [0.5, 5.0, 300.0])
def test_a_pause_lasts_as_named_and_a_little_longer(pause: Pause, clock: Clock, seconds: float) -> None:
    pause.begin("requests", seconds)
    held_back = sat_out(pause)
    waited = clock.now - 100.0
    assert seconds <= waited <= seconds + min(seconds * JITTER_SHARE, JITTER_SECONDS)
    assert held_back == {"requests": pytest.approx(waited)}


def test_processes_resume_one_by_one() -> None:
    random.seed(7)
    resumed = set()
    for _ in range(20):
        clock = Clock()
        pause = Pause(clock.wait, clock)
        pause.begin("requests", 10)
        sat_out(pause)
        resumed.add(round(clock.now, 3))
    assert len(resumed) == 20
    assert max(resumed) - min(resumed) > 1


def test_a_shorter_pause_ends_no_longer_one(pause: Pause, clock: Clock) -> None:
    pause.begin("requests", 60)
    pause.begin("concurrency", 1)
    assert set(sat_out(pause)) == {"requests"}
    assert clock.now >= 160


def test_a_pause_that_becomes_longer_meanwhile_is_sat_out(clock: Clock) -> None:
    def wait(seconds: float) -> None:
        if not clock.waits:
            growing.begin("execution_time", 30)
        clock.wait(seconds)

    growing = Pause(wait, clock)
    growing.begin("requests", 5)
    assert set(sat_out(growing)) == {"requests", "execution_time"}
    assert clock.now >= 130


def test_whoever_is_told_to_stop_waits_no_longer() -> None:
    stop = threading.Event()
    pause = Pause(stop.wait)
    pause.begin("requests", 3600)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(StoppedError):
        pause.sit_out({})


@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        ({}, Budget()),
        ({"x-ms-dop-hint": "16"}, Budget(parallelism=16)),
        ({"x-ms-ratelimit-burst-remaining-xrm-requests": "5,998"}, Budget(requests_left=5998)),
        ({"x-ms-ratelimit-time-remaining-xrm-requests": "1,199.93"}, Budget(seconds_left=1199.93)),
        ({"x-ms-dop-hint": "-1", "x-ms-ratelimit-time-remaining-xrm-requests": "nan"}, Budget()),
        ({"x-ms-dop-hint": "lots", "x-ms-ratelimit-burst-remaining-xrm-requests": "1.5"}, Budget()),
    ],
)
def test_what_is_left_is_read_as_far_as_it_can_be(headers: dict[str, str], budget: Budget) -> None:
    assert read_budget(headers) == budget
