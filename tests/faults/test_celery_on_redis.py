"""What Celery on Redis does not promise, one line of it a test."""

import json
import time
from typing import Any

import pytest
import redis
from celery import Celery

from config.celery import QUEUE, RESCUE_JOB, SETTLE_JOBS, broker_url
from config.settings import RedisSettings
from tests.faults.handlers import install_handlers
from tests.integration.conftest import service
from tests.integration.neighbour import PROCESSING, SUCCEEDED
from tests.integration.service import Service, kill, wait_for
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


def test_a_message_whose_holder_was_killed_comes_back_to_another(service: Service) -> None:
    quick = {"JOBWORKER_WORK__TIME_LIMIT": "1s"}  # what a message stays reserved for hangs on it
    job = service.neighbour.create_job(msdyn_name="slow:30")
    service.neighbour.create_packet(job, 1)
    holder = service.worker(1, **install_handlers(service.family.folder), JOBWORKER_JOBS__LEASE="60s")
    with _publisher(service) as app:
        message = app.send_task(SETTLE_JOBS, args=[[job]], queue=QUEUE).id
    wait_for(lambda: service.neighbour.job(job)["msdyn_status"] == PROCESSING, 30)
    kill(holder)
    with _client(service) as client:
        assert (client.llen(QUEUE), client.hlen("unacked")) == (0, 1)

    other = service.worker(1, **quick)

    wait_for(lambda: any(line.get("task_id") == message for line in service.logs(other.name)), 60)
    with _client(service) as client:
        wait_for(lambda: not client.hlen("unacked"), 10)


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
