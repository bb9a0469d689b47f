"""Collects every PromQL question that deploy/ asks: of the dashboard, of the alerts, of the scaler.

Reads the files that operators install, not the code that makes them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.tools import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "overview.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
SCALED_OBJECT = DEPLOY / "kubernetes" / "components" / "autoscaling" / "scaled-object.yaml"


@dataclass(frozen=True, slots=True)
class Question:
    """One PromQL expression and the place it stands in."""

    place: str
    expr: str

    def with_windows(self, rate_interval: str, time_range: str) -> str:
        """Put durations in place of Grafana's variables."""
        return self.expr.replace("$__rate_interval", rate_interval).replace("$__range", time_range)


def panels() -> list[dict[str, Any]]:
    """Give the dashboard's panels, rows left out."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    """Give the alerts."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def questions() -> Iterator[Question]:
    """Give every question of the dashboard, the alerts and the scaler.

    Yields:
        One question at a time.
    """
    for panel in panels():
        for target in panel["targets"]:
            yield Question(f"dashboard: {panel['title']} {target['refId']}", target["expr"])
    for alert in alerts():
        yield Question(f"alert: {alert['alert']}", alert["expr"])
    for trigger in yaml.safe_load(SCALED_OBJECT.read_text(encoding="utf-8"))["spec"]["triggers"]:
        yield Question(f"scaler: {trigger['name']}", trigger["metadata"]["query"])
