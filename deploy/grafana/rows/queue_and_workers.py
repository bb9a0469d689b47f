"""The row on the queue, and whether the workers keep up with it."""

from collections.abc import Sequence

from deploy.grafana.panels import GREEN, ORANGE, AnyPanel, Heading, Query, lines, stack
from deploy.grafana.queries import LEADING, per_minute, quantile, quantiles


def queue_and_workers() -> Sequence[AnyPanel]:
    """Do the workers keep up?"""
    return [
        lines(
            Heading("Queue", "Messages that wait or are held by a worker, each a chunk of jobs.", "short", 8),
            Query(f"max(jobworker_queue_length {LEADING})", "messages"),
            steps={0: GREEN, 50: ORANGE},
        ),
        lines(
            Heading("Task duration", "Of one Celery task: the middle, the slow, the slowest.", "s", 8),
            *quantiles("jobworker_task_duration_seconds"),
        ),
        lines(
            Heading("Task duration by task", "95 in 100 were faster.", "s", 8),
            Query(quantile(0.95, "jobworker_task_duration_seconds", "task"), "{{task}}"),
        ),
        stack(
            Heading("Busy children", "Child processes that work on a task, on average, by worker.", "short", 8),
            Query("sum by (instance) (rate(jobworker_task_duration_seconds_sum[$__rate_interval]))", "{{instance}}"),
        ),
        stack(
            Heading("Tasks", "Finished tasks.", "count:tasks/min", 8),
            Query(per_minute("jobworker_task_duration_seconds_count", "task"), "{{task}}"),
        ),
        stack(
            Heading("Versions", "Processes by the version they run; two at once only while upgrading.", "none", 8),
            Query("count by (version) (jobworker_build_info)", "{{version}}"),
        ),
    ]
