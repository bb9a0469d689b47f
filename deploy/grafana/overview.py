"""The dashboard an operator opens first, put together from its rows.

Is the service healthy, what does it do, what does it cost, does it keep up, how long does it take.
"""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.panels import AnyPanel
from deploy.grafana.rows.cost import cost
from deploy.grafana.rows.flow import flow
from deploy.grafana.rows.health import health
from deploy.grafana.rows.latency import latency
from deploy.grafana.rows.queue_and_workers import queue_and_workers

ROWS = (
    ("Is it healthy?", health),
    ("What comes in, and how does it end?", flow),
    ("What does it cost Dataverse?", cost),
    ("Do the workers keep up?", queue_and_workers),
    ("How long do jobs take?", latency),
)


def overview() -> dashboard.Dashboard:
    """Put the dashboard together, row by row."""
    made = (
        dashboard.Dashboard("jobworker: overview")
        .uid("jobworker-overview")
        .description("What jobworker does and why, from its health down to the latency of single requests.")
        .tags(["jobworker"])
        .readonly()
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    ids = iter(range(1, 1_000))
    for title, panels in ROWS:
        made = made.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels():
            made = made.with_panel(_numbered(panel, next(ids)))
    return made


def _numbered(panel: AnyPanel, number: int) -> AnyPanel:
    panel.build().id_val = number
    return panel
