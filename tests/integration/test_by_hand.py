"""What an operator does by hand: doctor and jobs."""

import json

import pytest
import redis

from tests.integration.neighbour import FAILED, PROCESSING, SKIPPED, SUCCEEDED
from tests.integration.service import Service, wait_for


def test_doctor_finds_everything_well(service: Service) -> None:
    done = service.command("doctor", "--json")

    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(finding["is_good"] for finding in findings)
    names = {finding["name"] for finding in findings}
    assert {"sign-in", "optimistic concurrency", "Redis", "Redis eviction policy", "clock"} <= names


def test_doctor_says_what_to_do_about_each_thing_that_is_wrong(service: Service) -> None:
    client_id = service.environment["JOBWORKER_AUTH__CLIENT_ID"]
    denied = ["prvWritemsdyn_integrationjob", "prvReadmsdyn_integrationjobdetail"]
    service.sandbox.post("clock", {"advance": 900})
    service.sandbox.post("tables", {"table": "msdyn_integrationjob", "optimistic_concurrency": False})
    service.sandbox.post("privileges", {"client_id": client_id, "denied": denied})
    with redis.Redis.from_url(service.redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    done = service.command("doctor", "--json")

    findings = {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}
    wrong = {name: found["said"] for name, found in findings.items() if not found["is_good"]}
    assert done.returncode == 1
    assert wrong.keys() == {
        "read msdyn_integrationjobdetail",
        "write msdyn_integrationjob",
        "optimistic concurrency",
        "clock",
        "Redis eviction policy",
    }
    assert "prvReadmsdyn_integrationjobdetail" in wrong["read msdyn_integrationjobdetail"]
    assert "prvWritemsdyn_integrationjob" in wrong["write msdyn_integrationjob"]
    assert "IsOptimisticConcurrencyEnabled" in wrong["optimistic concurrency"]
    assert "time synchronisation" in wrong["clock"]
    assert "noeviction" in wrong["Redis eviction policy"]


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("JOBWORKER_REDIS__URL", "redis://127.0.0.1:1/0", "Redis"),
        ("JOBWORKER_AUTH__CLIENT_SECRET", "not-the-secret", "sign-in"),
        ("JOBWORKER_DATAVERSE__URL", "https://127.0.0.1:1", "sign-in"),
    ],
)
def test_doctor_names_the_setting_that_is_wrong(service: Service, setting: str, value: str, check: str) -> None:
    done = service.command("doctor", "--json", **{setting: value})

    findings = {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert not findings[check]["is_good"]
    assert setting in findings[check]["said"]


def test_a_job_is_listed_shown_skipped_and_then_left_alone(service: Service) -> None:
    job = service.neighbour.create_job(msdyn_name="by hand", msdyn_numberofpackets=5)
    service.neighbour.create_packet(job, 1)

    listed = json.loads(service.command("jobs", "list", "--json").stdout)
    shown = json.loads(service.command("jobs", "show", job, "--json").stdout)
    skipped = service.command("jobs", "skip", job)
    again = service.command("jobs", "fail", job)

    assert [one["job_id"] for one in listed] == [job]
    assert (shown["received_packets"], shown["expected_packets"], shown["status"]) == (1, 5, "Waiting")
    assert skipped.returncode == 0
    assert service.neighbour.job(job)["msdyn_status"] == SKIPPED
    assert again.returncode == 1
    assert "has ended already (Skipped)" in again.stderr


def test_a_job_is_failed_by_hand_with_claim_and_settlement(service: Service) -> None:
    job = service.neighbour.create_job()

    assert service.command("jobs", "fail", job).returncode == 0

    statuses = [change["new_status"] for change in service.changes() if change["kind"] == "update"]
    assert statuses == ["Processing", "Failed"]
    assert json.loads(service.neighbour.job(job)["msdyn_responsejson"])["reason"] == "operator"
    assert service.neighbour.job(job)["msdyn_status"] == FAILED


def test_somebody_elses_job_is_refused(service: Service) -> None:
    job = service.neighbour.create_job()
    service.neighbour.update_job(job, msdyn_status=PROCESSING)

    done = service.command("jobs", "skip", job)

    assert done.returncode == 1
    assert "somebody else" in done.stderr


def test_retry_has_a_job_looked_at_now(service: Service) -> None:
    service.worker()
    job = service.neighbour.create_job()
    service.neighbour.create_packet(job, 1)

    done = service.command("jobs", "retry", job)

    assert done.returncode == 0, done.stderr
    assert service.wait_for_job(job, SUCCEEDED)["reason"] == "complete"


def test_a_job_that_is_not_there_is_said(service: Service) -> None:
    done = service.command("jobs", "show", "00000000-0000-0000-0000-000000000001")

    assert done.returncode == 1
    assert "There is no job" in done.stderr
    assert service.command("jobs", "show", "nonsense").returncode == 2


def test_a_standby_leads_within_seconds_of_the_leaders_death(service: Service) -> None:
    leader = service.poller()
    wait_for(lambda: any(line["event"] == "leadership_taken" for line in service.logs(leader.name)), 20)
    standby = service.poller()
    service.wait_until_ready(standby)

    leader.popen.kill()

    wait_for(lambda: any(line["event"] == "leadership_taken" for line in service.logs(standby.name)), 20)
