"""What a settled job costs in requests and operations of Dataverse, by the size of the chunks."""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.table import Table

from tests.integration.service import Service, running_service

CHUNK_SIZES = (1, 5, 10, 25, 50)
JOBS = 1_000
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost: per job in requests and operations; in seconds from the first claim to the last end."""

    chunk_size: int
    requests_per_job: float
    operations_per_job: float
    seconds: float


def measure(chunk_size: int, jobs: int = JOBS) -> Cost:
    """Carry complete jobs to their ends with one worker of two children."""
    settings = {
        "JOBWORKER_JOBS__CHUNK_SIZE": str(chunk_size),
        "JOBWORKER_POLL__INTERVAL": "1s",
        "JOBWORKER_LOG__LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory(prefix="jw-") as folder, running_service(Path(folder)) as service:
        service.sandbox.post("limits", {"enabled": False})
        service.seed(jobs, kinds={"complete_from_one": 1})
        service.worker(WORKERS, **settings)
        service.poller(**settings)
        service.wait_until_all_ended(600)
        stats = service.sandbox.get("stats")
        return Cost(chunk_size, stats["requests"] / jobs, stats["operations"] / jobs, _seconds(service))


def table(costs: list[Cost]) -> Table:
    """Draw the costs side by side, times as ratios to the default chunk size."""
    usual = next(cost.seconds for cost in costs if cost.chunk_size == 10)
    made = Table(title=f"Cost of a settled job ({JOBS} jobs, {WORKERS} processes)", title_justify="left")
    for heading in ("chunk size", "requests/job", "operations/job", "time (chunk 10 = 1)"):
        made.add_column(heading, justify="right")
    for cost in costs:
        figures = (f"{cost.requests_per_job:.3f}", f"{cost.operations_per_job:.2f}", f"{cost.seconds / usual:.2f}")
        made.add_row(str(cost.chunk_size), *figures)
    return made


def _seconds(service: Service) -> float:
    """Read from the audit how long it took, in whole seconds of Dataverse's clock."""
    instants = [datetime.fromisoformat(one["at"]) for one in service.changes() if one["kind"] == "update"]
    return max(1.0, (max(instants) - min(instants)).total_seconds())
