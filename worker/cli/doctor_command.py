"""`jobworker doctor`: checks everything that the service needs, and says what to do about what is wrong."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry
from rich.console import Console

from config.metrics import DataverseMetrics
from config.sources import load_settings
from worker.cli.processes import prepared
from worker.doctor import examine
from worker.redis_client import connect
from worker.wiring import dataverse_client


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """Check settings, sign-in, privileges, Redis and clock. Changes nothing."""
    settings = prepared(load_settings())
    console = Console()
    client, redis = dataverse_client(settings, DataverseMetrics(CollectorRegistry())), connect(settings.redis)
    is_good = True
    for finding in examine(settings, client, redis):
        is_good &= finding.is_good
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
        else:
            mark = "[green]✓[/]" if finding.is_good else "[red]✗[/]"
            console.print(mark, f"[b]{finding.name}[/b]", finding.said, highlight=False, soft_wrap=True)
    client.close()
    if not is_good:
        raise typer.Exit(1)
