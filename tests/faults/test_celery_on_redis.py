"""What Celery on Redis does not promise, one line of it a test."""

import json
import time
from typing import Any

import pytest
import redis
from celery import Celery

from config.celery import QUEUE, RESCUE_JOB, SETTLE_JOBS, broker_url
from config.settings import RedisSettings
from tests.integration.conftest import service
from tests.integration.neighbour import SUCCEEDED
from tests.integration.service import Service, probe, wait_for
from worker.redis_keys import DUE, LEADER, QUEUED

__all__ = ["service"]

pytestmark = pytest.mark.timeout(180)


def _client(service: Service) -> redis.Redis:
    return redis.Redis.from_url(service.redis.url, decode_responses=True)


def _publisher(service: Service) -> Celery:
    app = Celery("stranger", broker=broker_url(RedisSettings(url=service.redis.url)), set_as_current=False)
    app.conf.update(task_serializer="json", task_default_queue=QUEUE)
    return app


def _complete_job(service: Service) -> str:
    job = service.neighbour.create_job()
    service.neighbour.create_packet(job, 1)
    return job


def _settlements(service: Service, job: str) -> int:
    finals = ("Succeeded", "Failed", "Skipped")
    return sum(change["job_id"] == job and change["new_status"] in finals for change in service.changes())


def test_a_message_that_is_popped_and_never_run_is_made_up_for(service: Service) -> None:
    job = _complete_job(service)
    poller = service.poller(JOBWORKER_POLL__SWEEP_INTERVAL="10m")
    with _client(service) as client:
        wait_for(lambda: client.llen(QUEUE), 20)
        client.delete(QUEUE)  # as a worker does that dies between taking a message and noting that it took it
    service.worker(JOBWORKER_POLL__SWEEP_INTERVAL="10m")

    assert service.wait_for_job(job, SUCCEEDED, 40)["attempt"] == 1
    assert any(line.get("source") == "due" for line in service.logs(poller.name))


def test_a_message_that_comes_twice_settles_its_jobs_once(service: Service) -> None:
    jobs = [_complete_job(service) for _ in range(5)]
    with _publisher(service) as app:
        for _ in range(10):
            app.send_task(SETTLE_JOBS, args=[jobs], queue=QUEUE)
            app.send_task(RESCUE_JOB, args=[jobs[0]], queue=QUEUE)
    service.worker(2)

    for job in jobs:
        service.wait_for_job(job, SUCCEEDED)
    with _client(service) as client:
        wait_for(lambda: not client.llen(QUEUE) and not client.hlen("unacked"), 30)

    assert [_settlements(service, job) for job in jobs] == [1] * 5


@pytest.mark.parametrize(
    "argument",
    [None, "x", 5, [], ["not-an-id"], [1, 2], {"a": 1}, [["nested"]], ["00000000-0000-0000-0000-000000000001"] * 101],
)
def test_a_malformed_message_is_refused_and_the_worker_goes_on(service: Service, argument: Any) -> None:
    with _publisher(service) as app:
        app.send_task(SETTLE_JOBS, args=[argument], queue=QUEUE)
        app.send_task(SETTLE_JOBS, args=[], queue=QUEUE)
        app.send_task("os.system", args=["true"], queue=QUEUE)
    service.worker(1)
    service.poller()
    job = _complete_job(service)

    service.wait_for_job(job, SUCCEEDED)

    assert any(line["event"] == "message_refused" for line in service.logs("worker-*"))


def test_a_pickled_message_is_never_unpacked(service: Service) -> None:
    with _client(service) as client:
        body = {"body": "gASVCg==", "content-type": "application/x-python-serialize", "content-encoding": "binary"}
        properties = {
            "delivery_tag": "t",
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "body_encoding": "base64",
        }
        client.lpush(QUEUE, json.dumps({**body, "headers": {}, "properties": properties}))
    worker = service.worker(1)
    service.poller()
    job = _complete_job(service)

    service.wait_for_job(job, SUCCEEDED)

    assert worker.popen.poll() is None


def test_a_worker_survives_a_restart_of_redis_under_load(service: Service) -> None:
    poller, worker = service.poller(), service.worker(2)
    service.seed(300, arrive_over=8)
    for _ in range(2):
        before = service.judgement()["ended"]
        wait_for(lambda before=before: service.judgement()["ended"] > before, 30)
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
        wait_for(lambda process=process: probe(process, "/readyz").status_code == 503, 40)
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


def test_every_key_of_ours_has_a_time_to_live(service: Service) -> None:
    service.poller()
    service.worker(1)
    service.seed(40, arrive_over=2)
    with _client(service) as client:
        seen: dict[str, int] = {}
        deadline = time.monotonic() + 40
        while service.judgement()["ended"] < 40 and time.monotonic() < deadline:
            seen |= {key: client.pttl(key) for key in client.scan_iter("jobworker:*")}
        seen |= {key: client.pttl(key) for key in client.scan_iter("jobworker:*")}

    assert {QUEUED, DUE, LEADER} & set(seen)
    assert [key for key, left in seen.items() if left == -1] == []
