"""`make soak`: thousands of jobs under all faults together. Bounded, stops by itself, prints what came of it.

It is done in rounds, each with a service and a sandbox of its own and another seed, so that a failing round can be run
again by itself: ``python -m tests.faults.soak --jobs 1000 --seed N``.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.breaking import Report, run
from tests.faults.scenarios import EVERYTHING

JOBS = 10_000
JOBS_A_ROUND = 2_500
JOBS_PER_SECOND = 40
"""At which packets arrive: near what two workers manage on two cores under all faults."""

PATIENCE_SECONDS = 600.0
"""How long after the last arrival a job may take to end before it counts as stuck."""


def main() -> int:
    """Run the soak.

    Returns:
        0 when every job of every round ended once and as its seed says.
    """
    options = _options()
    console = Console()
    reports = []
    for number, jobs in enumerate(_rounds(options.jobs), start=options.seed):
        report = _round(jobs, number)
        reports.append(report)
        console.print(_line(report), highlight=False)
        if not report.is_good:
            console.print(report.account, markup=False, highlight=False)
    console.print(_table(reports))
    return 0 if all(report.is_good for report in reports) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many jobs in all")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next rounds count on from it")
    return parser.parse_args()


def _rounds(jobs: int) -> list[int]:
    whole, rest = divmod(jobs, JOBS_A_ROUND)
    return [JOBS_A_ROUND] * whole + ([rest] if rest else [])


def _round(jobs: int, seed: int) -> Report:
    arrive_over = jobs / JOBS_PER_SECOND
    with tempfile.TemporaryDirectory(prefix="jw-") as folder:
        return run(
            EVERYTHING, jobs, Path(folder), seconds=arrive_over + PATIENCE_SECONDS, arrive_over=arrive_over, seed=seed
        )


def _line(report: Report) -> str:
    return (
        f"{report.jobs} jobs in {report.seconds:.0f} s: lost {report.lost}, stuck {report.stuck}, "
        f"doubled {report.doubled}, otherwise than seeded {report.mismatched}"
    )


def _table(reports: list[Report]) -> Table:
    injected: Counter[str] = Counter()
    for report in reports:
        injected.update(report.injected)
    table = Table(title="Soak: all faults together", title_justify="left", title_style="bold")
    table.add_column("What")
    table.add_column("How many", justify="right")
    table.add_row("jobs", str(sum(report.jobs for report in reports)))
    table.add_section()
    for name, times in sorted(injected.items()):
        table.add_row(f"fault: {name.replace('_', ' ')}", str(times))
    table.add_section()
    for name in ("lost", "stuck", "doubled", "mismatched"):
        table.add_row(f"[b]{name}[/b]", f"[b]{sum(getattr(report, name) for report in reports)}[/b]")
    return table


if __name__ == "__main__":
    sys.exit(main())
