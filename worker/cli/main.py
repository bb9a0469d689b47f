"""The commands together, and how each of them ends: 0 done, 1 a check or a job failed, 2 bad usage or configuration."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from config.sources import SettingsError
from worker.cli import config_command, laptop, processes
from worker.cli.lazily import add_lazily, alone

app = typer.Typer(
    name="jobworker",
    help="Carries every Dynamics 365 PSA integration job in Dataverse to its end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _doctor() -> typer.Typer:
    from worker.cli.doctor_command import doctor  # noqa: PLC0415 - see worker.cli.lazily

    return alone(doctor)


def _jobs() -> typer.Typer:
    from worker.cli.jobs_commands import commands  # noqa: PLC0415 - see worker.cli.lazily

    return commands


app.command("demo")(laptop.demo)
add_lazily(app, "sandbox", "Run a Dataverse emulator on this machine: no tenant, no account.", laptop.load_sandbox)
app.command("poll")(processes.poll)
app.command("work")(processes.work)
add_lazily(app, "doctor", "Check settings, sign-in, privileges, Redis and clock. Changes nothing.", _doctor)
add_lazily(app, "jobs", "Look at jobs, and do by hand what the service would not.", _jobs)
app.command("config")(config_command.show)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jobworker {version('jobworker')}")
        raise typer.Exit


@app.callback()
def _options(
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read the options that stand before a command."""


def main() -> None:
    """Run the command line and exit with the command's code."""
    try:
        app()
    except SettingsError as error:
        for mistake in error.mistakes:
            typer.echo(mistake, err=True)
        sys.exit(2)
