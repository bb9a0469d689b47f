"""The Celery configuration: each line of it that reliability rests on, and the Redis addresses as kombu reads them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from config.celery import broker_url, celery_configuration, redis_options
from config.settings import AuthSettings, DataverseSettings, JobsSettings, RedisSettings, WorkSettings
from config.sources import Settings
from tests.unit.config.conftest import Place

SIGNED_IN = AuthSettings(method="managed_identity")
ORG = DataverseSettings(url="https://org.crm.dynamics.com")

RELIED_ON: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "result_backend": None,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_hijack_root_logger": False,
    "worker_soft_shutdown_timeout": 20.0,
    "worker_enable_remote_control": False,
    "task_publish_retry": False,
}


def redis_at(url: str, ca_file: Path | None = None) -> RedisSettings:
    return RedisSettings.model_validate({"url": url, "ca_file": ca_file})


def configured(place: Place, **variables: str) -> dict[str, Any]:
    return celery_configuration(place.load(**variables))


@pytest.mark.parametrize("name", RELIED_ON)
def test_what_reliability_rests_on_is_set(place: Place, name: str) -> None:
    assert configured(place)[name] == RELIED_ON[name]


def test_celery_knows_every_name_and_takes_it_over(place: Place) -> None:
    configuration = configured(place)
    app = Celery("test", set_as_current=False)
    app.conf.update(configuration)

    known = set(dict(flatten(NAMESPACES)))
    assert configuration.keys() <= known | {"broker_url", "result_backend"}
    assert {name: getattr(app.conf, name) for name in RELIED_ON} == RELIED_ON


def test_orphaned_messages_come_back_within_seconds(place: Place) -> None:
    options = configured(place)["broker_transport_options"]

    assert (options["unacked_restore_interval"], options["unacked_restore_throttle"]) == (2, 1)


@pytest.mark.parametrize("url", ["redis://localhost/0", "rediss://localhost/0", "unix:///run/redis.sock"])
def test_no_redis_is_waited_for_without_end(place: Place, url: str) -> None:
    options = configured(place, JOBWORKER_REDIS__URL=url)["broker_transport_options"]

    assert 0 < options["socket_timeout"] <= 10
    assert 0 < options["socket_connect_timeout"] <= 10
    assert options["health_check_interval"] > 0
    assert options.get("socket_keepalive", False) == (not url.startswith("unix"))


@given(
    lease=st.timedeltas(timedelta(seconds=5), timedelta(days=366)),
    limit=st.none() | st.timedeltas(timedelta(milliseconds=1), timedelta(days=366)),
)
def test_a_task_is_dead_before_its_claims_and_its_message_are_anyone_elses(
    lease: timedelta, limit: timedelta | None
) -> None:
    settings = Settings(
        dataverse=ORG, auth=SIGNED_IN, jobs=JobsSettings(lease=lease), work=WorkSettings(time_limit=limit)
    )

    configuration = celery_configuration(settings)

    soft, hard = configuration["task_soft_time_limit"], configuration["task_time_limit"]
    assert 0 < soft < hard
    assert hard + 10 <= configuration["broker_transport_options"]["visibility_timeout"]
    if limit is None:
        assert hard < lease.total_seconds()
    else:
        assert hard == limit.total_seconds()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://user:p%40ss@host:6380/2", {"host": "host", "port": 6380, "db": 2, "password": "p@ss"}),
        ("rediss://host/0", {"host": "host", "port": 6379, "db": 0}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock", "db": 0}),
        ("unix:///run/redis.sock?db=3", {"path": "/run/redis.sock", "db": 3}),
        ("unix://user:p%40ss@/run/redis.sock", {"path": "/run/redis.sock", "username": "user", "password": "p@ss"}),
    ],
)
def test_kombu_connects_to_the_redis_that_was_named(url: str, expected: dict[str, Any]) -> None:
    assert expected.items() <= connection_parameters(redis_at(url)).items()


def connection_parameters(settings: RedisSettings) -> dict[str, Any]:
    """Ask kombu with which parameters it would connect, without connecting."""
    from kombu.transport.redis import Channel, Transport  # noqa: PLC0415 - what the next lines are about

    connection = Connection(broker_url(settings), transport_options=redis_options(settings))
    channel = Channel.__new__(Channel)
    channel.connection = Transport(connection)
    for name, value in redis_options(settings).items():
        setattr(channel, name, value)
    parameters: dict[str, Any] = channel._connparams()  # type: ignore[attr-defined]  # not in its stubs
    return parameters


def test_tls_is_verified(tmp_path: Path, place: Place) -> None:
    plain = configured(place, JOBWORKER_REDIS__URL="rediss://host:6380/0")
    assert plain["broker_use_ssl"] == {"ssl_cert_reqs": "required", "ssl_check_hostname": True}

    own = configured(place, JOBWORKER_REDIS__CA_FILE=str(tmp_path / "ca.pem"))
    assert own["broker_use_ssl"]["ssl_ca_certs"] == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("url", ["redis://localhost/0", "unix:///run/redis.sock"])
def test_without_tls_none_is_spoken_of(place: Place, url: str) -> None:
    assert "broker_use_ssl" not in configured(place, JOBWORKER_REDIS__URL=url)


def test_the_operator_decides_about_processes_and_time(place: Place) -> None:
    configuration = configured(
        place,
        JOBWORKER_WORK__CONCURRENCY="7",
        JOBWORKER_WORK__MAX_MEMORY="123456",
        JOBWORKER_WORK__SHUTDOWN_TIMEOUT="9s",
        JOBWORKER_WORK__TIME_LIMIT="40s",
    )

    assert configuration["worker_concurrency"] == 7
    assert configuration["worker_max_memory_per_child"] == 123_456
    assert configuration["worker_soft_shutdown_timeout"] == 9.0
    assert configuration["task_time_limit"] == 40.0
