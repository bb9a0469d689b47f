"""The poller: leads or stands by, and tick by tick pursues its questions as far as the queue has room."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog

from config.metrics import PollerMetrics
from worker.leadership import RENEW_SECONDS, Leadership
from worker.poller.ports import PollStore
from worker.poller.questions import Found, Question, Travel
from worker.queue import JobQueue

log = structlog.get_logger(__name__)

RECHECK = timedelta(seconds=5)
"""After this long a job is looked at again of which something was found while it was on the queue already."""

FULL_QUEUE_SECONDS = 1.0
"""Between two ticks while found jobs wait for room in the queue."""


class Pursuit:
    """One question under pursuit: what it found and the queue had no room for yet, and where to go on."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._batches: Iterator[Found] | None = None
        self._rest: Found | None = None

    def next_found(self, room: int) -> Found | None:
        """Give up to `room` jobs, asking on where needed; None when the question has no more."""
        found = self._rest or self._advance()
        if found is None:
            return None
        rest = found.ids[room:]
        self._rest = replace(found, ids=rest) if rest else None
        return replace(found, ids=found.ids[:room])

    def _advance(self) -> Found | None:
        self._batches = self._batches or self.question.ask()
        try:
            return next(self._batches)
        except StopIteration:
            self._batches = None
            return None
        except BaseException:
            self._batches = None  # it is asked anew
            raise


class Poller:
    """Ticks until it is stopped."""

    def __init__(
        self,
        questions: Callable[[], Sequence[Question]],
        store: PollStore,
        queue: JobQueue,
        leadership: Leadership,
        metrics: PollerMetrics,
        interval: timedelta,
        max_queued: int,
    ) -> None:
        """Make it.

        Args:
            questions: Makes the questions, anew each time this poller begins to lead: they remember what was asked.
            store: Gives Dataverse's clock.
            queue: Where found jobs go.
            leadership: Decides whether this poller asks or stands by.
            metrics: Where ticks are counted.
            interval: Between two ticks.
            max_queued: Jobs on the queue above which nothing is added.
        """
        self._questions = questions
        self._store = store
        self._queue = queue
        self._leadership = leadership
        self._metrics = metrics
        self._interval = interval.total_seconds()
        self._max_queued = max_queued
        self._term = 0
        self._pursuits: list[Pursuit] = []

    def tick(self) -> str:
        """Ask what there is to ask, once.

        Returns:
            The outcome: ``done``, ``paused`` (the queue is full) or ``standby``.

        Raises:
            Exception: What Redis or the store raise when they are away; the next tick begins where this one did.
        """
        if not self._confirm_lead():
            return self._ended("standby")
        self._metrics.queue_length.set(self._queue.messages_outstanding())
        deadline = time.monotonic() + self._interval
        for pursuit in self._pursuits:
            if not self._pursue(pursuit, deadline):
                return self._ended("paused")
        return self._ended("done")

    def seconds_to_next_tick(self, outcome: str) -> float:
        """Tell how long to wait after a tick; a standby looks at the lock more often than a leader asks."""
        match outcome:
            case "standby":
                return RENEW_SECONDS
            case "paused":
                return min(self._interval, FULL_QUEUE_SECONDS)
            case _:
                return self._interval

    def renew_lead(self) -> None:
        """Keep the lead between two ticks.

        Raises:
            redis.RedisError: When Redis is away.
        """
        if self._leadership.leads:
            self._confirm_lead()

    def resign(self) -> None:
        """Let a standby take over at once.

        Raises:
            redis.RedisError: When Redis is away.
        """
        self._leadership.resign()
        self._metrics.leader.set(0)

    def _confirm_lead(self) -> bool:
        try:
            leads = self._leadership.confirm()
        finally:
            self._metrics.leader.set(int(self._leadership.leads))
        if leads and self._leadership.term != self._term:
            self._term = self._leadership.term
            self._pursuits = [Pursuit(question) for question in self._questions()]
        return leads

    def _pursue(self, pursuit: Pursuit, deadline: float) -> bool:
        """Go on with a question while there is room in the queue and time in the tick.

        Returns:
            False when the queue is full.
        """
        while True:
            room = self._max_queued - self._queue.jobs_queued()
            if room <= 0:
                return False
            found = pursuit.next_found(room)
            if found is None:
                return True
            self._enqueue(found)
            if time.monotonic() > deadline:
                return True
            self.renew_lead()

    def _enqueue(self, found: Found) -> None:
        if not found.ids:
            return
        fresh = self._travelling(found)
        if fresh:
            self._metrics.found.labels(found.source).inc(len(fresh))
            log.info("jobs_found", source=found.source, jobs=len(fresh))

    def _travelling(self, found: Found) -> Sequence[UUID]:
        now = self._store.now()
        match found.travel:
            case Travel.ALONE:
                return [job_id for job_id in found.ids if self._queue.enqueue_rescue(job_id, now)]
            case Travel.IN_CHUNKS:
                fresh = self._queue.enqueue(found.ids, now)
                # Of a job on the queue already something new is known: its task may have looked just before.
                self._queue.look_again(dict.fromkeys(set(found.ids).difference(fresh), now + RECHECK))
                return fresh

    def _ended(self, outcome: str) -> str:
        self._metrics.ticks.labels(outcome).inc()
        self._metrics.last_success.set_to_current_time()
        return outcome
