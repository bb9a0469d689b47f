"""The row on how long jobs take."""

from collections.abc import Sequence

from deploy.grafana.panels import GREEN, RED, STATUSES, AnyPanel, Heading, Query, lines, spread
from deploy.grafana.queries import quantile, quantiles


def latency() -> Sequence[AnyPanel]:
    """How long do jobs take?"""
    return [
        spread(
            Heading(
                "Last packet to settled", "How long jobs waited for jobworker: its own share of the time.", "s", 12
            ),
            Query("sum by (le) (increase(jobworker_job_wait_seconds_bucket[$__rate_interval]))", "{{le}}"),
        ),
        spread(
            Heading("Created to settled", "The whole life of jobs, waiting for their packets included.", "s", 12),
            Query("sum by (le) (increase(jobworker_job_duration_seconds_bucket[$__rate_interval]))", "{{le}}"),
        ),
        lines(
            Heading(
                "Last packet to settled, succeeded",
                "The middle, the slow, the slowest of the jobs that succeeded.",
                "s",
                8,
            ),
            *quantiles("jobworker_job_wait_seconds", only='{status="Succeeded"}'),
            steps={0: GREEN, 900: RED},
        ),
        lines(
            Heading(
                "Last packet to settled, by status",
                "95 in 100 waited less; what fails for want of packets waits by design.",
                "s",
                8,
            ),
            Query(quantile(0.95, "jobworker_job_wait_seconds", "status"), "{{status}}"),
            colours=STATUSES,
        ),
        lines(
            Heading("Created to settled, by status", "95 in 100 took less.", "s", 8),
            Query(quantile(0.95, "jobworker_job_duration_seconds", "status"), "{{status}}"),
            colours=STATUSES,
        ),
    ]
