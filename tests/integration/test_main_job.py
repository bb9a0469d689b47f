"""The main job, end to end: real processes carry seeded jobs to their ends, and the sandbox's audit judges."""

import json
from collections import Counter, defaultdict

import jsonschema

from config.metrics import describe
from tasks.response import schema
from tests.integration.service import Service, metrics_of, probe, wait_for

FINAL = {"Succeeded", "Failed", "Skipped"}


def test_every_job_ends_once_as_its_seed_says(service: Service) -> None:
    service.poller()
    service.worker()
    service.seed(200, arrive_over=4)

    judgement = service.wait_until_all_ended()

    assert judgement["jobs"] == 200
    assert judgement["mismatched"] == []
    assert judgement["doubled"] == []
    assert judgement["stuck"] == []


def test_each_job_enters_processing_once_and_one_final_status_once(service: Service) -> None:
    service.poller()
    service.worker()
    service.seed(60)
    service.wait_until_all_ended()

    entered: dict[str, list[str]] = defaultdict(list)
    for change in service.changes():
        if change["new_status"] != change["old_status"] and change["kind"] == "update":
            entered[change["job_id"]].append(change["new_status"])

    for statuses in entered.values():
        ours = [status for status in statuses if status not in ("Waiting", "Ready")]
        assert ours[0] == "Processing"
        assert len(ours) == 2
        assert ours[1] in FINAL


def test_every_response_document_fits_its_schema(service: Service) -> None:
    service.poller()
    service.worker()
    service.seed(60)
    service.wait_until_all_ended()

    checker = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())
    documents = [json.loads(row["msdyn_responsejson"]) for row in service.neighbour.jobs()]

    assert len(documents) == 60
    for document in documents:
        checker.validate(document)
        assert document["status"] in FINAL


def test_metrics_tell_what_was_settled_and_found(service: Service) -> None:
    poller, worker = service.poller(), service.worker()
    service.seed(60)
    judgement = service.wait_until_all_ended()

    def settled() -> dict[str, float]:
        name = "jobworker_jobs_settled_total{"
        return {sample: value for sample, value in metrics_of(worker).items() if sample.startswith(name)}

    wait_for(lambda: sum(settled().values()) == 60, 10)
    by_reason = Counter[str]()
    for sample, value in settled().items():
        by_reason[sample.partition('reason="')[2].partition('"')[0]] += int(value)
    assert by_reason == Counter(judgement["by_reason"])  # counters start at zero, and zero is as good as absent
    found = sum(v for name, v in metrics_of(poller).items() if name.startswith("jobworker_poll_found_total{"))
    assert found >= 60


def test_every_declared_metric_is_exposed_by_the_process_that_measures_it(service: Service) -> None:
    poller, worker = service.poller(), service.worker()
    service.seed(40)
    service.wait_until_all_ended()

    exposed = {
        "PollerMetrics": {name.partition("{")[0] for name in metrics_of(poller)},
        "JobMetrics": {name.partition("{")[0] for name in metrics_of(worker)},
    }
    exposed["BuildMetrics"] = exposed["DataverseMetrics"] = exposed["PollerMetrics"] & exposed["JobMetrics"]
    for metric in describe():
        name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        assert name in exposed[metric.group], name
    assert not {name for name in exposed["JobMetrics"] if name.startswith("jobworker_poll_")}


def test_processes_say_when_they_are_ready(service: Service) -> None:
    for process in (service.poller(), service.worker()):
        service.wait_until_ready(process)
        assert probe(process, "/healthz").status_code == 200
        assert probe(process, "/anything").status_code == 404
