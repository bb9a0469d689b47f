"""The metrics: the names that dashboards, alerts and scripts were promised."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config import metrics
from config.metrics import GROUPS, BuildMetrics, JobMetrics, PollerMetrics, describe
from tasks.model import FINAL_STATUSES, JobStatus

PROMISED = """
jobworker_jobs_settled_total | counter | status, reason
jobworker_jobs_open | gauge | status
jobworker_jobs_foreign_processing | gauge |
jobworker_job_duration_seconds | histogram | status
jobworker_job_wait_seconds | histogram | status
jobworker_claims_total | counter | outcome
jobworker_rescued_total | counter | outcome
jobworker_packets_counted_total | counter |
jobworker_packets_duplicate_total | counter |
jobworker_poll_ticks_total | counter | outcome
jobworker_poll_found_total | counter | source
jobworker_poll_last_success_timestamp_seconds | gauge |
jobworker_poll_leader | gauge |
jobworker_queue_length | gauge |
jobworker_dataverse_requests_total | counter | operation, status
jobworker_dataverse_operations_total | counter | operation, status
jobworker_dataverse_request_duration_seconds | histogram | operation
jobworker_dataverse_throttled_total | counter | limit
jobworker_dataverse_paused_seconds_total | counter | limit
jobworker_task_duration_seconds | histogram | task
jobworker_build_info | gauge | version
"""
"""The table that operators work with, line by line."""


def promised() -> set[tuple[str, str, tuple[str, ...]]]:
    lines = [[cell.strip() for cell in line.split("|")] for line in PROMISED.strip().splitlines()]
    return {(name, kind, tuple(labels.split(", ")) if labels else ()) for name, kind, labels in lines}


def test_names_types_and_labels_are_those_promised() -> None:
    assert {(each.name, each.kind, each.labels) for each in describe()} == promised()


def test_every_metric_says_what_it_means_and_which_group_it_is_of() -> None:
    for each in describe():
        assert each.meaning.endswith("."), each.name
        assert each.group in {group.__name__ for group in GROUPS}


def test_metrics_are_exposed_under_those_names_and_types() -> None:
    registry = CollectorRegistry()
    for group in GROUPS:
        group(registry)

    families = list(text_string_to_metric_families(generate_latest(registry).decode()))

    exposed = {(f"{each.name}_total" if each.type == "counter" else each.name, each.type) for each in families}
    exposed = {(name, kind) for name, kind in exposed if not name.endswith("_created")}
    assert exposed == {(name, kind) for name, kind, _ in promised()}


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("jobworker_claims_total", "outcome", {"won", "lost", "error"}),
        ("jobworker_rescued_total", "outcome", {"claimed", "worker_lost", "lost", "error"}),
        ("jobworker_poll_ticks_total", "outcome", {"done", "paused", "standby", "error"}),
        ("jobworker_poll_found_total", "source", {"ready", "changed", "arrivals", "due", "rescue", "sweep"}),
    ],
)
def test_known_label_values_are_there_from_the_start(name: str, label: str, values: set[str]) -> None:
    registry = CollectorRegistry()
    JobMetrics(registry)
    PollerMetrics(registry)

    samples = [sample for family in registry.collect() for sample in family.samples if sample.name == name]

    assert {sample.labels[label]: sample.value for sample in samples} == dict.fromkeys(values, 0.0)


def test_labels_spell_the_statuses_as_the_domain_does() -> None:
    assert set(metrics.STATUSES) == {status.label for status in JobStatus}
    assert set(metrics.FINAL_STATUSES) == {status.label for status in FINAL_STATUSES}


def test_buckets_ascend() -> None:
    for buckets in (metrics.JOB_SECONDS, metrics.REQUEST_SECONDS, metrics.TASK_SECONDS):
        assert list(buckets) == sorted(set(buckets))


def test_a_process_exposes_no_group_that_it_did_not_make() -> None:
    registry = CollectorRegistry()
    BuildMetrics(registry)

    assert b"jobworker_poll" not in generate_latest(registry)
