"""The poller's loop: who leads asks, as far as the queue has room."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import redis
from prometheus_client import CollectorRegistry

from config.metrics import PollerMetrics
from tests.unit.worker.poller.conftest import Published, Rows
from worker.leadership import Leadership
from worker.poller.loop import Poller
from worker.poller.questions import Found, Question
from worker.queue import JobQueue


class Asked:
    """A question that finds what it is given."""

    def __init__(self, *batches: Sequence[UUID], error: Exception | None = None) -> None:
        self.batches = batches
        self.error = error
        self.finished = 0

    def ask(self) -> Iterator[Found]:
        for batch in self.batches:
            yield Found("ready", batch)
        if self.error:
            raise self.error
        self.finished += 1


def a_poller(
    rows: Rows, queue: JobQueue, client: redis.Redis, *questions: Question, max_queued: int = 100
) -> tuple[Poller, PollerMetrics]:
    metrics = PollerMetrics(CollectorRegistry())
    made = Poller(lambda: questions, rows, queue, Leadership(client), metrics, timedelta(seconds=5), max_queued)
    return made, metrics


def ids(number: int) -> list[UUID]:
    return [uuid4() for _ in range(number)]


def test_one_poller_leads_and_the_other_stands_by(rows: Rows, queue: JobQueue, client: redis.Redis) -> None:
    question = Asked(ids(1))
    (leader, metrics), (standby, _) = (a_poller(rows, queue, client, question) for _ in range(2))

    assert (leader.tick(), standby.tick()) == ("done", "standby")
    assert metrics.leader._value.get() == 1
    leader.resign()
    assert standby.tick() == "done"


def test_a_full_queue_makes_the_poller_wait_and_nothing_is_forgotten(
    rows: Rows, queue: JobQueue, client: redis.Redis, published: Published
) -> None:
    jobs = ids(7)
    question = Asked(jobs[:5], jobs[5:])
    poller, _ = a_poller(rows, queue, client, question, max_queued=3)

    assert poller.tick() == "paused"
    assert published.jobs() == [str(job) for job in jobs[:3]]
    assert question.finished == 0
    queue.release(jobs)
    assert poller.tick() == "paused"
    queue.release(jobs)
    assert poller.tick() == "done"

    assert published.jobs() == [str(job) for job in jobs]
    assert poller.seconds_to_next_tick("paused") < poller.seconds_to_next_tick("done")


def test_a_question_that_fails_is_asked_anew_at_the_next_tick(
    rows: Rows, queue: JobQueue, client: redis.Redis, published: Published
) -> None:
    question = Asked(ids(2), error=RuntimeError("away"))
    poller, _ = a_poller(rows, queue, client, question)

    with pytest.raises(RuntimeError):
        poller.tick()
    question.error = None

    assert poller.tick() == "done"
    assert len(published.jobs()) == 2


def test_a_job_that_is_on_the_queue_already_is_looked_at_again_soon(
    rows: Rows, queue: JobQueue, client: redis.Redis
) -> None:
    (job,) = ids(1)
    queue.enqueue([job], rows.clock)
    poller, _ = a_poller(rows, queue, client, Asked([job]))

    poller.tick()

    assert queue.take_due(rows.clock + timedelta(seconds=5), 10) == [job]


def test_a_new_term_begins_with_questions_that_remember_nothing(
    rows: Rows, queue: JobQueue, client: redis.Redis
) -> None:
    made = []

    def questions() -> Sequence[Question]:
        made.append(Asked())
        return made[-1:]

    poller = Poller(
        questions, rows, queue, Leadership(client), PollerMetrics(CollectorRegistry()), timedelta(seconds=5), 10
    )
    poller.tick()
    poller.tick()
    client.flushall()
    poller.tick()

    assert [one.finished for one in made] == [2, 1]


def test_a_lock_that_somebody_else_took_is_not_given_back(rows: Rows, queue: JobQueue, client: redis.Redis) -> None:
    (first, metrics), (second, _) = (a_poller(rows, queue, client) for _ in range(2))
    first.tick()
    client.flushall()
    second.tick()

    first.resign()

    assert second.tick() == "done"
    assert first.tick() == "standby"
    assert metrics.leader._value.get() == 0
