"""Runs the programs that judge the files under deploy/: each prints what is wrong, which then is the test's message."""

import subprocess
from pathlib import Path

import pytest

from tests.tools import find_tool

SECONDS = 60
"""No checker takes longer."""


def needed(name: str) -> Path:
    """Find a program, or skip the test that needs it."""
    found = find_tool(name)
    if found is None:
        pytest.skip(f"{name} is neither on PATH nor in .tools/bin; `make tools` fetches what Debian has")
    return found


def verdict(name: str, *arguments: object, cwd: Path | None = None) -> tuple[int, str]:
    """Run a program.

    Returns:
        Its exit code, and everything it printed.
    """
    done = subprocess.run(
        [needed(name), *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def output_of_success(name: str, *arguments: object, cwd: Path | None = None) -> str:
    """Run a program that must succeed.

    Returns:
        What it printed.
    """
    code, printed = verdict(name, *arguments, cwd=cwd)
    assert code == 0, printed
    return printed
