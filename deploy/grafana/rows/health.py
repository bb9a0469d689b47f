"""The first row: is the service healthy, and what is wrong if it is not."""

from collections.abc import Sequence

from deploy.grafana.panels import (
    GREEN,
    ORANGE,
    OUTCOMES,
    RED,
    STATUSES,
    AnyPanel,
    Heading,
    Query,
    figure,
    figures,
    lines,
    listing,
    named,
)
from deploy.grafana.queries import LEADING, PROCESSES, per_minute


def health() -> Sequence[AnyPanel]:
    """Is it healthy?"""
    leader = figure(
        Heading(
            "Leader", "Of all pollers exactly one leads. Two do no harm but ask twice; none finds no jobs.", "none", 3
        ),
        Query("sum(jobworker_poll_leader)"),
        steps={0: RED, 1: GREEN, 2: ORANGE},
        nothing="no poller",
    )
    return [
        leader.mappings(named({0: ("nobody", RED), 1: ("one", GREEN)})),
        figure(
            Heading("Last tick", "Since the leader's last tick that ended well. It ticks every few seconds.", "s", 3),
            Query(f"time() - max(jobworker_poll_last_success_timestamp_seconds {LEADING})"),
            steps={0: GREEN, 60: ORANGE, 300: RED},
            nothing="no leader",
        ),
        figure(
            Heading("Processes up", "Pollers and workers that Prometheus reaches.", "none", 4),
            Query('sum(up{job="jobworker-poller"})', "pollers"),
            Query('sum(up{job="jobworker-worker"})', "workers"),
        ),
        figure(
            Heading("Down", "Processes that Prometheus knows of and does not reach.", "none", 2),
            Query(f"count({PROCESSES} == 0) or vector(0)"),
            steps={0: GREEN, 1: RED},
        ),
        figures(
            Heading(
                "Open jobs",
                "By status, as the leader's last sweep saw them; Processing every minute or so.",
                "short",
                6,
            ),
            Query(f"sum by (status) (jobworker_jobs_open {LEADING})", "{{status}}"),
            colours=STATUSES,
        ),
        figure(
            Heading("Foreign", "Jobs that somebody else put into Processing. They are never touched.", "short", 2),
            Query(f"max(jobworker_jobs_foreign_processing {LEADING})"),
            steps={0: GREEN, 1: ORANGE},
        ),
        figure(
            Heading(
                "Longest wait",
                "After its last packet, of the jobs that succeeded in the last half hour: 99 in 100 waited less.",
                "s",
                2,
            ),
            Query(
                "histogram_quantile(0.99,"
                ' sum by (le) (rate(jobworker_job_wait_seconds_bucket{status="Succeeded"}[30m])))'
                " >= 0"  # without jobs it is no number, which is not worth showing
            ),
            steps={0: GREEN, 300: ORANGE, 900: RED},
        ),
        figure(
            Heading("Answered", "Requests of the last 5 minutes that Dataverse answered as hoped.", "percentunit", 2),
            Query(
                'sum(rate(jobworker_dataverse_requests_total{status=~"2.."}[5m]))'
                " / (sum(rate(jobworker_dataverse_requests_total[5m])) > 0)"
            ),
            steps={0: RED, 0.95: ORANGE, 0.99: GREEN},
            nothing="no request",
        ),
        listing(
            Heading("Firing alerts", "What each means and what to do: docs/troubleshooting.md.", "none", 12),
            Query('ALERTS{alertname=~"Jobworker.*", alertstate="firing"}'),
            {"alertname": "Alert", "severity": "Severity", "instance": "Instance", "limit": "Limit"},
        ),
        lines(
            Heading(
                "Ticks",
                "Of all pollers, by how they ended: done, paused because the queue is full, standby, or error.",
                "count:ticks/min",
                12,
            ),
            Query(per_minute("jobworker_poll_ticks_total", "outcome"), "{{outcome}}"),
            colours=OUTCOMES,
        ),
    ]
