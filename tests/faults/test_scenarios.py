"""Each scenario in its short form; `make soak` runs the long one."""

import tempfile
from pathlib import Path

import pytest

from tests.faults.breaking import run
from tests.faults.scenarios import EVERYTHING, SCENARIOS, Scenario

JOBS = 200


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", [*SCENARIOS, EVERYTHING], ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_no_job_is_lost_stuck_or_settled_twice(scenario: Scenario) -> None:
    with tempfile.TemporaryDirectory(prefix="jw-") as folder:
        report = run(scenario, JOBS, Path(folder), seconds=220, arrive_over=6)

    assert report.is_good, report
    assert all(report.injected.get(one.name.lower()) for one in scenario.disturbances), report.injected
    assert all(report.injected.get(one["kind"]) for one in scenario.faults), report.injected
