"""`jobworker config`: the settings in force, secrets masked, and where each came from."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from config.effective import EffectiveSetting, effective_settings
from config.sources import load_settings


def show(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show the settings in force, secrets masked, and where each came from."""
    settings = list(effective_settings(load_settings()))
    if as_json:
        typer.echo(json.dumps({one.variable: {"value": one.value, "origin": one.origin} for one in settings}, indent=2))
    else:
        Console().print(_table(settings))


def _table(settings: list[EffectiveSetting]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Setting", "Value", "From", "What it is"):
        table.add_column(heading, overflow="fold")
    for one in settings:
        style = "dim" if one.origin == "default" else ""
        table.add_row(one.variable, one.value, one.origin, one.description, style=style)
    return table
