"""The units: judged by systemd's own checkers, in a root folder of their own."""

import re
from pathlib import Path

import pytest

from tests.deploy.commands import verdict
from tests.tools import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = ("jobworker-poller.service", "jobworker-worker@.service")
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user")

MOST_EXPOSED = 20
"""systemd's score for what a service could do to its machine, times ten: 0 nothing, 100 everything."""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root folder with the units, the program they start, and the targets they are ordered by."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for name in UNITS:
        (units / name.replace("@.", "@9465.")).write_bytes((FOLDER / name).read_bytes())
    for target in TARGETS:
        (units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n", encoding="utf-8")
    (units / "system.slice").write_text("[Unit]\nDescription=system\n", encoding="utf-8")
    program = tmp_path / "opt" / "jobworker" / "bin" / "jobworker"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_every_line(machine: Path, name: str) -> None:
    unit = name.replace("@.", "@9465.")
    code, printed = verdict("systemd-analyze", "verify", "--man=no", f"--root={machine}", unit)
    assert (code, printed) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_units_can_do_little_to_their_machine(name: str) -> None:
    arguments = ("--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", FOLDER / name)
    code, printed = verdict("systemd-analyze", "security", *arguments)
    assert code == 0, printed


@pytest.mark.parametrize("name", UNITS)
def test_units_come_back_whatever_ends_them(name: str) -> None:
    assert setting(name, "Restart") == ["always"]
    assert setting(name, "StartLimitIntervalSec") == ["0"]


@pytest.mark.parametrize("name", UNITS)
def test_secrets_are_credentials_and_no_variables(name: str) -> None:
    credentials = {value.partition(":")[0] for value in setting(name, "LoadCredential")}
    named = {value.rpartition("/")[2] for value in setting(name, "Environment") if "_FILE=%d/" in value}
    assert credentials == named == {"client_secret", "redis_url"}


def test_childrens_metrics_are_kept_in_memory() -> None:
    (folder,) = setting("jobworker-worker@.service", "RuntimeDirectory")
    assert f"PROMETHEUS_MULTIPROC_DIR=%t/{folder}" in setting("jobworker-worker@.service", "Environment")


def setting(unit: str, name: str) -> list[str]:
    """Give every value that a unit gives to a setting."""
    return re.findall(rf"^{name}=(.*)$", (FOLDER / unit).read_text(encoding="utf-8"), flags=re.MULTILINE)
