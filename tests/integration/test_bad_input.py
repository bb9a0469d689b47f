"""Bad settings, bad rows, bad neighbours: each gets a clear answer, and nothing else is touched by it."""

from pathlib import Path

import pytest

from tests.integration.neighbour import FAILED, PROCESSING, READY, SKIPPED, SUCCEEDED, WAITING
from tests.integration.service import Service, run_command, wait_for

COMPLETE: dict[str, str] = {
    "JOBWORKER_DATAVERSE__URL": "https://localhost:1",
    "JOBWORKER_AUTH__TENANT_ID": "tenant",
    "JOBWORKER_AUTH__CLIENT_ID": "client",
    "JOBWORKER_AUTH__CLIENT_SECRET": "a-secret-that-must-not-be-seen",
}


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("JOBWORKER_POL__INTERVAL", "5s", "did you mean JOBWORKER_POLL__INTERVAL?"),
        ("JOBWORKER_POLL__INTERVAL", "5", "write 30s, 5m, 1h or ISO 8601"),
        ("JOBWORKER_DATAVERSE__URL", "http://org.example", "write https://"),
        ("JOBWORKER_DATAVERSE__URL", "org.example", "https://yourorg.crm.dynamics.com"),
        ("JOBWORKER_REDIS__URL", "http://localhost", "redis://"),
        ("JOBWORKER_AUTH__CLIENT_SECRET", "", "JOBWORKER_AUTH__CLIENT_SECRET"),
        ("JOBWORKER_JOBS__TYPES", "project", "JOBWORKER_JOBS__TYPES"),
        ("JOBWORKER_METRICS__PORT", "99999", "JOBWORKER_METRICS__PORT"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(tmp_path: Path, setting: str, value: str, said: str) -> None:
    for command in ("poll", "work", "config"):
        done = run_command(command, environment={**COMPLETE, setting: value}, folder=tmp_path)

        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert COMPLETE["JOBWORKER_AUTH__CLIENT_SECRET"] not in done.stdout + done.stderr


def test_config_shows_settings_without_secrets(tmp_path: Path) -> None:
    settings = {**COMPLETE, "JOBWORKER_REDIS__URL": "redis://user:hush@localhost/0"}

    done = run_command("config", environment=settings, folder=tmp_path)

    assert done.returncode == 0
    assert "https://localhost:1" in done.stdout
    assert "hush" not in done.stdout
    assert COMPLETE["JOBWORKER_AUTH__CLIENT_SECRET"] not in done.stdout


@pytest.mark.parametrize("command", [("poll",), ("work",), ("poll", "--once")])
def test_a_wrong_secret_is_said_and_not_repeated(service: Service, command: tuple[str, ...]) -> None:
    done = service.command(*command, JOBWORKER_AUTH__CLIENT_SECRET="not-the-secret-at-all")

    assert done.returncode in (1, 2)
    assert "JOBWORKER_AUTH__CLIENT_SECRET is not a secret of this application" in done.stderr
    assert "not-the-secret-at-all" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("JOBWORKER_AUTH__CLIENT_ID", "00000000-0000-0000-0000-00000000dead", "JOBWORKER_AUTH__CLIENT_ID"),
        ("JOBWORKER_DATAVERSE__URL", "https://localhost:1", "JOBWORKER_DATAVERSE__URL"),
        ("JOBWORKER_AUTH__AUTHORITY", "https://localhost:1/tenant", "JOBWORKER_AUTH__AUTHORITY"),
        ("JOBWORKER_REDIS__URL", "redis://localhost:1/0", "JOBWORKER_REDIS__URL"),
        ("JOBWORKER_DATAVERSE__API_VERSION", "v9.9", "v9.9"),
    ],
)
def test_what_cannot_be_reached_is_named(service: Service, setting: str, value: str, said: str) -> None:
    done = service.command("poll", "--once", **{setting: value})

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_named(service: Service) -> None:
    poller = service.poller()
    service.wait_until_ready(poller)

    done = service.command("poll", JOBWORKER_METRICS__PORT=str(poller.metrics_port))

    assert done.returncode == 2
    assert "JOBWORKER_METRICS__PORT" in done.stderr


def test_a_row_of_nulls_is_skipped_for_its_type(service: Service) -> None:
    service.poller()
    service.worker()
    nulls = {"msdyn_numberofpackets": None, "msdyn_type": None, "msdyn_name": None}

    job = service.neighbour.create_job(**nulls)

    assert service.wait_for_job(job, SKIPPED)["reason"] == "unsupported_type"


def test_a_row_without_status_is_left_alone(service: Service) -> None:
    service.poller()
    service.worker()
    without = service.neighbour.create_job(msdyn_status=None)
    service.neighbour.create_packet(without, 1)
    other = service.neighbour.create_job()
    service.neighbour.create_packet(other, 1)

    service.wait_for_job(other, SUCCEEDED)

    assert service.neighbour.job(without)["msdyn_status"] is None


def test_the_largest_count_there_is_ends_as_missing(service: Service) -> None:
    service.poller()
    service.worker()
    job = service.neighbour.create_job(msdyn_numberofpackets=2_147_483_647, msdyn_status=READY)
    for number in (1, 2, 2_147_483_647):
        service.neighbour.create_packet(job, number)

    document = service.wait_for_job(job, FAILED)

    assert document["reason"] == "packets_missing"
    assert document["missing_sequence_numbers"][:2] == [3, 4]
    assert document["missing_more"] == 2_147_483_647 - 3 - 100


def test_packets_with_null_or_repeated_numbers_are_judged(service: Service) -> None:
    service.poller()
    service.worker()
    unnumbered = service.neighbour.create_job(msdyn_numberofpackets=2)
    service.neighbour.create_packet(unnumbered, 1)
    service.neighbour.create_packet(unnumbered, None)
    differing = service.neighbour.create_job()
    service.neighbour.create_packet(differing, 1, msdyn_changesjson="A")
    service.neighbour.create_packet(differing, 1, msdyn_changesjson="a")
    equal = service.neighbour.create_job()
    service.neighbour.create_packet(equal, 0, msdyn_changesjson="ü")
    service.neighbour.create_packet(equal, 0, msdyn_changesjson="ü")

    assert service.wait_for_job(unnumbered, FAILED)["reason"] == "sequence_invalid"
    assert service.wait_for_job(differing, FAILED)["reason"] == "duplicate_conflict"
    assert service.wait_for_job(equal, SUCCEEDED)["duplicate_packets"] == 1


def test_names_with_quotes_ampersands_and_other_scripts_change_nothing(service: Service) -> None:
    service.poller()
    service.worker()
    names = ["O'Brien & Söhne", "'; or 1 eq 1 --", '"quoted" <xml> &amp;', "名前 имя اسم", "%27 $filter=x"]
    jobs = []
    for name in names:
        job = service.neighbour.create_job(
            msdyn_name=name, msdyn_regardingentity=name[:100], msdyn_regardingentityid=name[:100]
        )
        service.neighbour.create_packet(job, 1, msdyn_name=name, msdyn_fulljson=name)
        jobs.append(job)

    for job in jobs:
        assert service.wait_for_job(job, SUCCEEDED)["reason"] == "complete"


def test_a_job_in_somebody_elses_processing_is_never_touched(service: Service) -> None:
    service.poller()
    service.worker()
    job = service.neighbour.create_job()
    service.neighbour.update_job(job, msdyn_status=PROCESSING, msdyn_responsejson='{"schema": "theirs"}')
    before = service.neighbour.job(job)
    service.neighbour.create_packet(job, 1)
    ours = service.neighbour.create_job()
    service.neighbour.create_packet(ours, 1)

    service.wait_for_job(ours, SUCCEEDED)
    service.sandbox.post("clock", {"advance": 900})
    later = service.neighbour.create_job(msdyn_numberofpackets=0)
    service.wait_for_job(later, SKIPPED)

    assert service.neighbour.job(job)["@odata.etag"] == before["@odata.etag"]


def test_a_deleted_job_is_dropped_with_one_line(service: Service) -> None:
    gone = [service.neighbour.create_job(msdyn_status=READY) for _ in range(5)]
    for job in gone:
        service.neighbour.create_packet(job, 1)
    poller = service.poller()
    wait_for(lambda: any(line.get("source") in ("ready", "sweep") for line in service.logs(poller.name)), 20)
    for job in gone:
        service.neighbour.delete_job(job)
    service.worker()
    kept = service.neighbour.create_job(msdyn_status=WAITING)
    service.neighbour.create_packet(kept, 1)

    service.wait_for_job(kept, SUCCEEDED)
    wait_for(lambda: sum(line["event"] == "job_gone" for line in service.logs("worker-*")) == 5, 20)

    assert {line["job_id"] for line in service.logs("worker-*") if line["event"] == "job_gone"} == set(gone)
