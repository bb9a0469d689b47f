"""Commands that are imported only when they are called.

`work` must set PROMETHEUS_MULTIPROC_DIR before anything imports prometheus-client, and the sandbox is an extra that may
not be installed: neither may be imported just to show what commands there are.
"""

from collections.abc import Callable

import typer

Load = Callable[[], typer.Typer]
"""Imports a command, or a group of them, and gives it as an application of its own."""

PASSING_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_lazily(app: typer.Typer, name: str, description: str, load: Load) -> None:
    """Add a command that reads its own options, ``--help`` among them.

    Args:
        app: Where it is added.
        name: What it is called.
        description: One sentence for the list of commands.
        load: Imports it.
    """

    def call(context: typer.Context) -> None:
        load()(args=context.args, prog_name=f"jobworker {name}")

    app.command(name, help=description, context_settings=PASSING_ON, add_help_option=False)(call)


def alone(command: Callable[..., None]) -> typer.Typer:
    """Make an application of one command."""
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    made.command()(command)
    return made
