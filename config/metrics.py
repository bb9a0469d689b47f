"""Every metric this project exposes, declared once.

Metrics come in groups, one class each, because a process must expose only what it measures: a worker that exported
``jobworker_poll_leader 0`` would look like a poller that does not lead. A process makes the groups it needs, once,
and hands them on. `GROUPS` lists them all for documents and checks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

JOB_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)
"""Upper bounds, in seconds, for the life of a job: from one tick of the poller to the default deadline."""

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Upper bounds, in seconds, for one request to Dataverse: up to its own limit of two minutes."""

TASK_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240)
"""Upper bounds, in seconds, for one Celery task: up to the hard time limit."""

STATUSES = ("Waiting", "Ready", "Skipped", "Processing", "Succeeded", "Failed")
FINAL_STATUSES = ("Succeeded", "Failed", "Skipped")
SETTLEMENTS = (
    ("Succeeded", "complete"),
    ("Skipped", "deactivated"),
    ("Skipped", "unsupported_type"),
    ("Skipped", "no_packets_expected"),
    ("Failed", "expected_count_missing"),
    ("Failed", "too_many_packets"),
    ("Failed", "sequence_invalid"),
    ("Failed", "duplicate_conflict"),
    ("Failed", "packets_missing"),
    ("Failed", "worker_lost"),
    ("Failed", "handler_failed"),
    ("Failed", "handler_rejected"),
)
"""The ends that the service itself knows; handlers may add reasons of their own."""

LIMITS = ("requests", "execution_time", "concurrency", "other")
CLAIM_OUTCOMES = ("won", "lost", "error")
RESCUE_OUTCOMES = ("claimed", "worker_lost", "lost", "error")
TICK_OUTCOMES = ("done", "paused", "standby", "error")
POLL_SOURCES = ("ready", "changed", "arrivals", "due", "rescue", "sweep")


class BuildMetrics:
    """Which version runs. Every process makes this group."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.build_info = Gauge(
            "jobworker_build_info",
            "Always 1; the label tells the version that runs.",
            ["version"],
            registry=registry,
            multiprocess_mode="max",
        )


class JobMetrics:
    """What happens to jobs. Made by worker processes."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.settled = Counter(
            "jobworker_jobs_settled",
            "Jobs carried to a final status by this process.",
            ["status", "reason"],
            registry=registry,
        )
        self.duration = Histogram(
            "jobworker_job_duration_seconds",
            "From the job's creation to its settlement, on Dataverse's clock.",
            ["status"],
            buckets=JOB_SECONDS,
            registry=registry,
        )
        self.wait = Histogram(
            "jobworker_job_wait_seconds",
            "From the job's last packet (or its creation, without packets) to its settlement, on Dataverse's clock.",
            ["status"],
            buckets=JOB_SECONDS,
            registry=registry,
        )
        self.claims = Counter(
            "jobworker_claims",
            "Attempts to claim a job: won, lost to somebody else, or answered with an error.",
            ["outcome"],
            registry=registry,
        )
        self.rescued = Counter(
            "jobworker_rescued",
            "Expired claims taken over: claimed again, out of attempts (worker_lost), lost to somebody else, or error.",
            ["outcome"],
            registry=registry,
        )
        self.packets_counted = Counter(
            "jobworker_packets_counted", "Packet rows seen when jobs were counted.", registry=registry
        )
        self.packets_duplicate = Counter(
            "jobworker_packets_duplicate",
            "Packet rows beyond the first with the same sequence number.",
            registry=registry,
        )
        self.task_duration = Histogram(
            "jobworker_task_duration_seconds",
            "Run time of one Celery task.",
            ["task"],
            buckets=TASK_SECONDS,
            registry=registry,
        )
        _start_at_zero(self.settled, SETTLEMENTS)
        _start_at_zero(self.claims, CLAIM_OUTCOMES)
        _start_at_zero(self.rescued, RESCUE_OUTCOMES)


class PollerMetrics:
    """What the poller sees and does. Made by poller processes."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.open = Gauge("jobworker_jobs_open", "Open jobs seen by the last sweep.", ["status"], registry=registry)
        self.foreign_processing = Gauge(
            "jobworker_jobs_foreign_processing",
            "Jobs in Processing that carry no claim of ours; they are never touched.",
            registry=registry,
        )
        self.ticks = Counter("jobworker_poll_ticks", "Ticks of the poller.", ["outcome"], registry=registry)
        self.found = Counter("jobworker_poll_found", "Jobs put on the queue.", ["source"], registry=registry)
        self.last_success = Gauge(
            "jobworker_poll_last_success_timestamp_seconds",
            "When the last tick of this poller ended well, standing by included (Unix time).",
            registry=registry,
        )
        self.leader = Gauge(
            "jobworker_poll_leader", "1 while this poller leads, 0 while it stands by.", registry=registry
        )
        self.queue_length = Gauge(
            "jobworker_queue_length",
            "Messages that wait in the queue or are held by a worker, each a chunk of jobs.",
            registry=registry,
        )
        _start_at_zero(self.ticks, TICK_OUTCOMES)
        _start_at_zero(self.found, POLL_SOURCES)


class DataverseMetrics:
    """What Dataverse is asked and how it answers. Made by every process that talks to it."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "jobworker_dataverse_requests",
            "Requests sent to the Web API; a $batch is one. The status is the HTTP status, or 'none' without answer.",
            ["operation", "status"],
            registry=registry,
        )
        self.operations = Counter(
            "jobworker_dataverse_operations",
            "Operations sent to the Web API, those inside a $batch counted one by one.",
            ["operation", "status"],
            registry=registry,
        )
        self.request_duration = Histogram(
            "jobworker_dataverse_request_duration_seconds",
            "From sending a request to the whole answer.",
            ["operation"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self.throttled = Counter(
            "jobworker_dataverse_throttled",
            "Requests answered 429, by the service protection limit that was hit.",
            ["limit"],
            registry=registry,
        )
        self.paused_seconds = Counter(
            "jobworker_dataverse_paused_seconds",
            "Seconds this process held requests back because a limit was hit anywhere in the fleet.",
            ["limit"],
            registry=registry,
        )
        _start_at_zero(self.throttled, LIMITS)
        _start_at_zero(self.paused_seconds, LIMITS)


GROUPS = (BuildMetrics, JobMetrics, PollerMetrics, DataverseMetrics)


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """One metric as a reader meets it: its exposed name, kind, labels and meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    group: str


def describe() -> Iterator[MetricDescription]:
    """Describe every metric, in the order in which this module declares them.

    Yields:
        One description a metric; a counter's name carries the ``_total`` under which it is exposed.
    """
    for group in GROUPS:
        made = group(CollectorRegistry())
        for metric in vars(made).values():
            kind = type(metric).__name__.lower()
            name = f"{metric._name}_total" if kind == "counter" else metric._name
            yield MetricDescription(
                name,
                kind,
                tuple(metric._labelnames),
                metric._documentation,
                group.__name__,
            )


def _start_at_zero(counter: Counter, values: Iterable[str | tuple[str, ...]]) -> None:
    """Expose every known label value from the start, so that the first event is an increase a rate can see."""
    for value in values:
        counter.labels(*((value,) if isinstance(value, str) else value))
