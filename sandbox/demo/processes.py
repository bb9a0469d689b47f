"""Starts the demo's processes and makes sure that none of them outlives it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PREFIX = "JOBWORKER_"
STOP_SECONDS = 15.0
"""How long a process may take to drain before it is killed."""


class ProcessEndedError(Exception):
    """A process of the demo ended by itself. Holds its last words."""


@dataclass(slots=True)
class Process:
    """One child in a session of its own, so that a Ctrl-C in the terminal reaches only the demo, which stops it."""

    name: str
    popen: "subprocess.Popen[str]"
    log_file: Path
    metrics_port: int | None = None

    def ensure_running(self) -> None:
        """Check on it.

        Raises:
            ProcessEndedError: When it has ended.
        """
        code = self.popen.poll()
        if code is not None:
            raise ProcessEndedError(f"{self.name} ended with code {code}. Its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """Give the end of its log."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])


@dataclass(slots=True)
class Family:
    """The processes of one demo and the folder they live in."""

    folder: Path
    members: list[Process] = field(default_factory=list)

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        metrics_port: int | None = None,
        stdout: int | IO[str] | None = None,
    ) -> Process:
        """Start ``python -m ...`` with a clean set of settings; what it logs goes to a file of its name.

        Temporary files go to the folder too, so that those of a process that was killed do not stay behind.
        """
        log_file = self.folder / f"{name}.log"
        with log_file.open("w") as log:
            popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**clean_environment(), "TMPDIR": str(self.folder), **environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        process = Process(name, popen, log_file, metrics_port)
        self.members.append(process)
        return process

    def ensure_running(self) -> None:
        """Check on all of them.

        Raises:
            ProcessEndedError: When one has ended.
        """
        for member in self.members:
            member.ensure_running()

    def stop(self) -> None:
        """Stop all, the youngest first: workers and poller drain while Redis and the sandbox still answer."""
        with _undisturbed():
            services = [member for member in self.members if member.metrics_port is not None]
            others = [member for member in reversed(self.members) if member.metrics_port is None]
            _stop_together(services)
            for member in others:
                _stop_together([member])


def read_ready_line(process: Process) -> dict[str, Any]:
    """Wait for the one line of JSON in which a process says that it is ready.

    Raises:
        ProcessEndedError: When it ends before it says so.
    """
    stdout = process.popen.stdout
    line = stdout.readline() if stdout else ""
    if not line:
        process.popen.wait()
        raise ProcessEndedError(f"{process.name} did not start. Its last words:\n{process.last_words()}")
    ready: dict[str, Any] = json.loads(line)
    return ready


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """Give this environment without settings of a real service, which must not leak into the demo."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}


def _stop_together(members: list[Process]) -> None:
    for member in members:
        _signal(member, signal.SIGTERM)
    for member in members:
        with contextlib.suppress(subprocess.TimeoutExpired):
            member.popen.wait(STOP_SECONDS)
        _signal(member, signal.SIGKILL)  # its whole session: children that it left behind, too
        member.popen.wait()
        if member.popen.stdout:
            member.popen.stdout.close()


def _signal(member: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(member.popen.pid, number)
        else:
            os.kill(member.popen.pid, number)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait until everything is stopped."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
