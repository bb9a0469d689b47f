"""The poller's process: ticks until it is told to stop, and says on /readyz whether it can."""

import signal
import threading
import time
import uuid
from types import FrameType

import structlog
from kombu.exceptions import OperationalError
from prometheus_client import REGISTRY
from redis.exceptions import RedisError

from config.metrics import BuildMetrics, PollerMetrics
from config.sources import Settings
from worker.dataverse.errors import DataverseError
from worker.health import Checks, HealthServer, Heartbeat
from worker.identity import program_version
from worker.leadership import RENEW_SECONDS
from worker.poller.loop import Poller
from worker.preflight import ensure_let_in
from worker.redis_client import describe_failure
from worker.wiring import PollerParts, poller_parts

log = structlog.get_logger(__name__)

DEFAULT_PORT = 9464
LONGEST_TICK_SECONDS = 600.0
"""A tick that takes longer counts as stuck: above Dataverse's longest documented Retry-After."""


class PollProcess:
    """Runs a poller in the foreground of a process."""

    def __init__(self, parts: PollerParts, settings: Settings) -> None:
        self._settings = settings
        self._metrics: PollerMetrics = parts.metrics
        self._poller: Poller = parts.poller
        self._heartbeat = Heartbeat(LONGEST_TICK_SECONDS)
        self._failure: str | None = "it has not ticked yet"

    def checks(self) -> Checks:
        """Give what this process answers about itself."""
        return Checks(
            alive={"loop": self._heartbeat.check},
            ready={"last_tick": lambda: self._failure},
        )

    def run(self, stop: threading.Event) -> None:
        """Tick until stopped, then hand the lead on."""
        while not stop.is_set():
            self._wait(stop, self.tick())
        try:
            self._poller.resign()
        except RedisError as error:
            log.info("lead_left_to_expire", error=type(error).__name__)

    def tick(self) -> float:
        """Tick once; an error is logged, counted, and shown on /readyz.

        Returns:
            Seconds to the next tick.
        """
        self._heartbeat.beat()
        with structlog.contextvars.bound_contextvars(correlation_id=str(uuid.uuid4())):
            return self._tick()

    def _tick(self) -> float:
        try:
            outcome = self._poller.tick()
        except (RedisError, OperationalError) as error:
            known = error if isinstance(error, RedisError) else RedisError()
            self._failed(describe_failure(known, self._settings.redis), error)
            return self._poller.seconds_to_next_tick("error")
        except DataverseError as error:
            self._failed(str(error), error)
            return self._poller.seconds_to_next_tick("error")
        self._failure = None
        return self._poller.seconds_to_next_tick(outcome)

    @property
    def failure(self) -> str | None:
        """What went wrong in the last tick, in one sentence; None when nothing did."""
        return self._failure

    def _failed(self, sentence: str, error: Exception) -> None:
        self._failure = sentence
        self._metrics.ticks.labels("error").inc()
        log.error("tick_failed", error=type(error).__name__, message=sentence)

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        """Wait, keeping the lead meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, RENEW_SECONDS)):
            self._heartbeat.beat()
            try:
                self._poller.renew_lead()
            except RedisError as error:
                log.warning("lead_not_renewed", error=type(error).__name__)


def run_poller(settings: Settings) -> None:
    """Run the poller until SIGTERM or SIGINT.

    Args:
        settings: The settings in force.

    Raises:
        SettingsError: When we are not let in, or the metrics address cannot be listened on.
    """
    stop = _stop_on_signals()
    BuildMetrics().build_info.labels(program_version()).set(1)
    with poller_parts(settings, stop) as parts:
        ensure_let_in(parts.client)
        process = PollProcess(parts, settings)
        port = DEFAULT_PORT if settings.metrics.port is None else settings.metrics.port
        health = HealthServer(settings.metrics.host, port, process.checks(), REGISTRY)
        health.start()
        log.info("poller_started", version=program_version(), metrics=f"{settings.metrics.host}:{health.port}")
        try:
            process.run(stop)
        finally:
            health.stop()
    log.info("poller_stopped")


def poll_once(settings: Settings) -> str | None:
    """Tick once and exit.

    Args:
        settings: The settings in force.

    Returns:
        What went wrong, in one sentence; None when nothing did.
    """
    with poller_parts(settings, _stop_on_signals()) as parts:
        process = PollProcess(parts, settings)
        process.tick()
        parts.poller.resign()
        return process.failure


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, note)
    return stop
