"""A real Valkey server a module, and settings, a client and the Celery application as the service makes them."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.app import app_or_default
from kombu import pools
from redis import Redis

from config.sources import Settings
from sandbox.redis_server import RedisServer
from tests.unit.config.conftest import NEEDED, Place, clear
from worker.app import make_app
from worker.redis_client import connect


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests of a module."""
    # Not pytest's own folder: its path is too long for a unix socket.
    with tempfile.TemporaryDirectory(prefix="jw-") as folder:
        path = Path(folder)
        with RedisServer(path / "redis", unix_socket=path / "redis.sock") as running:
            yield running


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that lead to the server, and chunks of three jobs."""
    clear(monkeypatch, NEEDED)
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path, monkeypatch)
    return place.load(JOBWORKER_REDIS__URL=redis_server.url, JOBWORKER_JOBS__CHUNK_SIZE="3")


@pytest.fixture
def client(settings: Settings) -> Iterator[Redis]:
    """A client of the empty server. Afterwards, no key of the project may be left without a time to live."""
    with connect(settings.redis) as connected:
        connected.flushall()
        yield connected
        kept = [key for key in connected.scan_iter("jobworker:*") if connected.pttl(key) < 0]
    assert kept == [], "keys without a time to live"


@pytest.fixture
def app(settings: Settings, client: Redis) -> Iterator[Celery]:
    """The application that publishes onto the server."""
    before = app_or_default()
    made = make_app(settings)
    yield made
    made.close()
    pools.reset()
    before.set_current()


@contextlib.contextmanager
def away(server: RedisServer) -> Iterator[None]:
    """Have the server away for a while; it comes back empty."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def refusing(client: Redis, command: str) -> Iterator[None]:
    """Have the server refuse one command for a while, and carry out every other."""
    client.acl_setuser("default", enabled=True, commands=[f"-{command}"])
    try:
        yield
    finally:
        client.acl_setuser("default", enabled=True, commands=[f"+{command}"])
