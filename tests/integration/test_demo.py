"""The demo as a stranger runs it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.demo.processes import clean_environment
from tests.integration.service import run_command, wait_for

KEYS = {
    "jobs", "ended", "mismatched", "doubled", "stuck", "by_status", "by_reason",
    "requests_per_job", "operations_per_job", "seconds",
}  # fmt: skip


def _left_behind(folder: Path) -> list[str]:
    """Find processes that work in a folder or were told about it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = str((process / "cwd").readlink())
            zombie = ") Z " in (process / "stat").read_text()
        except OSError:
            continue
        if (str(folder) in told or place.startswith(str(folder))) and not zombie and int(process.name) != os.getpid():
            found.append(told)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for everything temporary, short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="jw-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_the_demo_ends_well_and_sums_up(folder: Path) -> None:
    done = run_command(
        "demo", "--jobs", "60", "--json", environment={"TMPDIR": str(folder)}, folder=folder, seconds=110
    )

    summary = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert set(summary) == KEYS
    assert (summary["jobs"], summary["ended"]) == (60, 60)
    assert (summary["mismatched"], summary["doubled"], summary["stuck"]) == (0, 0, 0)
    assert sum(summary["by_status"].values()) == 60
    assert "Every one of 60 jobs ended once" in done.stderr
    assert _left_behind(folder) == []


@pytest.mark.parametrize("when", ["Starting", "Seeded", "requests/job"])
def test_an_interrupt_at_any_moment_leaves_no_process_behind(folder: Path, when: str) -> None:
    said = folder / "said"
    with said.open("w") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "worker", "demo", "--jobs", "200"],
            env={**clean_environment(), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    wait_for(lambda: when in said.read_text(), 60, said.read_text)

    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 130, said.read_text()
    assert "everything is stopped" in said.read_text()
    assert _left_behind(folder) == []
