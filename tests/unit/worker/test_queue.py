"""The queue of jobs, published by the real Celery application onto a real server and read back from there raw."""

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery, signals
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from config.celery import QUEUE, RESCUE_JOB, SETTLE_JOBS
from sandbox.redis_server import RedisServer
from tests.builders import NOW
from tests.unit.worker.conftest import away, refusing
from worker.queue import JobQueue
from worker.redis_keys import CELERY_QUEUE, DUE, HINTS_TTL, QUEUED

MINUTE = timedelta(minutes=1)
MOMENT = timedelta(milliseconds=1)
LOST_AFTER = timedelta(minutes=10)
CHUNK_SIZE = 3


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stands in Redis."""

    envelope: dict[str, Any]

    @property
    def task(self) -> str:
        name: str = self.envelope["headers"]["task"]
        return name

    @property
    def body(self) -> list[Any]:
        read: list[Any] = json.loads(base64.b64decode(self.envelope["body"]))
        return read

    @property
    def argument(self) -> Any:
        arguments, keywords, _ = self.body
        assert keywords == {}
        (only,) = arguments
        return only


@pytest.fixture
def queue(client: Redis, app: Celery) -> JobQueue:
    return JobQueue(client, app, CHUNK_SIZE, LOST_AFTER)


def ids(number: int) -> list[UUID]:
    return [uuid4() for _ in range(number)]


def texts(jobs: list[UUID]) -> list[str]:
    return [str(job) for job in jobs]


def waiting(client: Redis) -> list[Message]:
    """Read the messages that no worker has taken, the oldest first, and leave them there."""
    return [Message(json.loads(raw)) for raw in reversed(client.lrange(CELERY_QUEUE, 0, -1))]


def sent(client: Redis) -> list[tuple[str, Any]]:
    return [(message.task, message.argument) for message in waiting(client)]


@contextlib.contextmanager
def at_publish(number: int, happens: Callable[[], object]) -> Iterator[None]:
    """Have something happen just before the numbered message is sent, the first being 1."""
    published = 0

    def receiver(**_: object) -> None:
        nonlocal published
        published += 1
        if published == number:
            happens()

    signals.before_task_publish.connect(receiver, weak=False)
    try:
        yield
    finally:
        signals.before_task_publish.disconnect(receiver)


def interrupted() -> None:
    raise KeyboardInterrupt


# Onto the queue


def test_jobs_travel_in_chunks_and_in_order(queue: JobQueue, client: Redis) -> None:
    jobs = ids(7)

    assert queue.enqueue(iter(jobs), NOW) == jobs

    expected = [(SETTLE_JOBS, texts(jobs[start : start + 3])) for start in (0, 3, 6)]
    assert sent(client) == expected


def test_a_job_that_is_named_twice_travels_once(queue: JobQueue, client: Redis) -> None:
    first, second = ids(2)

    assert queue.enqueue([first, second, first, first, second], NOW) == [first, second]

    assert sent(client) == [(SETTLE_JOBS, texts([first, second]))]


def test_a_job_on_the_queue_is_left_out_and_the_others_travel(queue: JobQueue, client: Redis) -> None:
    there, *others = ids(5)
    queue.enqueue([there], NOW)

    assert queue.enqueue([*others[:2], there, *others[2:]], NOW + MINUTE) == others

    assert sent(client)[1:] == [(SETTLE_JOBS, texts(others[:3])), (SETTLE_JOBS, texts(others[3:]))]


def test_when_all_are_on_the_queue_already_nothing_is_sent(queue: JobQueue, client: Redis) -> None:
    jobs = ids(2)
    queue.enqueue(jobs, NOW)

    assert queue.enqueue(jobs, NOW) == []
    assert queue.enqueue([], NOW) == []

    assert len(waiting(client)) == 1


def test_a_rescue_travels_alone(queue: JobQueue, client: Redis) -> None:
    first, second = ids(2)

    assert queue.enqueue_rescue(first, NOW)
    assert queue.enqueue_rescue(second, NOW)

    assert sent(client) == [(RESCUE_JOB, str(first)), (RESCUE_JOB, str(second))]


def test_a_job_on_the_queue_is_not_sent_to_rescue_nor_the_other_way_round(queue: JobQueue, client: Redis) -> None:
    settling, rescued = ids(2)
    queue.enqueue([settling], NOW)
    queue.enqueue_rescue(rescued, NOW)

    assert not queue.enqueue_rescue(settling, NOW)
    assert not queue.enqueue_rescue(rescued, NOW)
    assert queue.enqueue([rescued], NOW) == []

    assert sent(client) == [(SETTLE_JOBS, texts([settling])), (RESCUE_JOB, str(rescued))]


def test_a_released_job_may_travel_again_and_no_other(queue: JobQueue, client: Redis) -> None:
    released, kept = ids(2)
    queue.enqueue([released, kept], NOW)
    queue.release([released])
    queue.release([])

    assert queue.enqueue([kept, released], NOW) == [released]

    assert [argument for _, argument in sent(client)] == [texts([released, kept]), texts([released])]


def test_two_pollers_at_once_send_a_job_once(queue: JobQueue, client: Redis, app: Celery) -> None:
    jobs = ids(4)
    other = JobQueue(client, app, CHUNK_SIZE, LOST_AFTER)

    with at_publish(1, lambda: other.enqueue(jobs, NOW)):  # while the first is between its marks and its message
        assert queue.enqueue(jobs, NOW) == jobs

    assert [job for _, argument in sent(client) for job in argument] == texts(jobs)


# On the wire


def test_a_message_is_json_and_holds_nothing_but_ids(queue: JobQueue, client: Redis) -> None:
    job, rescued = ids(2)
    queue.enqueue([job], NOW)
    queue.enqueue_rescue(rescued, NOW)

    settle, rescue = waiting(client)
    for message in (settle, rescue):
        assert message.envelope["content-type"] == "application/json"
        assert message.envelope["content-encoding"] == "utf-8"
        assert all(value is None for value in message.body[2].values())  # no callbacks, no chain
    assert settle.body[:2] == [[[str(job)]], {}]
    assert rescue.body[:2] == [[str(rescued)], {}]


def test_a_message_is_to_be_taken_at_once_and_never_expires(queue: JobQueue, client: Redis) -> None:
    queue.enqueue(ids(4), NOW)
    queue.enqueue_rescue(ids(1)[0], NOW)

    headers = [message.envelope["headers"] for message in waiting(client)]
    assert [(each["eta"], each["expires"]) for each in headers] == [(None, None)] * 3


# When to look again


def test_a_job_is_due_when_its_instant_has_come_and_not_before(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.look_again({job: NOW + MINUTE})

    assert queue.take_due(NOW + MINUTE - MOMENT, 10) == []
    assert queue.take_due(NOW + MINUTE, 10) == [job]


@pytest.mark.parametrize("minutes", [(5, 1), (1, 5), (3, 1, 5)])
def test_the_earliest_of_several_instants_stands(queue: JobQueue, minutes: tuple[int, ...]) -> None:
    (job,) = ids(1)
    for number in minutes:
        queue.look_again({job: NOW + number * MINUTE})

    assert queue.take_due(NOW + MINUTE - MOMENT, 10) == []
    assert queue.take_due(NOW + MINUTE, 10) == [job]
    assert queue.take_due(NOW + 10 * MINUTE, 10) == []


def test_the_longest_due_come_first_and_no_more_than_asked_for(queue: JobQueue) -> None:
    jobs = ids(5)
    for minute in (3, 0, 4, 2, 1):
        queue.look_again({jobs[minute]: NOW + minute * MINUTE})

    assert queue.take_due(NOW + 3 * MINUTE, 3) == jobs[:3]
    assert queue.take_due(NOW + 3 * MINUTE, 3) == jobs[3:4]


def test_what_was_taken_is_due_no_more(queue: JobQueue) -> None:
    jobs = ids(3)
    queue.look_again(dict.fromkeys(jobs, NOW))

    assert set(queue.take_due(NOW, 10)) == set(jobs)
    assert queue.take_due(NOW + MINUTE, 10) == []
    assert queue.hinted(jobs) == set()


def test_what_was_taken_can_be_due_again_later(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.look_again({job: NOW})
    queue.take_due(NOW, 10)
    queue.look_again({job: NOW + MINUTE})

    assert queue.take_due(NOW + MINUTE, 10) == [job]


def test_a_job_that_is_forgotten_is_not_looked_at_again_and_others_are(queue: JobQueue) -> None:
    forgotten, other = ids(2)
    queue.look_again({forgotten: NOW, other: NOW})
    queue.look_again({})
    queue.forget([forgotten])
    queue.forget([])

    assert queue.take_due(NOW, 10) == [other]


def test_to_forget_a_next_look_does_not_take_a_job_off_the_queue(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.enqueue([job], NOW)
    queue.forget([job])

    assert queue.enqueue([job], NOW) == []


# Lost messages


@pytest.mark.parametrize("rescue", [False, True])
def test_a_message_is_presumed_lost_after_its_time_and_not_before(queue: JobQueue, rescue: bool) -> None:
    (job,) = ids(1)
    if rescue:
        queue.enqueue_rescue(job, NOW)
    else:
        queue.enqueue([job], NOW)

    assert queue.take_due(NOW + LOST_AFTER - MOMENT, 10) == []
    assert queue.take_due(NOW + LOST_AFTER, 10) == [job]
    assert queue.take_due(NOW + LOST_AFTER, 10) == []
    assert queue.enqueue([job], NOW + LOST_AFTER) == [job]


def test_to_ask_again_for_a_job_on_the_queue_does_not_put_its_loss_off(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.enqueue([job], NOW)
    queue.enqueue([job], NOW + 9 * MINUTE)
    queue.enqueue_rescue(job, NOW + 9 * MINUTE)

    assert queue.take_due(NOW + LOST_AFTER, 10) == [job]


def test_lost_messages_come_back_the_oldest_first_and_no_more_than_asked_for(queue: JobQueue) -> None:
    jobs = ids(4)
    for minute in (2, 0, 3, 1):
        queue.enqueue([jobs[minute]], NOW + minute * MINUTE)

    assert queue.take_due(NOW + LOST_AFTER + 2 * MINUTE, 2) == jobs[:2]
    assert queue.take_due(NOW + LOST_AFTER + 2 * MINUTE, 2) == jobs[2:3]


def test_the_limit_is_for_each_of_the_due_and_the_lost(queue: JobQueue) -> None:
    due, lost = ids(3), ids(3)
    queue.look_again(dict.fromkeys(due, NOW))
    queue.enqueue(lost, NOW - LOST_AFTER)

    taken = queue.take_due(NOW, 2)

    assert (len(set(taken) & set(due)), len(set(taken) & set(lost)), len(taken)) == (2, 2, 4)


def test_a_job_that_is_due_and_whose_message_is_lost_is_given_once_and_is_neither_any_more(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.enqueue([job], NOW - LOST_AFTER)
    queue.look_again({job: NOW})

    assert queue.take_due(NOW, 10) == [job]
    assert queue.hinted([job]) == set()


def test_a_due_job_is_on_the_queue_still_while_its_message_is_not_lost(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.enqueue([job], NOW)
    queue.look_again({job: NOW})

    assert queue.take_due(NOW, 10) == [job]
    assert queue.enqueue([job], NOW) == []


# What is known


def test_hinted_are_the_jobs_on_the_queue_or_with_a_next_look(queue: JobQueue) -> None:
    queued, rescued, due, both, released, forgotten, unknown = jobs = ids(7)
    queue.enqueue([queued, both, released], NOW)
    queue.enqueue_rescue(rescued, NOW)
    queue.look_again(dict.fromkeys([due, both, forgotten], NOW + MINUTE))
    queue.release([released])
    queue.forget([forgotten])

    assert queue.hinted(jobs) == {queued, rescued, due, both}
    assert queue.hinted([unknown]) == set()
    assert queue.hinted([]) == set()


def test_the_jobs_in_messages_are_counted(queue: JobQueue) -> None:
    assert queue.jobs_queued() == 0
    jobs = ids(7)
    queue.enqueue(jobs, NOW)
    assert queue.jobs_queued() == 7
    queue.release(jobs[:2])
    assert queue.jobs_queued() == 5


def test_a_queue_full_of_messages_is_full_though_the_jobs_are_forgotten(queue: JobQueue, client: Redis) -> None:
    queue.enqueue(ids(7), NOW)
    client.delete(QUEUED)

    assert queue.jobs_queued() == 3


def test_messages_are_outstanding_until_they_are_acknowledged(queue: JobQueue, client: Redis, app: Celery) -> None:
    assert queue.messages_outstanding() == 0
    queue.enqueue(ids(7), NOW)
    assert queue.messages_outstanding() == 3

    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get(QUEUE)  # type: ignore[attr-defined]  # not in its stubs
        assert message is not None
        assert len(waiting(client)) == 2
        assert queue.messages_outstanding() == 3
        message.ack()

    assert queue.messages_outstanding() == 2


# When something fails


def test_when_a_publish_fails_the_jobs_without_a_message_are_released(queue: JobQueue, client: Redis) -> None:
    jobs = ids(8)
    refusal = contextlib.ExitStack()

    with (
        refusal,
        at_publish(2, lambda: refusal.enter_context(refusing(client, "lpush"))),
        pytest.raises(OperationalError),
    ):
        queue.enqueue(jobs, NOW)

    assert sent(client) == [(SETTLE_JOBS, texts(jobs[:3]))]
    assert queue.hinted(jobs) == set(jobs[:3])
    assert queue.enqueue(jobs, NOW) == jobs[3:]


def test_a_failed_publish_releases_no_job_that_another_message_holds(queue: JobQueue, client: Redis) -> None:
    there, fresh = ids(2)
    queue.enqueue([there], NOW)

    with refusing(client, "lpush"), pytest.raises(OperationalError):
        queue.enqueue([there, fresh], NOW)

    assert queue.hinted([there, fresh]) == {there}


def test_a_rescue_that_could_not_be_sent_may_be_sent_again(queue: JobQueue, client: Redis) -> None:
    (job,) = ids(1)

    with refusing(client, "lpush"), pytest.raises(OperationalError):
        queue.enqueue_rescue(job, NOW)

    assert queue.enqueue_rescue(job, NOW)
    assert sent(client) == [(RESCUE_JOB, str(job))]


def test_a_publish_that_is_broken_off_leaves_no_job_marked_without_a_message(queue: JobQueue, client: Redis) -> None:
    jobs = ids(4)

    with at_publish(2, interrupted), pytest.raises(KeyboardInterrupt):
        queue.enqueue(jobs, NOW)

    assert len(waiting(client)) == 1
    assert queue.hinted(jobs) == set(jobs[:3])


def test_with_redis_away_everything_raises_and_works_again_when_it_is_back(
    queue: JobQueue, client: Redis, redis_server: RedisServer
) -> None:
    jobs = ids(2)
    calls: list[Callable[[], object]] = [
        lambda: queue.enqueue(jobs, NOW),
        lambda: queue.enqueue_rescue(jobs[0], NOW),
        lambda: queue.release(jobs),
        lambda: queue.forget(jobs),
        lambda: queue.look_again({jobs[0]: NOW}),
        lambda: queue.take_due(NOW, 10),
        lambda: queue.hinted(jobs),
        queue.jobs_queued,
        queue.messages_outstanding,
    ]

    with away(redis_server):
        for call in calls:
            with pytest.raises(RedisError):
                call()

    assert queue.enqueue(jobs, NOW) == jobs
    assert sent(client) == [(SETTLE_JOBS, texts(jobs))]


# Time to live


@pytest.mark.parametrize("key", [QUEUED, DUE])
def test_hints_live_for_a_day_and_every_write_renews_that(queue: JobQueue, client: Redis, key: str) -> None:
    def write() -> None:
        if key == QUEUED:
            queue.enqueue(ids(1), NOW)
        else:
            queue.look_again({ids(1)[0]: NOW})

    write()
    day = HINTS_TTL.total_seconds()
    assert day - 60 < client.ttl(key) <= day

    client.expire(key, 60)
    write()
    assert client.ttl(key) > day - 60


def test_every_key_of_this_project_has_a_time_to_live(queue: JobQueue, client: Redis) -> None:
    jobs = ids(4)
    queue.enqueue(jobs, NOW)
    queue.look_again(dict.fromkeys(jobs, NOW))
    queue.take_due(NOW, 2)
    queue.release(jobs[:1])
    queue.enqueue_rescue(jobs[0], NOW)

    ours = {key: client.ttl(key) for key in client.scan_iter("jobworker:*")}
    assert ours.keys() == {QUEUED, DUE}
    assert all(seconds > 0 for seconds in ours.values())
