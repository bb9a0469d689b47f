"""The commands that need the `sandbox` extra: `sandbox` and `demo`. A production image does without them."""

from typing import Annotated, NoReturn

import typer

from worker.cli.lazily import alone

EXTRA_MISSING = "This command needs what a laptop needs instead of a tenant: pip install 'jobworker[sandbox]'."


def demo(
    jobs: Annotated[int, typer.Option(min=1, max=100_000, help="How many jobs to carry to their ends.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, last.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up afterwards and say where everything is.")] = False,
) -> None:
    """Run the whole service on this machine, without an account: Redis, a Dataverse sandbox, poller, workers."""
    try:
        from sandbox.demo.run import run_demo  # noqa: PLC0415 - an extra that may not be installed
    except ModuleNotFoundError as error:
        _without_extra(error)
    raise typer.Exit(run_demo(jobs=jobs, as_json=as_json, keep=keep))


def load_sandbox() -> typer.Typer:
    """Import the sandbox's own command."""
    try:
        from sandbox.cli import sandbox  # noqa: PLC0415 - an extra that may not be installed
    except ModuleNotFoundError as error:
        _without_extra(error)
    return alone(sandbox)


def _without_extra(error: ModuleNotFoundError) -> NoReturn:
    typer.echo(f"{EXTRA_MISSING} (There is no module {error.name}.)", err=True)
    raise typer.Exit(2) from None
