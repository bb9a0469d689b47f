"""deploy/tools/fetch: quick where there is nothing to do, one line where it cannot help, and never a failed build."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools import ROOT

TOOLS = ("prometheus", "promtool", "redis-server", "redis-cli")
BASICS = ("dirname", "mkdir", "id", "cat")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy the script into an empty project, beside a folder of programs that is all it will find."""
    folder = tmp_path / "deploy" / "tools"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "tools" / "fetch", folder)
    (tmp_path / "programs").mkdir()
    for name in BASICS:
        (tmp_path / "programs" / name).symlink_to(shutil.which(name) or name)
    return tmp_path


def fetch(project: Path) -> tuple[int, str, str]:
    environment = {"PATH": str(project / "programs")}
    script = project / "deploy" / "tools" / "fetch"
    shell = shutil.which("sh") or "/bin/sh"
    done = subprocess.run([shell, script], env=environment, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def make_tool(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("place", ["programs", ".tools/bin"])
def test_nothing_is_done_where_the_tools_are(project: Path, place: str) -> None:
    for name in TOOLS:
        make_tool(project / place, name)
    before = sorted(project.rglob("*"))
    assert fetch(project) == (0, "", "")
    assert sorted(project.rglob("*")) == before


def test_elsewhere_than_on_debian_one_line_says_what_is_skipped(project: Path) -> None:
    make_tool(project / "programs", "redis-server")
    code, printed, complaints = fetch(project)
    assert (code, complaints) == (0, "")
    assert printed.count("\n") == 1
    assert "prometheus promtool redis-cli are skipped" in printed
    assert ".tools/bin" in printed


def test_a_download_that_fails_fails_no_build(project: Path) -> None:
    for name in ("apt-get", "dpkg", "dpkg-deb"):
        make_tool(project / "programs", name)
    for name in ("flock", "timeout", "awk", "sh"):
        (project / "programs" / name).symlink_to(shutil.which(name) or name)
    code, printed, complaints = fetch(project)
    assert (code, complaints) == (0, "")
    assert "are skipped" in printed.splitlines()[-1]
