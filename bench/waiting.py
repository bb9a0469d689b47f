"""What the service asks of Dataverse while jobs only wait: it must follow what happens, not how many there are."""

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.table import Table

from sandbox.demo.processes import Family, Process, free_port, read_ready_line
from sandbox.demo.service import ControlSurface, service_settings
from sandbox.redis_server import RedisServer
from tests.integration.service import metrics_of, wait_for

WAITING = (0, 1_000, 100_000)
TICKS = 20
SETTINGS = {
    "JOBWORKER_POLL__INTERVAL": "500ms",
    "JOBWORKER_POLL__SWEEP_INTERVAL": "1h",
    "JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT": "2d",
    "JOBWORKER_JOBS__DEADLINE": "7d",
    "JOBWORKER_LOG__LEVEL": "INFO",
}


@dataclass(frozen=True, slots=True)
class Idle:
    """What was asked while so many jobs waited: in the first sweep, and a tick afterwards; and what Redis held."""

    waiting: int
    sweep_requests: int
    requests_per_tick: float
    redis_bytes: int


def measure(waiting: int) -> Idle:
    """Let a poller tick over waiting jobs of which nothing is heard."""
    with tempfile.TemporaryDirectory(prefix="jw-") as folder, RedisServer(Path(folder) / "redis") as server:
        family = Family(Path(folder))
        try:
            seed = ["--seed", str(waiting), "--seed-kinds", "waiting_missing", "--seed-age", "7200"] if waiting else []
            arguments = ["sandbox", "--port", "0", "--json", "--no-limits", *seed]
            ready = read_ready_line(family.start("sandbox", arguments, {}, stdout=-1))
            port = free_port()
            environment = {**service_settings(ready, server.url), **SETTINGS, "JOBWORKER_METRICS__PORT": str(port)}
            poller = family.start("poller", ["worker", "poll"], environment, metrics_port=port)
            with contextlib.closing(ControlSurface(ready["url"], ready["ca_file"])) as sandbox:
                return _watch(poller, sandbox, server.url, waiting)
        finally:
            family.stop()


def table(figures: list[Idle]) -> Table:
    """Draw the figures side by side."""
    made = Table(title="While jobs only wait", title_justify="left")
    for heading in ("waiting jobs", "requests of the first sweep", "requests a tick, afterwards", "bytes in Redis"):
        made.add_column(heading, justify="right")
    for one in figures:
        cells = (f"{one.waiting:,}", f"{one.sweep_requests}", f"{one.requests_per_tick:.2f}", f"{one.redis_bytes:,}")
        made.add_row(*cells)
    return made


def _watch(poller: Process, sandbox: ControlSurface, redis_url: str, waiting: int) -> Idle:
    def swept() -> bool:
        poller.ensure_running()
        return '"swept"' in poller.log_file.read_text()

    wait_for(swept, 120 + waiting / 1000, poller.last_words)
    after_sweep, ticks = sandbox.get("stats")["requests"], _ticks(poller)
    wait_for(lambda: _ticks(poller) >= ticks + TICKS, 120)
    asked, ticked = sandbox.get("stats")["requests"] - after_sweep, _ticks(poller) - ticks
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        used = sum(client.memory_usage(key) or 0 for key in client.scan_iter())
    return Idle(waiting, after_sweep, asked / ticked, used)


def _ticks(poller: Process) -> float:
    return metrics_of(poller).get('jobworker_poll_ticks_total{outcome="done"}', 0.0)
