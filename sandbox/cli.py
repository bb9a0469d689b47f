"""The command that runs the sandbox, alone or as `jobworker sandbox`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sandbox.banner import Details, show_banner
from sandbox.certificates import Certificates, issue_certificates, write_private
from sandbox.entra.federation import WorkloadIssuer
from sandbox.entra.managed_identity import PATH as IDENTITY_PATH
from sandbox.limits import LimitSizes
from sandbox.redis_server import RedisServer, RedisUnavailableError
from sandbox.seed.load import load
from sandbox.seed.scenario import Scenario
from sandbox.server import PortInUseError, listen, serve
from sandbox.service import Sandbox, build_sandbox
from sandbox.tables import TENANT_ID

_DEFAULTS = LimitSizes()


@dataclass(frozen=True, slots=True)
class Command:
    """What was asked for on the command line."""

    host: str
    port: int
    scenario: Scenario | None
    database_file: Path | None
    as_json: bool
    with_redis: bool
    sizes: LimitSizes


def sandbox(  # noqa: PLR0917 - one parameter an option, as typer reads them
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8443,
    seed: Annotated[int, typer.Option(min=0, help="Jobs to begin with.")] = 0,
    seed_kinds: Annotated[
        str, typer.Option(help="Kinds of job, such as ready_complete=3,gap=1; all of them by default.")
    ] = "",
    seed_age: Annotated[float, typer.Option(min=0, help="Seconds over which the seeded rows lie back.")] = 0,
    seed_arrive_over: Annotated[float, typer.Option(min=0, help="Seconds over which packets arrive.")] = 0,
    db: Annotated[
        Path | None, typer.Option(help="Keep the rows in this file; gone with the sandbox by default.")
    ] = None,
    redis: Annotated[bool, typer.Option("--redis", help="Start an embedded Redis server as well.")] = False,
    limit_requests: Annotated[int, typer.Option(min=1, help="Requests per user in the window.")] = _DEFAULTS.requests,
    limit_window: Annotated[float, typer.Option(min=0.1, help="Seconds of the window.")] = _DEFAULTS.window,
    limit_execution_ms: Annotated[
        float, typer.Option(min=1, help="Execution time per user in the window.")
    ] = _DEFAULTS.execution_ms,
    limit_concurrency: Annotated[
        int, typer.Option(min=1, help="Requests per user at the same time.")
    ] = _DEFAULTS.concurrency,
    limits: Annotated[
        bool, typer.Option("--limits/--no-limits", help="Whether service protection limits apply.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it is in one line of JSON.")] = False,
) -> None:
    """Run a Dataverse emulator on this machine: no tenant, no account, no root.

    It does not imitate security roles beyond yes or no, plug-ins, workflows and business rules, tables other than the
    two of the integration jobs and systemuser, SQL queries, deep inserts and changes of metadata.
    """
    try:
        scenario = Scenario(seed, seed_arrive_over, seed_age, _weights(seed_kinds)) if seed else None
        sizes = LimitSizes(limit_requests, limit_window, limit_execution_ms, limit_concurrency, limits)
        run(Command(host, port, scenario, db, as_json, redis, sizes))
    except (PortInUseError, RedisUnavailableError, ValueError) as error:
        typer.echo(f"sandbox: {error}", err=True)
        raise typer.Exit(2) from error


def _weights(text: str) -> dict[str, float]:
    """Kinds and shares out of `a=3,b=1`, or `a,b`."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip(): float(weight or 1) for name, _, weight in pairs}


def run(command: Command) -> None:
    """Run the sandbox until it is told to end.

    Raises:
        PortInUseError: When somebody else listens there.
        RedisUnavailableError: When no Redis server starts.
        ValueError: When the address is not on this machine.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    sockets = listen(command.host, command.port)
    port = sockets[0].getsockname()[1]
    with _private_directory() as directory, contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer(data_dir=directory / "redis")) if command.with_redis else None
        certificates = issue_certificates(directory)
        file = command.database_file or directory / "sandbox.sqlite"
        made = stack.enter_context(contextlib.closing(build_sandbox(file, port, command.sizes)))
        details = _details(made, certificates, directory, redis)
        jobs = _seed(made, command)
        app, background = made.app, made.arrivals.run

        def ready() -> None:
            _announce(command, details, jobs)

        runner = _new_runner()
        with runner:
            runner.run(serve(app, sockets, certificates.server_file, ready, background))


def _new_runner() -> asyncio.Runner:
    try:
        import uvloop  # noqa: PLC0415 - not to be had everywhere
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    """A directory for keys and rows that only its owner can enter, and that goes when the sandbox goes."""
    directory = Path(tempfile.mkdtemp(prefix=f"jobworker-sandbox-{secrets.token_hex(4)}-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _seed(made: Sandbox, command: Command) -> int:
    if command.scenario is None:
        return 0
    console = Console(stderr=True)
    with console.status("Seeding ...") as status:
        jobs = 0
        for progress in load(made.database, command.scenario, made.seeder.user_row):
            jobs = progress.jobs
            status.update(f"Seeding ... {progress.jobs:,} jobs, {progress.packets:,} packets")
    made.arrivals.announce()
    return jobs


def _details(made: Sandbox, certificates: Certificates, directory: Path, redis: RedisServer | None) -> Details:
    made.applications.add_certificate(made.worker, certificates.client_certificate)
    issuer = WorkloadIssuer(made.url, made.database.clock)
    made.applications.add_federated(made.worker, issuer.credential())
    token_file = write_private(directory / "federated-token", issuer.token().encode())
    return Details(
        url=made.url,
        ca_file=str(certificates.ca_file),
        authority=made.authority,
        tenant_id=TENANT_ID,
        client_id=made.worker.client_id,
        client_secret=made.worker.secret,
        neighbour_client_id=made.neighbour.client_id,
        neighbour_client_secret=made.neighbour.secret,
        certificate_file=str(certificates.client_file),
        federated_token_file=str(token_file),
        identity_endpoint=f"{made.url}{IDENTITY_PATH}",
        identity_header=made.identity.header,
        redis_url=None if redis is None else redis.url,
    )


def _announce(command: Command, details: Details, jobs: int) -> None:
    if command.as_json:
        sys.stdout.write(details.json_line() + "\n")
        sys.stdout.flush()
    else:
        show_banner(Console(), details, jobs)


def main() -> None:
    """The command as a program of its own."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(sandbox)
    program()
