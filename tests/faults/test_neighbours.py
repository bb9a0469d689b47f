"""Another client edits, steals, settles, deletes jobs while a worker holds them."""

import json
from typing import Any

import pytest

from tests.faults.handlers import install_handlers
from tests.integration.conftest import service
from tests.integration.neighbour import FAILED, PROCESSING, SUCCEEDED
from tests.integration.service import Service, wait_for

__all__ = ["service"]

pytestmark = pytest.mark.timeout(120)


def _held(service: Service, seconds: float = 4) -> tuple[str, dict[str, Any]]:
    """Have a worker hold a claim for some seconds; gives the job and its claim document."""
    settings = {"JOBWORKER_JOBS__LEASE": "30s"}
    service.poller(**settings)
    service.worker(1, **install_handlers(service.family.folder), **settings)
    job = service.neighbour.create_job(msdyn_name=f"slow:{seconds}")
    service.neighbour.create_packet(job, 1)
    row = wait_for(lambda: _if_processing(service.neighbour.job(job)), 30, service.account)
    return job, json.loads(row["msdyn_responsejson"])


def _if_processing(row: dict[str, Any]) -> dict[str, Any] | None:
    return row if row["msdyn_status"] == PROCESSING else None


def _final_changes(service: Service, job: str) -> list[str]:
    changes = [change for change in service.changes() if change["job_id"] == job]
    return [change["new_status"] for change in changes if change["new_status"] in ("Succeeded", "Failed", "Skipped")]


def test_a_neighbours_edit_of_another_column_does_not_cost_the_claim(service: Service) -> None:
    job, _ = _held(service)

    service.neighbour.update_job(job, msdyn_regardingentity="edited")

    assert service.wait_for_job(job, SUCCEEDED)["attempt"] == 1
    assert service.neighbour.job(job)["msdyn_regardingentity"] == "edited"


def test_a_job_that_a_neighbour_ends_stays_as_he_ended_it(service: Service) -> None:
    job, _ = _held(service)

    service.neighbour.update_job(job, msdyn_status=FAILED, msdyn_responsejson="ended by hand")
    wait_for(lambda: any(line["event"] == "settlement_lost" for line in service.logs("worker-*")), 30)

    assert service.neighbour.job(job)["msdyn_responsejson"] == "ended by hand"
    assert _final_changes(service, job) == ["Failed"]


def test_a_holder_whose_claim_was_taken_over_can_no_longer_settle(service: Service) -> None:
    job, claim = _held(service)
    stolen = {**claim, "attempt": 2, "worker": "another", "lease_expires_at": "2999-01-01T00:00:00.000Z"}

    service.neighbour.update_job(job, msdyn_responsejson=json.dumps(stolen))
    wait_for(lambda: any(line["event"] == "settlement_lost" for line in service.logs("worker-*")), 30)

    row = service.neighbour.job(job)
    assert row["msdyn_status"] == PROCESSING
    assert json.loads(row["msdyn_responsejson"]) == stolen


def test_a_job_that_is_deleted_under_the_claim_is_dropped(service: Service) -> None:
    job, _ = _held(service)

    service.neighbour.delete_job(job)
    wait_for(lambda: any(line["event"] == "settlement_lost" for line in service.logs("worker-*")), 30)

    other = service.neighbour.create_job()
    service.neighbour.create_packet(other, 1)
    service.wait_for_job(other, SUCCEEDED)


def test_packets_that_arrive_after_the_claim_change_nothing(service: Service) -> None:
    job, _ = _held(service)

    service.neighbour.create_packet(job, 2)
    service.neighbour.create_packet(job, None)

    assert service.wait_for_job(job, SUCCEEDED)["received_packets"] == 1
    assert _final_changes(service, job) == ["Succeeded"]
