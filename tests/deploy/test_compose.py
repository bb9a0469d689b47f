"""The compose file: complete, restarting, sealed off; and Valkey's configuration, given to a real server."""

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from config.durations import parse_duration
from config.settings import WorkSettings
from tests.deploy.commands import needed
from tests.tools import ROOT, find_tool

FOLDER = ROOT / "deploy" / "compose"
OURS = ("poller", "worker")

NOT_UP_YET = (RedisConnectionError, BusyLoadingError)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    command = compose_command()
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    folder = tmp_path / "deploy" / "compose"
    (folder / "jobworker.env.example").rename(folder / "jobworker.env")
    (folder / ".env").write_text("GRAFANA_ADMIN_PASSWORD=example\n", encoding="utf-8")
    done = subprocess.run([*command, "config", "--quiet"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def compose_command() -> list[str]:
    """Find compose as a program of its own or as docker's plugin, or skip the test: it needs no engine, but itself."""
    for command in (["docker-compose"], ["docker", "compose"]):
        program = find_tool(command[0])
        if program and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return [str(program), *command[1:]]
    return pytest.skip("there is no docker compose here")


def test_every_service_restarts_and_is_watched(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        tag = service["image"].removeprefix("${IMAGE:-").rstrip("}").rpartition(":")[2]
        assert re.match(r"v?\d+\.\d+", tag)


def test_no_service_can_gain_privileges(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_ports_are_published_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not [name for name in (*OURS, "valkey") if "ports" in services[name]]


def test_valkey_has_no_way_out(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    assert services["valkey"]["networks"] == ["inside"]
    assert compose["networks"]["inside"] == {"internal": True}


def test_everything_that_is_mounted_is_there(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for mount in service.get("volumes", []):
            if mount.startswith("."):
                assert (FOLDER / mount.split(":")[0]).exists()


def test_every_secret_is_a_file_that_is_kept_out_of_git(compose: dict[str, Any]) -> None:
    assert all(secret["file"].startswith("./secrets/") for secret in compose["secrets"].values())
    assert "secrets/" in (FOLDER / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_anonymous_visitors_see_no_dashboard(services: dict[str, dict[str, Any]]) -> None:
    grafana = services["grafana"]["environment"]
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_ADMIN_PASSWORD:?")


@pytest.mark.parametrize("name", OURS)
def test_our_processes_run_the_right_command_where_prometheus_looks(
    services: dict[str, dict[str, Any]], name: str
) -> None:
    service = services[name]
    port = service["environment"]["JOBWORKER_METRICS__PORT"]
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = [job for job in scraped["scrape_configs"] if job["job_name"] == f"jobworker-{name}"]
    assert service["command"] == [{"poller": "poll", "worker": "work"}[name]]
    assert service["healthcheck"]["test"] == ["CMD", "healthy", port]
    assert job["dns_sd_configs"][0]["names"] == [name]
    assert str(job["dns_sd_configs"][0]["port"]) == port


@pytest.mark.parametrize("name", OURS)
def test_a_draining_process_is_given_the_time_it_may_take(services: dict[str, dict[str, Any]], name: str) -> None:
    margin = timedelta(seconds=15)
    grace: Any = parse_duration(services[name]["stop_grace_period"])
    assert grace >= WorkSettings.model_fields["shutdown_timeout"].default + margin


@pytest.mark.parametrize("name", OURS)
def test_a_second_poller_and_worker_stand_by(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["deploy"]["replicas"] == 2


def test_childrens_metrics_are_kept_in_memory(services: dict[str, dict[str, Any]]) -> None:
    (tmpfs,) = services["worker"]["tmpfs"]
    folder = Path(services["worker"]["environment"]["PROMETHEUS_MULTIPROC_DIR"])
    assert folder.is_relative_to(tmpfs.partition(":")[0])
    assert "PROMETHEUS_MULTIPROC_DIR" not in services["poller"]["environment"]


def test_valkeys_configuration_starts_a_server_that_never_evicts_and_asks_for_the_password(tmp_path: Path) -> None:
    socket, password = tmp_path / "valkey.sock", "correct-horse"
    secret = tmp_path / "valkey_auth"
    secret.write_text(f"requirepass {password}\n", encoding="utf-8")
    text = (FOLDER / "valkey.conf").read_text(encoding="utf-8")
    text = text.replace("/run/secrets/valkey_auth", str(secret)).replace("dir /data", f"dir {tmp_path}")
    configuration = tmp_path / "valkey.conf"
    configuration.write_text(f"{text}\nport 0\nunixsocket {socket}\n", encoding="utf-8")
    server = subprocess.Popen([needed("redis-server"), configuration], stdout=subprocess.DEVNULL)
    try:
        with connected(socket, password, Retry(ConstantBackoff(0.05), 100, NOT_UP_YET)) as redis:
            assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert redis.config_get("appendonly") == {"appendonly": "yes"}
        with pytest.raises(AuthenticationError), connected(socket, None, Retry(NoBackoff(), 0)) as stranger:
            stranger.ping()
    finally:
        server.terminate()
        assert server.wait(timeout=10) == 0


def connected(socket: Path, password: str | None, retry: Retry) -> Redis:
    return Redis(unix_socket_path=str(socket), password=password, decode_responses=True, retry=retry)
