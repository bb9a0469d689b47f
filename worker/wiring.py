"""Puts the parts together from the settings. The only place that knows them all."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
import structlog
from celery import Celery

from config.celery import hard_time_limit
from config.metrics import DataverseMetrics, JobMetrics, PollerMetrics
from config.settings import JobsSettings
from config.sources import Settings
from tasks.finish import Finisher
from tasks.handlers import load_handlers
from tasks.rules import Policy
from tasks.settle import Settler
from worker.app import make_app
from worker.dataverse.client import DataverseClient
from worker.dataverse.fleet import DOCUMENTED, FleetState
from worker.dataverse.shared_throttle import SharedThrottle
from worker.dataverse.throttle import Wait
from worker.dataverse.transport import Transport, tls_context
from worker.health import Check
from worker.hints import QueueHints
from worker.identity import worker_name
from worker.leadership import Leadership
from worker.leases import LeaseKeeper
from worker.poller.arrivals import Arrived
from worker.poller.changed import Changed
from worker.poller.due import Due
from worker.poller.loop import Poller
from worker.poller.questions import Question
from worker.poller.rescue import Rescue
from worker.poller.sweep import Sweep
from worker.poller.triage import Triage
from worker.queue import JobQueue
from worker.redis_client import connect
from worker.redis_keys import throttle_user
from worker.signin import tokens_for
from worker.store.jobs import DataverseJobStore
from worker.store.questions import PollQuestions

HOLD_TIMEOUTS = 2
"""A request of a process that died counts as ended after so many time-outs."""

REACH_SECONDS = 5.0
"""How long a probe waits for Dataverse."""


@dataclass(frozen=True, slots=True)
class PollerParts:
    """What a poller's process runs and reports with."""

    poller: Poller
    metrics: PollerMetrics
    client: DataverseClient


def policy_from(jobs: JobsSettings) -> Policy:
    """Turn the operator's settings into the policy of the rules."""
    return Policy(
        types=frozenset(jobs.types),
        packet_idle_timeout=jobs.packet_idle_timeout,
        deadline=jobs.deadline,
        ready_grace=jobs.ready_grace,
        lease=jobs.lease,
        max_attempts=jobs.max_attempts,
    )


def dataverse_client(settings: Settings, metrics: DataverseMetrics, wait: Wait = time.sleep) -> DataverseClient:
    """Make this process's client; it connects when it is first used.

    Args:
        settings: The settings in force.
        metrics: Where requests are counted.
        wait: How a pause is waited for.
    """
    dataverse = settings.dataverse
    transport = Transport(
        dataverse.url,
        dataverse.api_version,
        tokens_for(settings),
        _throttle(settings, wait),
        metrics,
        timeout=dataverse.timeout.total_seconds(),
        ca_file=dataverse.ca_file,
    )
    return DataverseClient(transport, metrics)


def settler_factory(settings: Settings, app: Celery) -> Callable[[], Settler]:
    """Give what makes a settler in each worker process, after the fork.

    Args:
        settings: The settings in force.
        app: The Celery application, which publishes rescues.

    Raises:
        HandlerConfigurationError: When an installed handler cannot be loaded.
    """
    handlers = load_handlers()

    def make() -> Settler:
        worker = worker_name()
        structlog.contextvars.bind_contextvars(worker=worker)
        store = DataverseJobStore(dataverse_client(settings, DataverseMetrics()))
        hints = QueueHints(job_queue(settings, app), store.now, _horizon(settings))
        policy, metrics = policy_from(settings.jobs), JobMetrics()
        leases = LeaseKeeper(store, settings.jobs.lease)
        finisher = Finisher(store, hints, leases, handlers, policy, metrics, settings.jobs.fail_with_action)
        return Settler(store, hints, finisher, policy, worker, metrics)

    return make


@contextmanager
def poller_parts(settings: Settings, stop: threading.Event) -> Iterator[PollerParts]:
    """Put a poller together, and close its connections afterwards.

    Args:
        settings: The settings in force.
        stop: Ends every wait when it is set.
    """
    client = dataverse_client(settings, DataverseMetrics(), stop.wait)
    redis = connect(settings.redis)
    app = make_app(settings)
    metrics = PollerMetrics()
    store = PollQuestions(client)
    queue = job_queue(settings, app)
    poller = Poller(
        questions=lambda: _questions(settings, store, queue, metrics),
        store=store,
        queue=queue,
        leadership=Leadership(redis),
        metrics=metrics,
        interval=settings.poll.interval,
        max_queued=settings.poll.max_queued,
    )
    try:
        yield PollerParts(poller, metrics, client)
    finally:
        client.close()
        redis.close()
        app.close()


def job_queue(settings: Settings, app: Celery) -> JobQueue:
    """Make the job queue; a message counts as lost when neither a task nor its twin can be at it any more."""
    presumed_lost_after = max(settings.jobs.lease, hard_time_limit(settings)) * 2
    return JobQueue(connect(settings.redis), app, settings.jobs.chunk_size, presumed_lost_after)


def dataverse_reachable(settings: Settings) -> Check:
    """Give a check that asks, without a token and so without cost, whether Dataverse answers at all."""
    context = tls_context(settings.dataverse.ca_file)
    address = f"{settings.dataverse.url}/api/data/{settings.dataverse.api_version}/"

    def check() -> str | None:
        try:
            httpx.get(address, verify=context, timeout=REACH_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            return f"{settings.dataverse.url} (JOBWORKER_DATAVERSE__URL) cannot be reached: {type(error).__name__}."
        return None

    return check


def _questions(settings: Settings, store: PollQuestions, queue: JobQueue, metrics: PollerMetrics) -> list[Question]:
    """List the poller's questions in the order of asking; the first answer sets the clock for the others."""
    poll, jobs = settings.poll, settings.jobs
    triage = Triage(queue, policy_from(jobs), _horizon(settings))
    return [
        Changed(store, triage, poll.overlap),
        Arrived(store, triage, poll.overlap),
        Due(store, queue),
        Rescue(store, metrics, jobs.lease),
        Sweep(store, queue, metrics, triage, poll.sweep_interval),
    ]


def _horizon(settings: Settings) -> timedelta:
    """How far ahead a next look is worth a hint: the next sweep but one would find it anyway."""
    return settings.poll.sweep_interval * 2


def _throttle(settings: Settings, wait: Wait) -> SharedThrottle:
    """Share the limits of our user with every process that signs in as it."""
    dataverse = settings.dataverse
    fleet = FleetState(
        connect(settings.redis),
        throttle_user(dataverse.url, settings.auth.client_id),
        most=dataverse.max_connections,
        hold_seconds=dataverse.timeout.total_seconds() * HOLD_TIMEOUTS,
        limits=DOCUMENTED,
    )
    return SharedThrottle(fleet, wait)
