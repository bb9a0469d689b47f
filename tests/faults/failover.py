"""An address of Redis that outlives its server, as managed Redis and Kubernetes services have it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import redis

from sandbox.redis_server import RedisServer
from tests.integration.service import wait_for


class Address:
    """Forwards connections to whichever server is the primary now."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)
        self._listens = threading.Event()
        self._ended = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._target: int | None = None
        self._loop: asyncio.AbstractEventLoop
        self.port = 0

    @property
    def url(self) -> str:
        """The one URL that clients are given."""
        return f"redis://127.0.0.1:{self.port}/0"

    def point_to(self, port: int) -> None:
        """Send new connections to a server, and break those to the one before."""
        self._target = port
        self._loop.call_soon_threadsafe(self._break_connections)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listens.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with await asyncio.start_server(self._forward, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._listens.set()
            await self._ended.wait()
            self._break_connections()

    def _break_connections(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = [writer]
        self._writers.update(pair)
        with contextlib.suppress(OSError):
            answers, asks = await asyncio.open_connection("127.0.0.1", self._target)
            pair.append(asks)
            self._writers.update(pair)
            await asyncio.gather(self._pump(reader, asks), self._pump(answers, writer))
        self._writers.difference_update(pair)
        for one in pair:
            one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # one side has gone: the other goes with it


class Pair:
    """A primary and its replica behind one address."""

    def __init__(self, address: Address, primary: RedisServer, replica: RedisServer) -> None:
        self._address = address
        self._primary, self._replica = primary, replica
        self._follow()
        address.point_to(_port(primary))

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return self._address.url

    def fail_over(self) -> None:
        """Lose the primary, promote the replica, and give it a new replica where the primary was."""
        self._primary.kill()
        with _client(self._replica) as client:
            client.replicaof("NO", "ONE")
        self._primary, self._replica = self._replica, self._primary
        self._address.point_to(_port(self._primary))
        self._replica.start()
        self._follow()

    def _follow(self) -> None:
        with _client(self._replica) as client:
            client.replicaof("127.0.0.1", str(_port(self._primary)))
            wait_for(lambda: client.info("replication").get("master_link_status") == "up", 20)


@contextlib.contextmanager
def failing_over() -> Iterator[Pair]:
    """Start two servers behind one address."""
    at_once = {"repl-diskless-sync-delay": "0"}
    with Address() as address, RedisServer(settings=at_once) as primary, RedisServer(settings=at_once) as replica:
        yield Pair(address, primary, replica)


def _port(server: RedisServer) -> int:
    return int(server.url.rpartition(":")[2].partition("/")[0])


def _client(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)
