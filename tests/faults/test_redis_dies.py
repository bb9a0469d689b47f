"""Redis is restarted, away, frozen, full, read-only, replaced by its replica: it comes back and no job notices."""

import pytest
import redis

from sandbox.demo.processes import Process
from tests.faults.failover import failing_over
from tests.integration.conftest import service
from tests.integration.neighbour import SUCCEEDED
from tests.integration.service import Service, probe, wait_for

__all__ = ["service"]

pytestmark = pytest.mark.timeout(180)


def _client(service: Service) -> redis.Redis:
    return redis.Redis.from_url(service.redis.url, decode_responses=True)


def _complete_job(service: Service) -> str:
    job = service.neighbour.create_job()
    service.neighbour.create_packet(job, 1)
    return job


def _wait_for_more_to_end(service: Service, seconds: float) -> None:
    before = service.judgement()["ended"]
    wait_for(lambda: service.judgement()["ended"] > before, seconds, service.account)


def _wait_until_not_ready(process: Process) -> None:
    wait_for(lambda: probe(process, "/readyz").status_code == 503, 40)


def test_a_worker_survives_a_restart_of_redis_under_load(service: Service) -> None:
    poller, worker = service.poller(), service.worker(2)
    service.seed(300, arrive_over=8)
    for _ in range(2):
        _wait_for_more_to_end(service, 30)
        service.redis.kill()
        service.redis.start()

    service.wait_until_all_ended(90)

    assert worker.popen.poll() is None
    assert poller.popen.poll() is None


def test_while_redis_is_away_processes_stay_alive_and_say_so(service: Service) -> None:
    poller, worker = service.poller(), service.worker(1)
    for process in (poller, worker):
        service.wait_until_ready(process)
    service.redis.kill()

    for process in (poller, worker):
        _wait_until_not_ready(process)
        assert probe(process, "/healthz").status_code == 200
    service.redis.start()
    job = _complete_job(service)

    assert service.wait_for_job(job, SUCCEEDED, 60)["reason"] == "complete"
    for process in (poller, worker):
        service.wait_until_ready(process, 40)


def test_a_frozen_redis_is_an_error_and_not_a_wait_without_end(service: Service) -> None:
    poller = service.poller()
    service.wait_until_ready(poller)
    service.redis.freeze()
    try:
        wait_for(lambda: any(line["event"] == "tick_failed" for line in service.logs(poller.name)), 40)
    finally:
        service.redis.thaw()

    service.wait_until_ready(poller, 40)


def test_a_redis_that_is_full_or_read_only_costs_no_job(service: Service) -> None:
    service.poller()
    service.worker(1)
    with _client(service) as client:
        client.config_set("maxmemory", "1")
        refused = _complete_job(service)
        wait_for(lambda: any(line["event"] == "tick_failed" for line in service.logs("poller-*")), 30)
        client.config_set("maxmemory", "0")
        assert service.wait_for_job(refused, SUCCEEDED, 60)["reason"] == "complete"

        seen = len([line for line in service.logs("poller-*") if line["event"] == "tick_failed"])
        client.replicaof("127.0.0.1", "1")
        stranded = _complete_job(service)
        wait_for(lambda: len([x for x in service.logs("poller-*") if x["event"] == "tick_failed"]) > seen, 30)
        client.replicaof("NO", "ONE")
    assert service.wait_for_job(stranded, SUCCEEDED, 60)["reason"] == "complete"


def test_a_fail_over_to_the_replica_costs_no_job(service: Service) -> None:
    with failing_over() as pair:
        service.environment["JOBWORKER_REDIS__URL"] = pair.url
        for _ in range(2):
            service.poller()
            service.worker(2)
        for number in range(2):
            service.seed(150, arrive_over=6, random_seed=number)
            _wait_for_more_to_end(service, 60)
            pair.fail_over()

        judgement = service.wait_until_all_ended(120)

    assert (judgement["jobs"], judgement["mismatched_count"], judgement["doubled_count"]) == (300, 0, 0)
