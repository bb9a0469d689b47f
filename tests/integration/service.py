"""The service as an operator runs it: real processes, a real Redis-protocol server, the sandbox over HTTPS."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from sandbox.demo.processes import Family, Process, clean_environment, free_port
from sandbox.demo.service import ControlSurface, health, service_settings, start_sandbox
from sandbox.redis_server import RedisServer
from tests.integration.neighbour import Neighbour

QUICK: Mapping[str, str] = {
    "JOBWORKER_POLL__INTERVAL": "300ms",
    "JOBWORKER_POLL__OVERLAP": "3s",
    "JOBWORKER_POLL__SWEEP_INTERVAL": "5s",
    "JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT": "6s",
    "JOBWORKER_JOBS__READY_GRACE": "3s",
    "JOBWORKER_JOBS__LEASE": "6s",
    "JOBWORKER_WORK__SHUTDOWN_TIMEOUT": "1s",
    "JOBWORKER_LOG__LEVEL": "DEBUG",
}
"""Everything that takes minutes or hours in earnest takes seconds here."""

POLL_SECONDS = 0.1
"""Between two looks at a condition of another process, which has no event to await."""


@dataclass(slots=True)
class Service:
    """A running service and the sandbox that judges it."""

    family: Family
    redis: RedisServer
    sandbox: ControlSurface
    ready: Mapping[str, Any]
    environment: dict[str, str]
    neighbour: Neighbour
    started: int = field(default=0)

    def poller(self, **settings: str) -> Process:
        """Start a poller."""
        return self._start("poller", ["worker", "poll"], settings)

    def worker(self, concurrency: int = 2, **settings: str) -> Process:
        """Start a worker."""
        return self._start("worker", ["worker", "work", "--concurrency", str(concurrency)], settings)

    def seed(self, jobs: int, **scenario: Any) -> dict[str, Any]:
        """Seed jobs."""
        return self.sandbox.post("seed", {"jobs": jobs, "random_seed": 7, **scenario})

    def judgement(self) -> dict[str, Any]:
        """Ask the sandbox how every job ended, according to its audit."""
        return self.sandbox.get("judgement")

    def wait_until_all_ended(self, seconds: float = 60) -> dict[str, Any]:
        """Wait until every seeded job is in a final status, and give the judgement."""

        def all_ended() -> dict[str, Any] | None:
            self.family.ensure_running()
            judgement = self.judgement()
            return judgement if judgement["ended"] == judgement["jobs"] else None

        return wait_for(all_ended, seconds, self.account)

    def wait_for_job(self, job_id: str, status: int, seconds: float = 30) -> dict[str, Any]:
        """Wait until a job is in a status, and give its response document."""

        def there() -> dict[str, Any] | None:
            row = self.neighbour.job(job_id)
            return row if row["msdyn_status"] == status else None

        row = wait_for(there, seconds, lambda: f"{self.neighbour.job(job_id)}\n{self.account()}")
        document: dict[str, Any] = json.loads(row["msdyn_responsejson"])
        return document

    def wait_until_ready(self, process: Process, seconds: float = 30) -> None:
        """Wait until a process says that it can do its work."""
        wait_for(lambda: health(process) == "ready", seconds, lambda: f"{health(process)}\n{process.last_words()}")

    def changes(self) -> list[dict[str, Any]]:
        """Read the whole audit."""
        changes: list[dict[str, Any]] = []
        while page := self.sandbox.get(f"audit?after={changes[-1]['seq'] if changes else 0}&limit=5000")["changes"]:
            changes.extend(page)
        return changes

    def command(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the command line to its end."""
        return run_command(*arguments, environment={**self.environment, **settings}, folder=self.family.folder)

    def logs(self, name: str = "*") -> list[dict[str, Any]]:
        """Read the JSON lines that processes logged."""
        lines = [line for path in self.family.folder.glob(f"{name}.log") for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def account(self) -> str:
        """Say how everything stands, for a failing test."""
        judgement = {**self.judgement()}
        last = "\n".join(f"--- {member.name}\n{member.last_words()}" for member in self.family.members)
        return f"{json.dumps(judgement)[:3000]}\n{last}"

    def _start(self, kind: str, arguments: list[str], settings: Mapping[str, str]) -> Process:
        self.started += 1
        port = free_port()
        environment = {**self.environment, "JOBWORKER_METRICS__PORT": str(port), **settings}
        return self.family.start(f"{kind}-{self.started}", arguments, environment, metrics_port=port)


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """Start Redis and the sandbox; pollers and workers are the test's to start. Stops everything."""
    family = Family(folder)
    with RedisServer(folder / "redis", unix_socket=folder / "redis.sock") as redis:
        try:
            ready = start_sandbox(family)
            surface = ControlSurface(ready["url"], ready["ca_file"])
            environment = {**service_settings(ready, redis.url), **QUICK}
            neighbour = Neighbour(ready)
            with contextlib.closing(surface), contextlib.closing(neighbour):
                yield Service(family, redis, surface, ready, environment, neighbour)
        finally:
            family.stop()


def run_command(
    *arguments: str, environment: Mapping[str, str], folder: Path, seconds: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Run ``jobworker`` with just these settings."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env={**clean_environment(), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], seconds: float, account: Callable[[], str] = str) -> T:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"did not come about within {seconds} s: {account()}")


def metrics_of(process: Process) -> dict[str, float]:
    """Scrape a process: by sample name with its labels, the value."""
    text = httpx.get(f"http://127.0.0.1:{process.metrics_port}/metrics", trust_env=False, timeout=10).text
    samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def probe(process: Process, path: str) -> httpx.Response:
    """Ask a process how it is."""
    return httpx.get(f"http://127.0.0.1:{process.metrics_port}{path}", trust_env=False, timeout=10)


def kill(process: Process) -> None:
    """Kill a process and its children, as a machine that loses power does."""
    os.killpg(process.popen.pid, signal.SIGKILL)
    process.popen.wait()
