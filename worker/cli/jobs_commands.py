"""`jobworker jobs ...`: what an operator does by hand, with the same claim rules as the service."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

import typer
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from config.metrics import DataverseMetrics
from config.sources import Settings, load_settings
from tasks.by_hand import ByHand, RefusedError
from tasks.claims import is_expired
from tasks.model import Fail, Job, PacketCount, Reason, Skip
from tasks.response import format_instant
from worker.app import make_app
from worker.cli.processes import prepared
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import DataverseError
from worker.identity import worker_name
from worker.redis_client import describe_failure
from worker.store.jobs import DataverseJobStore
from worker.store.questions import PollQuestions
from worker.wiring import dataverse_client, job_queue, policy_from

commands = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Look at jobs, and do by hand what is left to people."
)

JobId = Annotated[UUID, typer.Argument(metavar="ID", help="The job's id (msdyn_integrationjobid).")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table or a sentence.")]


@commands.command("list")
def list_jobs(
    status: Annotated[str, typer.Option(help="waiting, ready or processing; open jobs by default.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at the most, the oldest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs that have not ended."""
    with _dataverse() as (_, client):
        questions = PollQuestions(client)
        pages = questions.processing_jobs() if status.lower() == "processing" else questions.open_jobs()
        wanted = (job for page in pages for job in page.jobs if _is_wanted(job, status))
        jobs = list(islice(wanted, limit))
    if as_json:
        typer.echo(json.dumps([_row(job) for job in jobs]))
    else:
        Console().print(_table(jobs))


@commands.command("show")
def show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job, its packets and its claim."""
    with _dataverse() as (settings, client):
        look = _by_hand(settings, client).look(job_id)
    job = look.jobs[job_id]
    count = look.count(job_id)
    facts = {**_row(job), **_packets(count), **_claim(job)}
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        Console().print(f"[b]{name:20}[/b] {'' if value is None else value}", highlight=False, soft_wrap=True)


@commands.command("retry")
def retry(job_id: JobId, as_json: AsJson = False) -> None:
    """Have a job looked at now: an open one, or one whose claim has expired. An ended job stays ended."""
    with _dataverse() as (settings, client):
        look = _by_hand(settings, client).look(job_id)
        job = look.jobs[job_id]
        if job.status is not None and job.status.is_final:
            raise RefusedError(f"The job {job_id} has ended already ({job.status.label}), which is never changed.")
        queue = job_queue(settings, make_app(settings))
        try:
            queue.release([job_id])
            if job.claim is not None and is_expired(job.claim, look.now):
                queue.enqueue_rescue(job_id, look.now)
            else:
                queue.enqueue([job_id], look.now)
        except (RedisError, OperationalError) as error:
            known = error if isinstance(error, RedisError) else RedisError()
            raise RefusedError(describe_failure(known, settings.redis)) from error
    _say({"job_id": str(job_id), "queued": True}, f"The job {job_id} is queued.", as_json=as_json)


@commands.command("skip")
def skip(job_id: JobId, as_json: AsJson = False) -> None:
    """End an open job as Skipped."""
    _end(job_id, Skip(Reason.OPERATOR), as_json=as_json)


@commands.command("fail")
def fail(job_id: JobId, as_json: AsJson = False) -> None:
    """End an open job as Failed."""
    _end(job_id, Fail(Reason.OPERATOR), as_json=as_json)


def _end(job_id: UUID, verdict: Skip | Fail, *, as_json: bool) -> None:
    with _dataverse() as (settings, client):
        status = _by_hand(settings, client).end(job_id, verdict)
    _say({"job_id": str(job_id), "status": status.label}, f"The job {job_id} ended as {status.label}.", as_json=as_json)


@contextmanager
def _dataverse() -> Iterator[tuple[Settings, DataverseClient]]:
    """Open a client; what is refused or cannot be reached becomes one sentence and exit code 1."""
    settings = prepared(load_settings())
    client = dataverse_client(settings, DataverseMetrics(CollectorRegistry()))
    try:
        yield settings, client
    except (RefusedError, DataverseError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    finally:
        client.close()


def _by_hand(settings: Settings, client: DataverseClient) -> ByHand:
    return ByHand(DataverseJobStore(client), policy_from(settings.jobs), worker_name())


def _is_wanted(job: Job, status: str) -> bool:
    return status.lower() in ("open", "processing") or (job.status is not None and job.status.name == status.upper())


def _row(job: Job) -> dict[str, Any]:
    return {
        "job_id": str(job.id),
        "status": None if job.status is None else job.status.label,
        "name": job.name,
        "expected_packets": job.expected_packets,
        "created_on": format_instant(job.created_on),
        "modified_on": format_instant(job.modified_on),
    }


def _packets(count: PacketCount) -> dict[str, Any]:
    return {
        "received_packets": count.distinct,
        "duplicate_packets": count.duplicates,
        "newest_packet": None if count.newest is None else format_instant(count.newest),
    }


def _claim(job: Job) -> dict[str, Any]:
    if job.claim is None:
        return {"worker": None, "attempt": None, "lease_expires_at": None}
    expires = format_instant(job.claim.lease_expires_at)
    return {"worker": job.claim.worker, "attempt": job.claim.attempt, "lease_expires_at": expires}


def _table(jobs: list[Job]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Job", "Status", "Name", "Expected", "Created"):
        table.add_column(heading)
    for job in jobs:
        row = _row(job)
        cells = (row["job_id"], row["status"], row["name"], row["expected_packets"], row["created_on"])
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    return table


def _say(facts: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(facts) if as_json else sentence)
