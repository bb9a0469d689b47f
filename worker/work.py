"""The worker's process: a Celery worker with prefork children, its metrics and its health.

Import it only once PROMETHEUS_MULTIPROC_DIR is set: prometheus-client decides at import how it keeps its values.
"""

import os
import socket

import structlog
from billiard import current_process
from celery import Celery, signals
from celery.apps.worker import Worker
from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector
from redis.exceptions import RedisError

from config.metrics import BuildMetrics, DataverseMetrics
from config.sources import Settings
from tasks.celery_tasks import provide_settler
from worker.app import make_app
from worker.health import Cached, Check, Checks, HealthServer, Heartbeat
from worker.identity import program_version
from worker.preflight import ensure_let_in
from worker.redis_client import connect, describe_failure
from worker.wiring import dataverse_client, dataverse_reachable, settler_factory

log = structlog.get_logger(__name__)

DEFAULT_PORT = 9465
LONGEST_SILENCE_SECONDS = 60.0
"""Celery's consumer loop beats every two seconds; silent for longer while Redis answers, it is stuck."""

PROBE_SECONDS = 15.0
"""How long an answer about Redis or Dataverse serves the probes."""


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM (which drains) or SIGQUIT.

    Args:
        settings: The settings in force.

    Returns:
        The exit code of Celery's worker.

    Raises:
        SettingsError: When we are not let in, or the metrics address cannot be listened on.
    """
    _keep_metrics_by_slot()
    _look_in(settings)
    app = make_app(settings)
    provide_settler(settler_factory(settings, app))
    BuildMetrics().build_info.labels(program_version()).set(1)
    health = _health(settings)
    health.start()
    log.info("worker_started", version=program_version(), metrics=f"{settings.metrics.host}:{health.port}")
    try:
        return _run_celery(app)
    finally:
        health.stop()
        log.info("worker_stopped")


def _keep_metrics_by_slot() -> None:
    """Have a child go on counting in the files of the one that it replaces.

    Files by process id, prometheus-client's own way, would pile up with every child that is recycled or killed.
    """
    slots = values.MultiProcessValue(lambda: getattr(current_process(), "index", "main"))  # type: ignore[no-untyped-call]
    values.ValueClass = slots


def _look_in(settings: Settings) -> None:
    """Take the look before the fork, with a client of its own: the children make theirs."""
    client = dataverse_client(settings, DataverseMetrics(CollectorRegistry()))
    try:
        ensure_let_in(client)
    finally:
        client.close()


def _run_celery(app: Celery) -> int:
    worker = Worker(
        app=app,
        hostname=f"jobworker-{os.getpid()}@{socket.gethostname()}",
        pool_cls="prefork",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _health(settings: Settings) -> HealthServer:
    redis_check = Cached(_redis_check(settings), PROBE_SECONDS)
    heartbeat = Heartbeat(LONGEST_SILENCE_SECONDS)
    signals.heartbeat_sent.connect(lambda **_: heartbeat.beat(), weak=False)

    def consumer_loop() -> str | None:
        # Without Redis the loop waits for it, as it should: a restart would not help.
        return heartbeat.check() if redis_check() is None else None

    checks = Checks(
        alive={"consumer": consumer_loop},
        ready={"redis": redis_check, "dataverse": Cached(dataverse_reachable(settings), PROBE_SECONDS)},
    )
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    port = DEFAULT_PORT if settings.metrics.port is None else settings.metrics.port
    return HealthServer(settings.metrics.host, port, checks, registry)


def _redis_check(settings: Settings) -> Check:
    redis = connect(settings.redis)

    def check() -> str | None:
        try:
            redis.ping()
        except RedisError as error:
            return describe_failure(error, settings.redis)
        return None

    return check
