"""The service runs, a real Prometheus scrapes it, and every question of deploy/ finds what it asks for."""

from collections.abc import Iterator

import pytest

from tests.deploy.commands import needed
from tests.deploy.live import Answer, Prometheus, check_queries_against, now, running_prometheus, scraped_since
from tests.deploy.questions import alerts
from tests.integration.service import Service, running_service, wait_for

JOBS = 40
ROUNDS = 2
"""A counter's first value is no increase yet: the second round of jobs is one for certain."""

SILENT_WHEN_WELL = {"Firing alerts"}
"""Panels that are empty while all is well."""

LOUD_HERE = {"JobworkerManyJobsFail"}
"""The seeded jobs end in every way there is, so that more of them fail than should."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Let a fleet of two pollers and two workers settle jobs under the eyes of Prometheus."""
    needed("prometheus")
    folder = tmp_path_factory.mktemp("live")
    with running_service(folder / "service") as service:
        processes = {
            "jobworker-poller": [service.poller(), service.poller()],
            "jobworker-worker": [service.worker(), service.worker()],
        }
        ports = {job: [process.metrics_port or 0 for process in group] for job, group in processes.items()}
        for process in [process for group in processes.values() for process in group]:
            service.wait_until_ready(process)
        with running_prometheus(folder / "prometheus", ports) as scraping:
            for number in range(1, ROUNDS + 1):
                settle_jobs(service, scraping, number)
            yield scraping


def settle_jobs(service: Service, scraping: Prometheus, number: int) -> None:
    wait_until_scraped(scraping)
    service.seed(JOBS, arrive_over=2, random_seed=number)
    service.wait_until_all_ended()
    wait_until_scraped(scraping)
    assert scraping.figure("sum(jobworker_jobs_settled_total)") == number * JOBS


def wait_until_scraped(scraping: Prometheus) -> None:
    asked_at = now()
    wait_for(lambda: scraped_since(scraping, asked_at), 20)


@pytest.fixture(scope="module")
def answers(prometheus: Prometheus) -> list[Answer]:
    return check_queries_against(prometheus.url)


def test_prometheus_reaches_every_process(prometheus: Prometheus) -> None:
    assert prometheus.figure("sum(up)") == 4
    assert prometheus.figure("sum(jobworker_poll_leader)") == 1


def test_prometheus_understands_every_question(answers: list[Answer]) -> None:
    assert not [(answer.question.place, answer.complaint) for answer in answers if answer.complaint]


def test_every_panel_has_something_to_show(answers: list[Answer]) -> None:
    empty = {
        answer.question.place.removeprefix("dashboard: ")[:-2]
        for answer in answers
        if answer.question.place.startswith(("dashboard", "scaler")) and not answer.has_figures
    }
    assert empty <= SILENT_WHEN_WELL


def test_no_alert_cries_over_a_service_that_is_well(answers: list[Answer]) -> None:
    loud = {a.question.place for a in answers if a.question.place.startswith("alert") and a.series}
    assert loud <= {f"alert: {name}" for name in LOUD_HERE}


def test_every_alert_can_be_evaluated(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in alerts()}
    assert not [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"]
