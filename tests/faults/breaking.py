"""Runs a scenario: starts the service, breaks it while it works, keeps it up as an orchestrator would, and judges."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from sandbox.demo.processes import Process
from tests.faults.handlers import install_handlers
from tests.faults.scenarios import Disturbance, Scenario
from tests.integration.kernel import children_of
from tests.integration.service import Service, kill, running_service

SETTINGS: Mapping[str, str] = {
    # Every attempt may be lost here, so none may be counted out: what is judged is that each job ends as it should.
    "JOBWORKER_JOBS__MAX_ATTEMPTS": "100",
    "JOBWORKER_WORK__SHUTDOWN_TIMEOUT": "2s",
    "JOBWORKER_LOG__LEVEL": "INFO",
}
POLLERS = 2
WORKERS = 2
FROZEN_SECONDS = 2.0
SUPERVISE_SECONDS = 0.25
SHORTEST_IDLE = 6.0
FIRST_SHARE = 0.25
"""Of its pause: how soon each disturbance comes for the first time, so that short runs meet all of them."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a scenario."""

    scenario: str
    jobs: int
    injected: Mapping[str, int]
    lost: int
    stuck: int
    doubled: int
    mismatched: int
    seconds: float
    account: str

    @property
    def is_good(self) -> bool:
        """Whether every job ended once, as its seed says."""
        return not (self.lost or self.stuck or self.doubled or self.mismatched)


@dataclass(slots=True)
class Breaker:
    """Breaks a running service by a scenario, and restarts what died."""

    service: Service
    scenario: Scenario
    random: random.Random
    injected: Counter[str] = field(default_factory=Counter)
    pollers: list[Process] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)

    def start(self) -> None:
        """Start the service's processes."""
        for _ in range(POLLERS):
            self.pollers.append(self._poller())
        for _ in range(WORKERS):
            self.workers.append(self._worker())

    def go_on(self, until: Callable[[], bool], seconds: float) -> bool:
        """Break things until a condition holds or time is up.

        Returns:
            Whether the condition came to hold.
        """
        begun = time.monotonic()
        due = {one: begun + pause * FIRST_SHARE for one, pause in self.scenario.disturbances.items()}
        while time.monotonic() < begun + seconds:
            if until():
                return True
            self._supervise()
            for disturbance, at in due.items():
                if time.monotonic() >= at:
                    self._disturb(disturbance)
                    self.injected[disturbance.name.lower()] += 1
                    due[disturbance] = time.monotonic() + self.scenario.disturbances[disturbance]
            time.sleep(SUPERVISE_SECONDS)
        return False

    def _supervise(self) -> None:
        """Start anew what has ended, as every deployment's restart policy does."""
        self.pollers = [one if one.popen.poll() is None else self._poller() for one in self.pollers]
        self.workers = [one if one.popen.poll() is None else self._worker() for one in self.workers]

    def _poller(self) -> Process:
        return self.service.poller(**{**SETTINGS, **self.scenario.settings})

    def _worker(self) -> Process:
        return self.service.worker(2, **{**SETTINGS, **self.scenario.settings})

    def _disturb(self, disturbance: Disturbance) -> None:
        match disturbance:
            case Disturbance.KILL_CHILD:
                self._kill_child()
            case Disturbance.KILL_WORKER:
                kill(self.random.choice(self.workers))
            case Disturbance.TERMINATE_WORKER:
                self.random.choice(self.workers).popen.send_signal(signal.SIGTERM)
            case Disturbance.KILL_POLLER:
                kill(self.random.choice(self.pollers))
            case Disturbance.WIPE_REDIS:
                with contextlib.closing(redis.Redis.from_url(self.service.redis.url)) as client:
                    client.flushall()
            case Disturbance.RESTART_REDIS:
                self.service.redis.kill()
                self.service.redis.start()
            case Disturbance.FREEZE_REDIS:
                self._freeze_redis()
            case Disturbance.NEIGHBOUR_EDITS:
                self._edit()

    def _kill_child(self) -> None:
        children = [child for worker in self.workers for child in children_of(worker.popen.pid)]
        if children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(children), signal.SIGKILL)

    def _freeze_redis(self) -> None:
        self.service.redis.freeze()
        threading.Timer(FROZEN_SECONDS, self.service.redis.thaw).start()

    def _edit(self) -> None:
        for job_id in self.service.neighbour.processing():
            self.service.neighbour.try_to_update(job_id, msdyn_name=f"edited {self.random.random()}")


def run(scenario: Scenario, jobs: int, folder: Path, *, seconds: float, arrive_over: float, seed: int = 1) -> Report:
    """Run a scenario.

    Args:
        scenario: How to break things.
        jobs: How many jobs are to end.
        folder: Where logs go; its path is short enough for a unix socket.
        seconds: When a job that has not ended counts as stuck.
        arrive_over: Seconds over which packets arrive.
        seed: Of everything random.
    """
    with running_service(folder) as service:
        # A job's packets come within a quarter of the whole time; none of them is to be late.
        service.environment["JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT"] = f"{max(SHORTEST_IDLE, arrive_over / 4 + 10):.0f}s"
        breaker = Breaker(service, scenario, random.Random(seed))
        if scenario.clock_ahead:
            service.sandbox.post("clock", {"advance": scenario.clock_ahead})
        if scenario.laborious:
            service.environment.update(install_handlers(folder, "labour"))
        if scenario.limits is not None:
            service.sandbox.post("limits", scenario.limits)
        begun = time.monotonic()
        breaker.start()
        service.seed(jobs, arrive_over=arrive_over)
        service.sandbox.post("faults", {"rules": list(scenario.faults)})
        breaker.go_on(lambda: service.judgement()["ended"] == jobs, seconds)
        breaker.injected.update(_fired(service.sandbox.get("faults")))
        return _report(scenario, jobs, service, breaker, time.monotonic() - begun)


def _fired(faults: Mapping[str, Any]) -> Counter[str]:
    fired: Counter[str] = Counter()
    for one in faults["rules"]:
        fired[one["kind"]] += one["fired"]
    return fired


def _report(scenario: Scenario, jobs: int, service: Service, breaker: Breaker, seconds: float) -> Report:
    judgement = service.judgement()
    return Report(
        scenario=scenario.name,
        jobs=jobs,
        injected=dict(breaker.injected),
        lost=jobs - judgement["jobs"],
        stuck=judgement["stuck_count"],
        doubled=judgement["doubled_count"],
        mismatched=judgement["mismatched_count"],
        seconds=round(seconds, 1),
        account=service.account(),
    )
