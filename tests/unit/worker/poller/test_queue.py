"""The queue of jobs, over a real server."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import redis

from config.celery import RESCUE_JOB, SETTLE_JOBS
from tests.builders import NOW
from tests.unit.worker.poller.conftest import Published
from worker.queue import JobQueue
from worker.redis_keys import DUE, QUEUED

MINUTE = timedelta(minutes=1)


def ids(number: int) -> list[UUID]:
    return [uuid4() for _ in range(number)]


def test_jobs_travel_in_chunks_and_in_order(queue: JobQueue, published: Published) -> None:
    jobs = ids(7)

    assert queue.enqueue([*jobs, jobs[0]], NOW) == jobs

    assert [name for name, _ in published.sent] == [SETTLE_JOBS] * 3
    assert [len(argument) for _, argument in published.sent] == [3, 3, 1]
    assert published.jobs() == [str(job) for job in jobs]


def test_a_job_on_the_queue_is_not_queued_again_until_it_is_released(queue: JobQueue, published: Published) -> None:
    (job,) = ids(1)
    queue.enqueue([job], NOW)

    assert queue.enqueue([job], NOW) == []
    assert not queue.enqueue_rescue(job, NOW)
    queue.release([job])
    assert queue.enqueue_rescue(job, NOW)

    assert published.sent == [(SETTLE_JOBS, [str(job)]), (RESCUE_JOB, str(job))]


def test_what_could_not_be_published_is_not_taken_for_queued(queue: JobQueue, published: Published) -> None:
    jobs = ids(5)
    published.failing = True
    with pytest.raises(redis.ConnectionError):
        queue.enqueue(jobs, NOW)

    published.failing = False
    assert queue.enqueue(jobs, NOW) == jobs


def test_a_job_is_due_when_its_instant_has_come_and_only_once(queue: JobQueue) -> None:
    soon, later = ids(2)
    queue.look_again({soon: NOW + MINUTE, later: NOW + 2 * MINUTE})

    assert queue.take_due(NOW, 10) == []
    assert queue.take_due(NOW + MINUTE, 10) == [soon]
    assert queue.take_due(NOW + MINUTE, 10) == []
    assert queue.take_due(NOW + 2 * MINUTE, 10) == [later]


def test_the_earlier_of_two_looks_stands(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.look_again({job: NOW + 5 * MINUTE})
    queue.look_again({job: NOW + MINUTE})
    queue.look_again({job: NOW + 3 * MINUTE})

    assert queue.take_due(NOW + MINUTE, 10) == [job]


def test_a_job_that_has_ended_needs_no_further_look(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.look_again({job: NOW})
    queue.forget([job])

    assert queue.take_due(NOW + MINUTE, 10) == []


def test_a_message_that_is_not_heard_of_is_presumed_lost(queue: JobQueue) -> None:
    (job,) = ids(1)
    queue.enqueue([job], NOW)

    assert queue.take_due(NOW + timedelta(minutes=9), 10) == []
    assert queue.take_due(NOW + timedelta(minutes=10), 10) == [job]
    assert queue.enqueue([job], NOW + timedelta(minutes=10)) == [job]


def test_hinted_are_the_jobs_on_the_queue_or_with_a_next_look(queue: JobQueue) -> None:
    queued, due, unknown = ids(3)
    queue.enqueue([queued], NOW)
    queue.look_again({due: NOW + MINUTE})

    assert queue.hinted([queued, due, unknown]) == {queued, due}
    assert queue.hinted([]) == set()
    assert queue.jobs_queued() == 1


def test_hints_expire_by_themselves(queue: JobQueue, client: redis.Redis) -> None:
    queue.enqueue(ids(1), NOW)
    queue.look_again({ids(1)[0]: NOW})

    assert client.ttl(QUEUED) > 0
    assert client.ttl(DUE) > 0
