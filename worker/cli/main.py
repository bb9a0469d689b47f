"""The commands together, and how each of them ends: 0 done, 1 a check or a job failed, 2 bad usage or configuration."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from config.sources import SettingsError
from worker.cli import config_command, laptop, processes

app = typer.Typer(
    name="jobworker",
    help="Carries every Dynamics 365 PSA integration job in Dataverse to its end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(laptop.demo)
# The sandbox reads its own options, --help among them: without its extra there is nothing to read them with.
_passing_on = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("sandbox", context_settings=_passing_on, add_help_option=False)(laptop.sandbox)
app.command("poll")(processes.poll)
app.command("work")(processes.work)
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
