"""The demo's cast: what is started, with which settings, and where it can be asked how it is."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sandbox.demo.processes import Family, Process, free_port, read_ready_line
from sandbox.redis_server import RedisServer

WORKERS = 2

PACE: Mapping[str, str] = {
    # A demo lasts half a minute, so everything that takes minutes or hours in earnest takes seconds here.
    "JOBWORKER_POLL__INTERVAL": "1s",
    "JOBWORKER_POLL__OVERLAP": "4s",
    "JOBWORKER_POLL__SWEEP_INTERVAL": "20s",
    "JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT": "8s",
    "JOBWORKER_JOBS__READY_GRACE": "4s",
    "JOBWORKER_JOBS__LEASE": "30s",
}


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything that runs, and how to reach it."""

    sandbox: "ControlSurface"
    services: tuple[Process, ...]
    environment: Mapping[str, str]
    redis_url: str


class ControlSurface:
    """The sandbox's own surface, which is no part of Dataverse and costs no request of it."""

    def __init__(self, url: str, ca_file: str) -> None:
        self.url = url
        self.ca_file = ca_file
        context = ssl.create_default_context(cafile=ca_file)
        self._http = httpx.Client(base_url=url, verify=context, timeout=60, trust_env=False)

    def get(self, path: str) -> dict[str, Any]:
        """Ask for one of its documents."""
        response = self._http.get(f"/sandbox/{path}")
        response.raise_for_status()
        document: dict[str, Any] = response.json()
        return document

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Tell it something."""
        response = self._http.post(f"/sandbox/{path}", json=dict(body))
        response.raise_for_status()
        document: dict[str, Any] = response.json()
        return document

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


def start_sandbox(family: Family) -> dict[str, Any]:
    """Start the Dataverse emulator.

    Returns:
        What it says of itself: ``url``, ``ca_file``, ``authority``, ``tenant_id``, ``client_id``, ``client_secret``.
    """
    process = family.start("sandbox", ["sandbox", "--port", "0", "--json"], {}, stdout=-1)
    return read_ready_line(process)


def start_services(family: Family, ready: Mapping[str, Any], redis: RedisServer) -> Cast:
    """Start the poller and the workers against the sandbox."""
    environment = {**service_settings(ready, redis.url), **PACE}
    poller = _start(family, "poller", ["worker", "poll"], environment)
    working = ["worker", "work", "--concurrency", "1"]
    workers = [_start(family, f"worker-{number}", working, environment) for number in range(1, WORKERS + 1)]
    surface = ControlSurface(ready["url"], ready["ca_file"])
    return Cast(surface, (poller, *workers), environment, redis.url)


def health(process: Process) -> str:
    """Ask a process how it is.

    Returns:
        ``ready``, ``starting`` (nothing answers yet), or what is wrong.
    """
    try:
        answer = httpx.get(f"http://127.0.0.1:{process.metrics_port}/readyz", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return "starting"
    if answer.status_code == httpx.codes.OK:
        return "ready"
    wrong = [said for said in answer.json().values() if said != "ok"]
    return wrong[0] if wrong else "not ready"


def _start(family: Family, name: str, arguments: list[str], environment: Mapping[str, str]) -> Process:
    port = free_port()
    return family.start(name, arguments, {**environment, "JOBWORKER_METRICS__PORT": str(port)}, metrics_port=port)


def service_settings(ready: Mapping[str, Any], redis_url: str) -> dict[str, str]:
    """Give the settings of a service that works against a sandbox, as it described itself when it was ready."""
    return {
        "JOBWORKER_DATAVERSE__URL": ready["url"],
        "JOBWORKER_DATAVERSE__CA_FILE": str(Path(ready["ca_file"])),
        "JOBWORKER_AUTH__METHOD": "client_secret",
        "JOBWORKER_AUTH__AUTHORITY": ready["authority"],
        "JOBWORKER_AUTH__TENANT_ID": ready["tenant_id"],
        "JOBWORKER_AUTH__CLIENT_ID": ready["client_id"],
        "JOBWORKER_AUTH__CLIENT_SECRET": ready["client_secret"],
        "JOBWORKER_REDIS__URL": redis_url,
    }
