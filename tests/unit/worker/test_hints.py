"""The settle flow's hints on their way to the queue: kept within the horizon, and lost without harm."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from celery import Celery
from redis import Redis
from structlog.testing import capture_logs

from sandbox.redis_server import RedisServer
from tests.builders import NOW
from tests.unit.worker.conftest import away, refusing
from worker.hints import QueueHints
from worker.queue import JobQueue

HORIZON = timedelta(hours=2)
MINUTE = timedelta(minutes=1)
MOMENT = timedelta(milliseconds=1)
LOST_AFTER = timedelta(minutes=10)
JOBS = [UUID(int=number) for number in range(1, 4)]

Give = Callable[[QueueHints], None]


class Clock:
    """Dataverse's clock, which goes on when a test says so."""

    def __init__(self) -> None:
        self.instant = NOW

    def now(self) -> datetime:
        return self.instant


@pytest.fixture
def queue(client: Redis, app: Celery) -> JobQueue:
    return JobQueue(client, app, chunk_size=3, presumed_lost_after=LOST_AFTER)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hints(queue: JobQueue, clock: Clock) -> QueueHints:
    return QueueHints(queue, clock.now, HORIZON)


def lost(hint: str, jobs: int, error: str) -> dict[str, object]:
    return {"event": "hint_lost", "log_level": "warning", "hint": hint, "jobs": jobs, "error": error}


# Within and beyond the horizon


def test_a_job_is_looked_at_again_when_its_instant_has_come(hints: QueueHints, queue: JobQueue) -> None:
    job = uuid4()
    hints.look_again(job, NOW + MINUTE)

    assert queue.take_due(NOW + MINUTE - MOMENT, 10) == []
    assert queue.take_due(NOW + MINUTE, 10) == [job]


def test_a_next_look_up_to_the_horizon_is_remembered_and_none_beyond(hints: QueueHints, queue: JobQueue) -> None:
    past, within, beyond = JOBS
    hints.look_again(past, NOW - MINUTE)
    hints.look_again(within, NOW + HORIZON)
    hints.look_again(beyond, NOW + HORIZON + MOMENT)

    assert queue.hinted(JOBS) == {past, within}


def test_the_horizon_moves_with_the_clock(hints: QueueHints, queue: JobQueue, clock: Clock) -> None:
    job = uuid4()
    clock.instant += MINUTE
    hints.look_again(job, NOW + HORIZON + MINUTE)

    assert queue.hinted([job]) == {job}


def test_a_look_beyond_the_horizon_leaves_an_earlier_one_as_it_is(hints: QueueHints, queue: JobQueue) -> None:
    job = uuid4()
    hints.look_again(job, NOW + MINUTE)
    hints.look_again(job, NOW + 2 * HORIZON)

    assert queue.take_due(NOW + MINUTE, 10) == [job]


# To the queue


def test_released_jobs_may_be_queued_again(hints: QueueHints, queue: JobQueue) -> None:
    queue.enqueue(JOBS, NOW)
    hints.release(JOBS[:2])

    assert queue.enqueue(JOBS, NOW) == JOBS[:2]


def test_forgotten_jobs_are_not_looked_at_again(hints: QueueHints, queue: JobQueue) -> None:
    queue.look_again(dict.fromkeys(JOBS, NOW))
    hints.forget(JOBS[:2])

    assert queue.take_due(NOW, 10) == JOBS[2:]


def test_a_job_to_be_rescued_is_queued_from_now_on(hints: QueueHints, queue: JobQueue, clock: Clock) -> None:
    job = uuid4()
    clock.instant += MINUTE
    hints.rescue(job)

    assert queue.messages_outstanding() == 1
    assert queue.take_due(NOW + MINUTE + LOST_AFTER - MOMENT, 10) == []
    assert queue.take_due(NOW + MINUTE + LOST_AFTER, 10) == [job]


def test_a_job_on_the_queue_already_is_not_sent_to_rescue(hints: QueueHints, queue: JobQueue) -> None:
    job = uuid4()
    queue.enqueue([job], NOW)
    with capture_logs() as logged:
        hints.rescue(job)

    assert queue.messages_outstanding() == 1
    assert logged == []


# Lost hints


@pytest.mark.parametrize(
    ("give", "hint", "jobs"),
    [
        (lambda hints: hints.look_again(JOBS[0], NOW), "look_again", 1),
        (lambda hints: hints.release(JOBS), "release", 3),
        (lambda hints: hints.forget(JOBS), "forget", 3),
        (lambda hints: hints.rescue(JOBS[0]), "rescue", 1),
    ],
    ids=["look_again", "release", "forget", "rescue"],
)
def test_without_redis_a_hint_is_lost_with_a_log_line_and_no_error(
    hints: QueueHints, queue: JobQueue, redis_server: RedisServer, give: Give, hint: str, jobs: int
) -> None:
    with capture_logs() as logged:
        with away(redis_server):
            give(hints)
        give(hints)  # Redis is back

    assert logged == [lost(hint, jobs, "ConnectionError")]


def test_a_rescue_that_cannot_be_published_is_lost_and_may_be_tried_again(
    hints: QueueHints, queue: JobQueue, client: Redis
) -> None:
    job = uuid4()
    with capture_logs() as logged, refusing(client, "lpush"):
        hints.rescue(job)

    assert logged == [lost("rescue", 1, "OperationalError")]
    assert queue.hinted([job]) == set()
    hints.rescue(job)
    assert queue.messages_outstanding() == 1


def test_a_hint_that_redis_refuses_is_lost_with_a_log_line(hints: QueueHints, queue: JobQueue, client: Redis) -> None:
    queue.enqueue(JOBS, NOW)
    with capture_logs() as logged, refusing(client, "zrem"):
        hints.release(JOBS)

    assert logged == [lost("release", 3, "NoPermissionError")]


def test_with_nothing_to_tell_redis_is_not_needed(hints: QueueHints, redis_server: RedisServer) -> None:
    with capture_logs() as logged, away(redis_server):
        hints.release([])
        hints.forget([])
        hints.look_again(JOBS[0], NOW + HORIZON + MOMENT)

    assert logged == []
