"""The row on what comes in, and how it ends."""

from collections.abc import Sequence

from deploy.grafana.panels import OUTCOMES, STATUSES, AnyPanel, Heading, Query, bars, lines, stack
from deploy.grafana.queries import JOBS_PER_MINUTE, per_minute


def flow() -> Sequence[AnyPanel]:
    """What comes in, and how does it end?"""
    return [
        stack(
            Heading(
                "Found",
                "Jobs put on the queue, by what showed them: told ready, changed, packets arrived, a look was due,"
                " a claim expired, or the sweep.",
                JOBS_PER_MINUTE,
                8,
            ),
            Query(per_minute("jobworker_poll_found_total", "source"), "{{source}}"),
        ),
        stack(
            Heading("Settled", "Jobs carried to their end, by final status.", JOBS_PER_MINUTE, 8),
            Query(per_minute("jobworker_jobs_settled_total", "status"), "{{status}}"),
            colours=STATUSES,
        ),
        bars(
            Heading("How jobs ended", "All jobs settled in the time shown, by status and reason.", "short", 8),
            Query(
                "sort_desc(sum by (status, reason) (increase(jobworker_jobs_settled_total[$__range])) > 0)",
                "{{status}} {{reason}}",
            ),
            colours=STATUSES,
        ),
        stack(
            Heading(
                "Claims",
                "Won, lost to somebody else, or answered with an error. Many lost: who else works on these jobs?",
                JOBS_PER_MINUTE,
                8,
            ),
            Query(per_minute("jobworker_claims_total", "outcome"), "{{outcome}}"),
            colours=OUTCOMES,
        ),
        lines(
            Heading(
                "Rescues",
                "Claims whose worker went away: claimed again, given up as worker_lost, lost to somebody else,"
                " or error.",
                JOBS_PER_MINUTE,
                8,
            ),
            Query(per_minute("jobworker_rescued_total", "outcome"), "{{outcome}}"),
            colours=OUTCOMES,
        ),
        lines(
            Heading(
                "Packets",
                "Packet rows seen when jobs were counted, and those that came again under the same number.",
                "count:packets/min",
                8,
            ),
            Query("60 * sum(rate(jobworker_packets_counted_total[$__rate_interval]))", "counted"),
            Query("60 * sum(rate(jobworker_packets_duplicate_total[$__rate_interval]))", "duplicate"),
        ),
    ]
