"""A real Prometheus: started on loopback with the deployed configuration, and asked the questions of deploy/."""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from sandbox.demo.processes import free_port
from tests.deploy.commands import needed
from tests.deploy.questions import ALERTS, DEPLOY, Question, questions
from tests.integration.service import wait_for

SCRAPE_SECONDS = 1
START_SECONDS = 30

RATE_INTERVAL = "30s"
"""What Grafana's $__rate_interval stands for here: many scrapes at this pace."""

TIME_RANGE = "5m"


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus answered to a question: how many series, and what it did not like."""

    question: Question
    series: Sequence[Mapping[str, Any]]
    complaint: str | None

    @property
    def has_figures(self) -> bool:
        """Whether at least one series has a value that is a number."""
        return any(series["value"][1] not in ("NaN", "+Inf", "-Inf") for series in self.series)


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expr: str) -> dict[str, Any]:
        """Ask for the value of an expression at this moment, errors included in the answer."""
        answer: dict[str, Any] = httpx.get(
            f"{self.url}/api/v1/query", params={"query": expr}, trust_env=False, timeout=30
        ).json()
        return answer

    def figure(self, expr: str) -> float:
        """Give the one value of an expression; nothing counts as zero."""
        result = self.query(expr)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def rules(self) -> list[dict[str, Any]]:
        """Give every rule as Prometheus evaluates it."""
        data = httpx.get(f"{self.url}/api/v1/rules", trust_env=False, timeout=30).json()["data"]
        return [rule for group in data["groups"] for rule in group["rules"]]


def check_queries_against(prometheus_url: str) -> list[Answer]:
    """Ask a running Prometheus every question of the dashboard, the alerts and the scaler.

    Args:
        prometheus_url: Its address.

    Returns:
        One answer a question, in their order.
    """
    prometheus = Prometheus(prometheus_url)
    return [_asked(prometheus, question) for question in questions()]


@contextlib.contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, Sequence[int]]) -> Iterator[Prometheus]:
    """Run Prometheus on loopback until the block ends.

    Args:
        folder: Where it keeps its data and its log.
        targets: By scrape job, the ports on loopback where metrics are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(_scraping(targets)), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [str(needed("prometheus")), f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: _is_ready(f"http://{address}"), START_SECONDS, (folder / "prometheus.log").read_text)
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _scraping(targets: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Take the deployed configuration, at a faster pace and with these targets in place of its discovery."""
    deployed: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    pace = f"{SCRAPE_SECONDS}s"
    ours = [job for job in deployed["scrape_configs"] if job["job_name"] in targets]
    return {
        **deployed,
        "global": {"scrape_interval": pace, "scrape_timeout": pace, "evaluation_interval": pace},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {
                "job_name": job["job_name"],
                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets[job["job_name"]]]}],
            }
            for job in ours
        ],
    }


def _asked(prometheus: Prometheus, question: Question) -> Answer:
    answer = prometheus.query(question.with_windows(RATE_INTERVAL, TIME_RANGE))
    if answer["status"] != "success":
        return Answer(question, [], answer["error"])
    return Answer(question, answer["data"]["result"], "; ".join(answer.get("warnings", [])) or None)


def _is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/-/ready", trust_env=False, timeout=5).is_success
    return False


def scraped_since(prometheus: Prometheus, instant: float) -> bool:
    """Tell whether every target has been scraped since an instant (Unix time)."""
    return prometheus.figure("min(timestamp(up))") > instant


def now() -> float:
    """Give this machine's clock, which is Prometheus' as well."""
    return time.time()
