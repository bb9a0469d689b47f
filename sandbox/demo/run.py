"""`jobworker demo`: starts everything, seeds jobs, watches them end, says what came of it, stops everything."""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from sandbox.demo.processes import Family, ProcessEndedError
from sandbox.demo.progress import Observer
from sandbox.demo.service import Cast, start_sandbox, start_services
from sandbox.demo.summary import Summary, outcome_table, print_verdict, summarise
from sandbox.demo.view import View, open_view
from sandbox.redis_server import RedisServer

ARRIVE_OVER_SECONDS = 12.0
LOOK_EVERY_SECONDS = 0.5
START_SECONDS = 60.0
PATIENCE_SECONDS = 120.0
SECONDS_PER_JOB = 0.1
"""How much longer than `PATIENCE_SECONDS` the end may take, for every job."""


class DemoError(Exception):
    """The demo cannot go on, in one sentence."""


def run_demo(jobs: int, as_json: bool, keep: bool) -> int:
    """Run the demo.

    Args:
        jobs: How many jobs to seed.
        as_json: Whether the last line of standard output is the summary as one JSON object.
        keep: Whether to stay up afterwards.

    Returns:
        0 when every job ended once and as its seed says, 1 otherwise, 130 when it was interrupted.
    """
    console = Console(stderr=as_json)
    try:
        with _interruptible(), tempfile.TemporaryDirectory(prefix="jobworker-demo-") as folder:
            summary = _run(console, Path(folder), jobs, keep=keep)
    except KeyboardInterrupt:
        console.print("Interrupted; everything is stopped.")
        return 130
    except (DemoError, ProcessEndedError) as error:
        console.print(f"[red]The demo failed:[/] {error}", highlight=False)
        return 1
    if as_json:
        sys.stdout.write(json.dumps(summary.as_json()) + "\n")
    return 0 if summary.is_good else 1


def _run(console: Console, folder: Path, jobs: int, *, keep: bool) -> Summary:
    with RedisServer(folder / "redis", unix_socket=folder / "redis.sock") as redis, _family(folder) as family:
        with open_view(console) as view:
            view.say("Starting Valkey, the Dataverse sandbox, a poller and two workers ...")
            cast = start_services(family, start_sandbox(family), redis)
            seconds = _carry(view, family, cast, jobs)
        summary = _report(console, cast, seconds)
        if keep:
            _stay(console, family, cast)
        return summary


def _carry(view: View, family: Family, cast: Cast, jobs: int) -> float:
    """Seed the jobs and watch until they have ended.

    Returns:
        Seconds from the seed to the last end.
    """
    _wait_until_ready(family, cast)
    seeded = cast.sandbox.post("seed", {"jobs": jobs, "arrive_over": ARRIVE_OVER_SECONDS, "random_seed": 1})
    view.say(
        f"Seeded {seeded['jobs']} jobs; their {seeded['packets']} packets arrive over {ARRIVE_OVER_SECONDS:.0f} s."
    )
    observer = Observer(cast, jobs)
    while True:
        family.ensure_running()
        progress = observer.look()
        view.show(progress)
        if progress.ended >= jobs or progress.seconds > PATIENCE_SECONDS + SECONDS_PER_JOB * jobs:
            return progress.seconds
        time.sleep(LOOK_EVERY_SECONDS)


def _wait_until_ready(family: Family, cast: Cast) -> None:
    observer = Observer(cast, jobs=0)
    while True:
        family.ensure_running()
        states = observer.look().health
        if all(state == "ready" for state in states.values()):
            return
        if time.monotonic() - observer.started > START_SECONDS:
            raise DemoError(f"not everything became ready within {START_SECONDS:.0f} s: {states}")
        time.sleep(LOOK_EVERY_SECONDS / 2)


def _report(console: Console, cast: Cast, seconds: float) -> Summary:
    summary = summarise(cast.sandbox.get("judgement"), cast.sandbox.get("stats"), seconds)
    console.print(outcome_table(cast.sandbox.get("expected"), _ends(cast)))
    print_verdict(console, summary)
    console.print(
        "Next: [b]jobworker demo --keep[/b] stays up to look around; "
        "the README shows how to point the service at an environment of yours."
    )
    return summary


def _ends(cast: Cast) -> Mapping[str, tuple[str, str]]:
    """Read from the audit how each job ended."""
    ends: dict[str, tuple[str, str]] = {}
    for change in _changes(cast):
        if change["new_status"] in ("Succeeded", "Failed", "Skipped"):
            ends[change["job_id"]] = (change["new_status"], change["reason"] or "no reason given")
    return ends


def _changes(cast: Cast) -> Iterator[Mapping[str, Any]]:
    after = 0
    while changes := cast.sandbox.get(f"audit?after={after}&limit=5000")["changes"]:
        yield from changes
        after = changes[-1]["seq"]


def _stay(console: Console, family: Family, cast: Cast) -> None:
    console.print("\n[b]Everything stays up until Ctrl-C.[/b]")
    for process in cast.services:
        console.print(f"  {process.name:9} http://127.0.0.1:{process.metrics_port}/metrics  /healthz  /readyz")
    console.print(f"  sandbox   {cast.sandbox.url}  (trust {cast.sandbox.ca_file})")
    console.print(f"  logs      {family.folder}/*.log", highlight=False)
    console.print("To use it from another terminal:")
    for name, value in cast.environment.items():
        console.print(f"  export {name}={value}", highlight=False, soft_wrap=True, markup=False)
    while True:
        family.ensure_running()
        time.sleep(LOOK_EVERY_SECONDS)


@contextmanager
def _family(folder: Path) -> Iterator[Family]:
    family = Family(folder)
    try:
        yield family
    finally:
        family.stop()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that they too leave no process behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
