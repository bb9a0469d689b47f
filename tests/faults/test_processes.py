"""What prefork does to connections, metrics and health; what the broker is never used for."""

import pytest
import redis

from sandbox.demo.processes import Process
from tests.faults.handlers import install_handlers
from tests.integration.conftest import service
from tests.integration.kernel import children_of, sockets
from tests.integration.neighbour import FAILED, PROCESSING, SUCCEEDED
from tests.integration.service import Service, metrics_of, probe, wait_for
from worker.redis_keys import CELERY_QUEUE, CELERY_UNACKED, DUE

__all__ = ["service"]

pytestmark = pytest.mark.timeout(180)

SETTLED = 'jobworker_jobs_settled_total{reason="complete",status="Succeeded"}'


def _job(service: Service, name: str = "") -> str:
    job = service.neighbour.create_job(msdyn_name=name)
    service.neighbour.create_packet(job, 1)
    return job


def _client(service: Service) -> redis.Redis:
    return redis.Redis.from_url(service.redis.url, decode_responses=True)


def _held(service: Service, job: str) -> None:
    wait_for(lambda: service.neighbour.job(job)["msdyn_status"] == PROCESSING, 30, service.account)


def _connections(pid: int, port: int) -> set[str]:
    return {one.inode for one in sockets(pid) if one.remote_port == port}


def test_no_two_processes_share_a_connection_to_dataverse(service: Service) -> None:
    service.poller(JOBWORKER_JOBS__CHUNK_SIZE="1")
    worker = service.worker(2, **install_handlers(service.family.folder))
    for job in [_job(service, "slow:3"), _job(service, "slow:3")]:
        _held(service, job)
    port = int(service.ready["url"].rpartition(":")[2])

    children = [_connections(pid, port) for pid in children_of(worker.popen.pid)]

    assert len(children) == 2
    assert all(children)
    assert not set.intersection(*children)
    assert not set.union(*children) & _connections(worker.popen.pid, port)


def test_a_busy_worker_takes_no_message_that_another_could_work_on(service: Service) -> None:
    handlers = install_handlers(service.family.folder)
    one_each = {"JOBWORKER_JOBS__CHUNK_SIZE": "1", "JOBWORKER_JOBS__LEASE": "60s"}
    poller = service.poller(**one_each)
    service.worker(1, **handlers, **one_each)
    slow = _job(service, "slow:30")
    _held(service, slow)
    others = [_job(service) for _ in range(3)]
    with _client(service) as client:
        wait_for(lambda: client.llen(CELERY_QUEUE) == 3, 20)
        assert client.hlen(CELERY_UNACKED) == 1
    # What is scaled on: a scaler that saw the list alone would take the busy worker for idle.
    wait_for(lambda: metrics_of(poller)["jobworker_queue_length"] == 4, 20)

    service.worker(1, **handlers, **one_each)

    for other in others:
        service.wait_for_job(other, SUCCEEDED)
    assert service.neighbour.job(slow)["msdyn_status"] == PROCESSING


def test_jobs_that_wait_lie_in_no_message_and_in_no_workers_memory(service: Service) -> None:
    service.poller(JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT="8s")
    service.worker(1, JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT="8s")
    jobs = [service.neighbour.create_job() for _ in range(20)]
    with _client(service) as client:
        wait_for(lambda: client.zcard(DUE) == 20, 20)
        assert (client.llen(CELERY_QUEUE), client.hlen(CELERY_UNACKED)) == (0, 0)

    assert {service.wait_for_job(job, FAILED)["reason"] for job in jobs} == {"packets_missing"}


def test_a_task_under_way_when_redis_is_lost_is_handed_back_and_its_job_ends_once(service: Service) -> None:
    service.poller(JOBWORKER_JOBS__LEASE="60s")
    worker = service.worker(2, **install_handlers(service.family.folder), JOBWORKER_JOBS__LEASE="60s")
    job = _job(service, "slow:5")
    _held(service, job)

    service.redis.kill()
    service.redis.start()

    # Long before its lease of a minute would have expired.
    assert service.wait_for_job(job, SUCCEEDED, 45)["attempt"] == 2
    finals = [change for change in service.changes() if change["job_id"] == job and change["new_status"] == "Succeeded"]
    assert len(finals) == 1
    assert worker.popen.poll() is None


def test_a_handler_deaf_to_signals_does_not_outlive_its_limit_though_celery_forgot_it(service: Service) -> None:
    once = {"JOBWORKER_JOBS__MAX_ATTEMPTS": "1"}
    service.poller(**once)
    service.worker(2, **install_handlers(service.family.folder), **once)
    job = _job(service, "hang hard")
    _held(service, job)

    service.redis.kill()  # with the connection Celery drops the timers of running tasks
    service.redis.start()

    assert service.wait_for_job(job, FAILED, 60)["reason"] == "worker_lost"


def test_bindings_that_are_lost_lose_no_job(service: Service) -> None:
    service.poller()
    service.worker(1)
    service.wait_for_job(_job(service), SUCCEEDED)
    with _client(service) as client:
        bindings = list(client.scan_iter("_kombu.binding.*"))
        assert bindings
        client.delete(*bindings)

    service.wait_for_job(_job(service), SUCCEEDED, 60)


def test_what_children_counted_survives_them_in_as_many_files_as_there_are_slots(service: Service) -> None:
    directory = service.family.folder / "metrics"
    service.poller(JOBWORKER_JOBS__CHUNK_SIZE="1")
    worker = service.worker(
        2,
        **install_handlers(service.family.folder),
        JOBWORKER_JOBS__CHUNK_SIZE="1",
        JOBWORKER_WORK__MAX_MEMORY="50000",  # every child is replaced after every task
        PROMETHEUS_MULTIPROC_DIR=str(directory),
    )
    first = wait_for(lambda: set(children_of(worker.popen.pid)), 20)
    both_busy = [_job(service, "slow:1"), _job(service, "slow:1")]
    for job in both_busy + [_job(service) for _ in range(10)]:
        service.wait_for_job(job, SUCCEEDED, 60)

    assert wait_for(lambda: set(children_of(worker.popen.pid)).isdisjoint(first), 20)
    wait_for(lambda: metrics_of(worker).get(SETTLED) == 12, 20, lambda: str(metrics_of(worker).get(SETTLED)))
    slots = {path.stem.rpartition("_")[2] for path in directory.glob("*.db")}
    assert slots == {"main", "0", "1"}


def test_a_busy_worker_is_alive_and_ready(service: Service) -> None:
    service.poller()
    worker = service.worker(1, **install_handlers(service.family.folder))
    _held(service, _job(service, "slow:4"))

    assert _health(worker) == (200, 200)


def _health(process: Process) -> tuple[int, int]:
    return probe(process, "/healthz").status_code, probe(process, "/readyz").status_code
