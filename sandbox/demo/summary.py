"""What the demo came to: every job's end against what its seed said, and what the run cost. Judged by the audit."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox.demo.view import COLOURS


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a demo. Its fields are the keys of ``demo --json``."""

    jobs: int
    ended: int
    mismatched: int
    doubled: int
    stuck: int
    by_status: Mapping[str, int]
    by_reason: Mapping[str, int]
    requests_per_job: float
    operations_per_job: float
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether every job ended once, as its seed says."""
        return self.ended == self.jobs and not (self.mismatched or self.doubled or self.stuck)

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints."""
        return asdict(self)


def summarise(judgement: Mapping[str, Any], stats: Mapping[str, Any], seconds: float) -> Summary:
    """Put the sandbox's judgement and figures together."""
    ended = judgement["ended"]
    return Summary(
        jobs=judgement["jobs"],
        ended=ended,
        mismatched=judgement["mismatched_count"],
        doubled=judgement["doubled_count"],
        stuck=judgement["stuck_count"],
        by_status=judgement["by_status"],
        by_reason=judgement["by_reason"],
        requests_per_job=round(stats["requests"] / max(ended, 1), 3),
        operations_per_job=round(stats["operations"] / max(ended, 1), 3),
        seconds=round(seconds, 1),
    )


def outcome_table(expected: Mapping[str, Any], audit_ends: Mapping[str, tuple[str, str]]) -> Table:
    """Draw status by reason: how many jobs the seed meant to end so, and how many did.

    Args:
        expected: The sandbox's document of expected ends.
        audit_ends: By job, the status and reason it really ended with.
    """
    meant = Counter((job["status"], job["reason"]) for job in expected["jobs"])
    ended = Counter(audit_ends.values())
    table = Table(title="How the jobs ended", title_justify="left", title_style="bold", header_style="bold")
    table.add_column("Status")
    table.add_column("Reason")
    table.add_column("Expected", justify="right")
    table.add_column("Ended so", justify="right")
    table.add_column("")
    for key in sorted({*meant, *ended}, key=lambda end: (list(COLOURS).index(end[0]), end[1])):
        status, reason = key
        agrees = meant[key] == ended[key]
        mark = "[green]✓[/]" if agrees else "[red]✗[/]"
        table.add_row(f"[{COLOURS[status]}]{status}[/]", reason, str(meant[key]), str(ended[key]), mark)
    table.add_section()
    table.add_row("[b]all[/b]", "", f"[b]{meant.total()}[/b]", f"[b]{ended.total()}[/b]", "")
    return table


def print_verdict(console: Console, summary: Summary) -> None:
    """Say in a few lines what came of it and what it cost."""
    if summary.is_good:
        console.print(
            f"[bold green]Every one of {summary.jobs} jobs ended once, as it should,[/] in {summary.seconds:.0f} s."
        )
    else:
        console.print(
            f"[bold red]Not as it should be:[/] {summary.mismatched} ended otherwise than expected, "
            f"{summary.doubled} were settled twice, {summary.stuck} never ended."
        )
    console.print(
        f"Cost: [b]{summary.requests_per_job:.2f}[/b] requests and [b]{summary.operations_per_job:.2f}[/b] operations "
        "of Dataverse per settled job, the poller's included.",
        highlight=False,
    )
