"""The embedded Redis-protocol server: a real one, started, killed, restarted."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sandbox.redis_server import RedisServer, RedisUnavailableError


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="rs", dir="/tmp") as directory:
        yield Path(directory)


def client(server: RedisServer) -> "redis.Redis":
    return redis.Redis.from_url(server.url, socket_timeout=2)


def fill(connection: "redis.Redis") -> None:
    for number in range(1000):
        connection.set(str(number), "x" * 10_000)


def test_it_answers_on_loopback_and_never_evicts() -> None:
    with RedisServer() as server, client(server) as connection:
        assert server.url.startswith("redis://127.0.0.1:")
        assert connection.ping()
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert connection.config_get("bind") == {"bind": "127.0.0.1"}
        assert connection.info("server")["process_id"] == server.pid


def test_its_files_go_with_it() -> None:
    with RedisServer() as server:
        directory = server.data_dir
        assert directory.exists()
    assert not directory.exists()


def test_a_given_directory_stays(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis"):
        pass
    assert (tmp_path / "redis" / "server.log").exists()


def test_it_listens_on_a_private_unix_socket(short_dir: Path) -> None:
    path = short_dir / "redis.sock"
    with RedisServer(unix_socket=path) as server, client(server) as connection:
        assert server.url == f"unix://{path}?db=0"
        assert connection.ping()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not path.exists()


def test_a_socket_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="100 bytes"):
        RedisServer(unix_socket=Path("/" + "x" * 100))


@pytest.mark.parametrize("appendonly", [True, False])
def test_what_is_written_survives_a_kill_only_where_that_was_asked_for(appendonly: bool) -> None:
    settings = {"appendfsync": "always"} if appendonly else {}
    with RedisServer(appendonly=appendonly, settings=settings) as server:
        url = server.url
        with client(server) as connection:
            connection.set("key", "value")
        server.kill()
        server.start()
        assert server.url == url
        with client(server) as connection:
            assert connection.exists("key") == int(appendonly)


def test_it_restarts_on_the_same_address() -> None:
    with RedisServer() as server:
        url, pid = server.url, server.pid
        server.restart()
        assert server.url == url
        assert server.pid != pid
        with client(server) as connection:
            assert connection.ping()


def test_a_full_memory_is_an_error_and_no_eviction() -> None:
    with RedisServer(maxmemory="3mb") as server, client(server) as connection:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            fill(connection)
        assert connection.exists("0")


def test_a_frozen_server_hangs_until_it_is_thawed() -> None:
    with RedisServer() as server:
        server.freeze()
        impatient = redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None)
        with pytest.raises(redis.exceptions.TimeoutError):
            impatient.ping()
        impatient.close()
        server.thaw()
        with client(server) as connection:
            assert connection.ping()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RedisUnavailableError, match="did not start"):
        RedisServer(settings={"no-such-setting": "1"}).start()


def test_it_is_started_once() -> None:
    with RedisServer() as server, pytest.raises(RedisUnavailableError):
        server.start()
    with pytest.raises(RedisUnavailableError):
        _ = server.pid
    server.stop()


def test_nothing_is_left_behind() -> None:
    with RedisServer() as server:
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
