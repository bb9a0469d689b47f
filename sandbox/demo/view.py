"""What a person sees while the demo runs: a live picture on a terminal, a plain line now and then elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sandbox.demo.progress import STATUSES, Progress

COLOURS = {
    "Waiting": "yellow",
    "Ready": "cyan",
    "Processing": "blue",
    "Succeeded": "green",
    "Failed": "red",
    "Skipped": "bright_black",
}
BAR_WIDTH = 40
PLAIN_EVERY_SECONDS = 3.0


class View(Protocol):
    """Shows progress as it comes."""

    def say(self, line: str) -> None:
        """Show one line that stays."""
        ...

    def show(self, progress: Progress) -> None:
        """Show where the demo stands."""
        ...


@contextmanager
def open_view(console: Console) -> Iterator[View]:
    """Choose the view that fits where the output goes."""
    if not console.is_terminal:
        yield PlainView(console)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield LiveView(live)


class PlainView:
    """One line every few seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def say(self, line: str) -> None:
        """Print the line."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Print a line when the last one is old enough, and at the end."""
        if progress.seconds < self._next and progress.ended < progress.jobs:
            return
        self._next = progress.seconds + PLAIN_EVERY_SECONDS
        counts = "  ".join(f"{status} {progress.by_status.get(status, 0)}" for status in STATUSES)
        cost = "-" if progress.requests_per_job is None else f"{progress.requests_per_job:.2f}"
        self.say(f"{progress.seconds:5.1f} s  {counts}  packets {progress.packets}  requests/job {cost}")


class LiveView:
    """A picture that is redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, line: str) -> None:
        """Print the line above the picture."""
        self._live.console.print(line, highlight=False)

    def show(self, progress: Progress) -> None:
        """Redraw the picture."""
        self._live.update(picture(progress))


def picture(progress: Progress) -> RenderableType:
    """Draw where the demo stands."""
    title = f"jobworker demo  {progress.ended}/{progress.jobs} jobs ended  {progress.seconds:.0f} s"
    body = Group(_statuses(progress), Text(), _figures(progress), Text(), _health(progress))
    return Panel(body, title=title, title_align="left", border_style="blue", padding=(1, 2), width=86)


def _statuses(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    for status in STATUSES:
        jobs = progress.by_status.get(status, 0)
        bar = ProgressBar(total=max(progress.jobs, 1), completed=jobs, width=BAR_WIDTH, complete_style=COLOURS[status])
        table.add_row(Text(status, style=COLOURS[status]), bar, Text(str(jobs), justify="right"))
    return table


def _figures(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 3))
    cost = "-" if progress.requests_per_job is None else f"{progress.requests_per_job:.2f}"
    table.add_row(
        f"packets [b]{progress.packets}[/b] in, [b]{progress.packets_due}[/b] to come",
        f"[b]{progress.jobs_per_second:.1f}[/b] jobs/s",
        f"[b]{cost}[/b] requests per job",
    )
    return table


def _health(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 3))
    marks = [
        f"[{'green' if state == 'ready' else 'yellow'}]●[/] {name} [dim]{state}[/dim]"
        for name, state in progress.health.items()
    ]
    table.add_row(*marks)
    return table
