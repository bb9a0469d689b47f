"""The Prometheus configuration and the alerts, judged by promtool; and what every alert owes its reader."""

import re
from typing import Any

import pytest
import yaml

from tests.deploy.commands import output_of_success
from tests.deploy.questions import ALERTS, DEPLOY, alerts
from tests.tools import ROOT

FOLDER = DEPLOY / "prometheus"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
SEVERITIES = {"critical", "warning", "info"}

EACH_ALERT = pytest.mark.parametrize("alert", [pytest.param(alert, id=alert["alert"]) for alert in alerts()])


def test_promtool_accepts_the_configuration() -> None:
    assert "SUCCESS" in output_of_success("promtool", "check", "config", FOLDER / "prometheus.yml")


def test_promtool_accepts_the_alerts() -> None:
    assert f"{len(alerts())} rules found" in output_of_success("promtool", "check", "rules", "--lint-fatal", ALERTS)


def test_alerts_fire_when_they_must_and_only_then() -> None:
    output_of_success("promtool", "test", "rules", FOLDER / "alerts.test.yaml")


@EACH_ALERT
def test_every_alert_is_seen_to_fire_in_a_rule_test(alert: dict[str, Any]) -> None:
    cases = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in cases for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert alert["alert"] in fired


@EACH_ALERT
def test_every_alert_says_what_is_wrong_how_badly_and_what_to_do(alert: dict[str, Any]) -> None:
    notes = alert["annotations"]
    assert alert["labels"]["severity"] in SEVERITIES
    assert notes["summary"]
    assert not notes["summary"].endswith(".")
    assert len(notes["description"]) > len(notes["summary"])
    assert notes["runbook"] == f"docs/troubleshooting.md#{alert['alert'].lower()}"


@EACH_ALERT
def test_every_runbook_link_leads_to_a_heading(alert: dict[str, Any]) -> None:
    headings = re.findall(r"^#+ (.+)$", TROUBLESHOOTING.read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    assert alert["annotations"]["runbook"].partition("#")[2] in anchors


def test_the_scraped_jobs_are_the_ones_that_the_alerts_know() -> None:
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    scraped = {job["job_name"] for job in configuration["scrape_configs"]}
    assert {"jobworker-poller", "jobworker-worker"} <= scraped
