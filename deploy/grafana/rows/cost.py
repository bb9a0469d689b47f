"""The row on what the service costs Dataverse, and how Dataverse answers."""

from collections.abc import Sequence

from deploy.grafana.panels import GREEN, ORANGE, AnyPanel, Heading, Query, lines, stack
from deploy.grafana.queries import REQUESTS_PER_MINUTE, or_never, per_minute, per_settled_job, quantile, quantiles


def cost() -> Sequence[AnyPanel]:
    """What does it cost Dataverse?"""
    return [
        lines(
            Heading(
                "For each settled job",
                "Requests count for the service protection limits, operations for the daily entitlement."
                " Over 15 minutes.",
                "short",
                8,
            ),
            Query(per_settled_job("jobworker_dataverse_requests_total"), "requests"),
            Query(per_settled_job("jobworker_dataverse_operations_total"), "operations"),
        ),
        stack(
            Heading("Requests", "Sent to the Web API, by what for; a $batch is one.", REQUESTS_PER_MINUTE, 8),
            Query(per_minute("jobworker_dataverse_requests_total", "operation"), "{{operation}}"),
        ),
        lines(
            Heading("Requests not answered as hoped", "By HTTP status; none: no answer came.", REQUESTS_PER_MINUTE, 8),
            Query(
                or_never(per_minute('jobworker_dataverse_requests_total{status!~"2.."}', "status"), "status"),
                "{{status}}",
            ),
        ),
        lines(
            Heading(
                "Throttled", "Answers 429, by the limit of the application user that was hit.", REQUESTS_PER_MINUTE, 8
            ),
            Query(or_never(per_minute("jobworker_dataverse_throttled_total", "limit"), "limit"), "{{limit}}"),
        ),
        lines(
            Heading(
                "Held back",
                "Share of its time for which a process kept its requests to itself because a limit had been hit"
                " anywhere; the most of any process, a worker's children added together.",
                "percentunit",
                8,
            ),
            Query(
                or_never("max by (limit) (rate(jobworker_dataverse_paused_seconds_total[$__rate_interval]))", "limit"),
                "{{limit}}",
            ),
            steps={0: GREEN, 0.5: ORANGE},
        ),
        lines(
            Heading("Request duration", "From sending to the whole answer: the middle, the slow, the slowest.", "s", 8),
            *quantiles("jobworker_dataverse_request_duration_seconds"),
        ),
        lines(
            Heading("Request duration by operation", "95 in 100 were faster.", "s", 12),
            Query(quantile(0.95, "jobworker_dataverse_request_duration_seconds", "operation"), "{{operation}}"),
        ),
        stack(
            Heading(
                "Operations", "What the requests held, those inside a $batch counted one by one.", "count:ops/min", 12
            ),
            Query(per_minute("jobworker_dataverse_operations_total", "operation"), "{{operation}}"),
        ),
    ]
