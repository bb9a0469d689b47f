"""Handlers that kill, hang, leak, fail: the job ends as it should, and its neighbours do not notice."""

import pytest

from tests.faults.handlers import install_handlers
from tests.integration.conftest import service
from tests.integration.kernel import children_of
from tests.integration.neighbour import FAILED, PROCESSING, SUCCEEDED
from tests.integration.service import Service, wait_for

__all__ = ["service"]

pytestmark = pytest.mark.timeout(180)


def _job(service: Service, name: str, packets: int = 1) -> str:
    job = service.neighbour.create_job(msdyn_name=name, msdyn_numberofpackets=packets)
    for number in range(1, packets + 1):
        service.neighbour.create_packet(job, number)
    return job


def _start(service: Service, **settings: str) -> None:
    environment = install_handlers(service.family.folder)
    service.poller(**settings)
    service.worker(2, **environment, **settings)


def test_a_poisonous_job_ends_as_worker_lost_and_takes_no_other_with_it(service: Service) -> None:
    poison = _job(service, "poison")
    others = [_job(service, f"other {number}") for number in range(9)]
    _start(service)

    document = service.wait_for_job(poison, FAILED, 120)

    assert document["reason"] == "worker_lost"
    assert document["attempt"] == 4  # three attempts that lost their worker, and the claim that gave it up
    for other in others:
        assert service.wait_for_job(other, SUCCEEDED, 60)["reason"] == "complete"


def test_a_handler_that_hangs_meets_the_soft_limit_and_others_go_on(service: Service) -> None:
    hanging = _job(service, "hang")
    others = [_job(service, f"other {number}") for number in range(5)]
    _start(service, JOBWORKER_JOBS__MAX_ATTEMPTS="2")

    for other in others:
        service.wait_for_job(other, SUCCEEDED, 60)
    document = service.wait_for_job(hanging, FAILED, 90)

    assert document["reason"] == "handler_failed"
    assert document["error"]["type"] == "SoftTimeLimitExceeded"


def test_a_handler_that_ignores_the_soft_limit_is_killed_by_the_hard_one(service: Service) -> None:
    hanging = _job(service, "hang hard")
    _start(service, JOBWORKER_JOBS__MAX_ATTEMPTS="1")

    assert service.wait_for_job(hanging, FAILED, 90)["reason"] == "worker_lost"


def test_a_process_that_leaks_is_replaced(service: Service) -> None:
    environment = install_handlers(service.family.folder)
    service.poller(JOBWORKER_JOBS__CHUNK_SIZE="1")
    worker = service.worker(1, **environment, JOBWORKER_WORK__MAX_MEMORY="150000", JOBWORKER_JOBS__CHUNK_SIZE="1")
    first = wait_for(lambda: set(children_of(worker.popen.pid)), 20)
    jobs = [_job(service, "leak") for _ in range(12)]

    for job in jobs:
        service.wait_for_job(job, SUCCEEDED, 60)

    assert wait_for(lambda: set(children_of(worker.popen.pid)) - first, 20)


def test_a_failing_handler_is_tried_again_and_then_fails(service: Service) -> None:
    failing, once, rejected = _job(service, "fail"), _job(service, "fail once"), _job(service, "reject")
    bad, huge = _job(service, "bad result"), _job(service, "huge")
    _start(service, JOBWORKER_JOBS__MAX_ATTEMPTS="2", JOBWORKER_JOBS__LEASE="10s")

    document = service.wait_for_job(rejected, FAILED)
    assert (document["reason"], document["error"]["message"]) == ("not_for_us", "not for us")
    assert service.wait_for_job(bad, FAILED)["error"]["type"] == "PermanentError"
    assert service.wait_for_job(huge, SUCCEEDED)["result"]["rows"][-1] == {"left_out": 99_000}
    recovered = service.wait_for_job(once, SUCCEEDED, 60)
    assert (recovered["attempt"], recovered["result"]) == (2, {"numbers": [1]})
    given_up = service.wait_for_job(failing, FAILED, 60)
    assert (given_up["reason"], given_up["attempt"]) == ("handler_failed", 2)
    assert given_up["error"] == {"type": "RuntimeError", "message": "broken for good"}


def test_a_claim_is_renewed_while_a_handler_works_longer_than_its_lease(service: Service) -> None:
    slow = _job(service, "slow:12")
    _start(service, JOBWORKER_JOBS__LEASE="6s", JOBWORKER_WORK__TIME_LIMIT="40s")

    document = service.wait_for_job(slow, SUCCEEDED, 60)

    assert document["attempt"] == 1
    assert document["duration_ms"] >= 11_000


def test_sigterm_hands_back_what_cannot_be_finished(service: Service) -> None:
    environment = install_handlers(service.family.folder)
    settings = {"JOBWORKER_JOBS__LEASE": "60s", "JOBWORKER_WORK__SHUTDOWN_TIMEOUT": "2s"}
    service.poller(**settings)
    worker = service.worker(1, **environment, **settings)
    slow = _job(service, "slow:20")
    wait_for(lambda: service.neighbour.job(slow)["msdyn_status"] == PROCESSING, 30)

    worker.popen.terminate()
    worker.popen.wait(30)
    service.worker(1, **environment, **settings)

    # Long before its lease of a minute would have expired, and with its work done anew.
    assert service.wait_for_job(slow, SUCCEEDED, 45)["attempt"] == 2
