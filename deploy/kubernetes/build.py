"""Writes the alerts once more, in the form in which the Prometheus operator takes them.

    python -m deploy.kubernetes.build

The alerts themselves are deploy/prometheus/alerts.yaml; this wraps them and changes nothing.
"""

from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parent.parent
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
RULE = DEPLOY / "kubernetes" / "components" / "prometheus-operator" / "prometheus-rule.yaml"

HEADER = (
    "# Made from deploy/prometheus/alerts.yaml by `python -m deploy.kubernetes.build`: change that, then run this.\n"
)


def prometheus_rule() -> str:
    """Wrap the alerts in a PrometheusRule.

    Returns:
        The text of the manifest.
    """
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "jobworker"},
        "spec": yaml.safe_load(ALERTS.read_text(encoding="utf-8")),
    }
    return HEADER + yaml.safe_dump(rule, sort_keys=False, width=120)


if __name__ == "__main__":
    RULE.write_text(prometheus_rule(), encoding="utf-8")
