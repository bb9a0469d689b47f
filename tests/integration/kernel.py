"""What the kernel tells of a process: its children and its sockets (Linux)."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LISTENS = "0A"


@dataclass(frozen=True, slots=True)
class Socket:
    """A TCP socket of a process: its number in the kernel, its ports, whether it waits for strangers."""

    inode: str
    local: str
    port: int
    remote_port: int
    listens: bool


def children_of(pid: int) -> Iterator[int]:
    """List a process's children."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def sockets(pid: int) -> list[Socket]:
    """List a process's TCP sockets."""
    held = set(_inodes(pid))
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return [one for one in map(_read, lines) if one.inode in held]


def _read(line: str) -> Socket:
    words = line.split()
    local, _, port = words[1].partition(":")
    return Socket(words[9], local, int(port, 16), int(words[2].rpartition(":")[2], 16), words[3] == LISTENS)


def _inodes(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
            yield found[1]
