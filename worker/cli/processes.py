"""The commands that run a process of the service: `poll` and `work`."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from config.logging import configure_logging
from config.sources import Settings, load_settings

MULTIPROC_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

UNRECOVERABLE = 1
"""Celery's exit code after an error that it does not wait out."""

PAUSE_SECONDS = 2.0
"""Before a worker starts anew."""


def poll(once: Annotated[bool, typer.Option("--once", help="Tick once, then exit.")] = False) -> None:
    """Find jobs and put them on the queue. Several may run: one leads, the others stand by."""
    settings = prepared(load_settings())
    from worker.poll import poll_once, run_poller  # noqa: PLC0415 - settings first: they decide what is imported

    if once:
        failure = poll_once(settings)
        if failure is not None:
            typer.echo(failure, err=True)
            raise typer.Exit(1)
        return
    run_poller(settings)


def work(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=256, help="Child processes; JOBWORKER_WORK__CONCURRENCY by default.")
    ] = None,
) -> None:
    """Carry jobs to their end. Run as many as you like, on as many machines as you like."""
    settings = prepared(load_settings())
    if concurrency is not None:
        work_settings = settings.work.model_copy(update={"concurrency": concurrency})
        settings = settings.model_copy(update={"work": work_settings})
    # SIGTERM drains: Celery's soft shutdown, with its bound on how long (read when celery's worker is imported).
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"
    with _multiprocess_metrics():
        from worker.work import run_worker  # noqa: PLC0415 - both variables must be set before it is imported

        exit_code = run_worker(settings)
    if exit_code == UNRECOVERABLE:
        _start_anew()
    raise typer.Exit(exit_code)


def _start_anew() -> NoReturn:
    """Replace this process by a fresh one, as an orchestrator would, under the same process id.

    Celery's worker ends when Redis answers an error that it does not take for a lost connection: during a fail-over a
    master answers as a read-only replica, and a Redis that is full refuses writes. Both pass.
    """
    structlog.get_logger(__name__).warning("worker_starts_anew", pause=PAUSE_SECONDS)
    time.sleep(PAUSE_SECONDS)
    os.execv(sys.executable, [sys.executable, "-m", "worker", *sys.argv[1:]])  # noqa: S606 - ourselves, no shell


def prepared(settings: Settings) -> Settings:
    """Configure the logging of this process as its settings say, and give them back."""
    configure_logging(settings.log.level, settings.log.format, settings.secrets())
    return settings


@contextmanager
def _multiprocess_metrics() -> Iterator[None]:
    """Give the children's metrics a directory that holds nothing of an earlier run."""
    named = os.environ.get(MULTIPROC_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="jobworker-metrics-") as own:
        directory = Path(named or own)
        directory.mkdir(parents=True, exist_ok=True)
        for stale in directory.glob("*.db"):
            stale.unlink()
        os.environ[MULTIPROC_VARIABLE] = str(directory)
        try:
            yield
        finally:
            if named is None:
                del os.environ[MULTIPROC_VARIABLE]
