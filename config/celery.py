"""The Celery configuration: what reliability on Redis rests on, each line for a measured reason.

Nothing here makes a job safe by itself (Dataverse's claims do that); it keeps messages from getting stuck, being kept
by dead processes, or blocking a live one for ever.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from config.settings import RedisSettings
from config.sources import Settings

QUEUE = "jobworker"
"""The one queue, which is also the name of its list in Redis."""

SETTLE_JOBS = "jobworker.settle_jobs"
"""Name of the task that settles a chunk of jobs."""

RESCUE_JOB = "jobworker.rescue_job"
"""Name of the task that takes over one job whose claim expired."""

HARD_LIMIT_SHARE = 0.8
"""Of the lease: a task is killed before its claims expire, so no rescuer meets a holder that still works."""

SOFT_LIMIT_SHARE = 0.75
"""Of the hard limit: a task is asked to end early enough to hand back what it holds."""

VISIBILITY_MARGIN = timedelta(seconds=30)
"""How much longer than the hard time limit a message stays reserved: a task must be dead before its twin starts."""

SOCKET_TIMEOUT_SECONDS = 5.0
"""A frozen Redis is an error after this long, never a wait without end."""

HEALTH_CHECK_SECONDS = 10

RESTORE_INTERVAL_SECONDS = 2
"""How often kombu looks for messages whose holder died; its own default finds them minutes late."""

RESTORE_MUTEX_SECONDS = 10
"""After this long another worker looks for such messages, should the one that was at it have died."""


def broker_url(settings: RedisSettings) -> str:
    """Spell the Redis URL as kombu wants it: a socket is ``redis+socket:///path?virtual_host=0`` there."""
    url = settings.url.get_secret_value()
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = dict(pair.partition("=")[::2] for pair in parts.query.split("&")).get("db", "0")
    credentials = parts.netloc.rpartition("@")[0]
    prefix = f"{credentials}@" if credentials else ""
    return f"redis+socket://{prefix}{parts.path}?virtual_host={database}"


def redis_options(settings: RedisSettings) -> dict[str, Any]:
    """Give the connection options that every Redis client of this project uses, Celery's included.

    Returns:
        Keyword arguments of redis-py's connections: time-outs in seconds everywhere, TLS verified.
    """
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
    }
    if urlsplit(settings.url.get_secret_value()).scheme != "unix":
        options["socket_keepalive"] = True
    return options


def hard_time_limit(settings: Settings) -> timedelta:
    """Give the time after which a task's process is killed."""
    return settings.work.time_limit or settings.jobs.lease * HARD_LIMIT_SHARE


def celery_configuration(settings: Settings) -> dict[str, Any]:
    """Turn the settings into Celery's configuration.

    Returns:
        Names and values for `celery.Celery.conf`.
    """
    work = settings.work
    hard_limit = hard_time_limit(settings).total_seconds()
    return {
        "broker_url": broker_url(settings.redis),
        **_tls(settings.redis),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            **redis_options(settings.redis),
            "visibility_timeout": hard_limit + VISIBILITY_MARGIN.total_seconds(),
            "unacked_restore_interval": RESTORE_INTERVAL_SECONDS,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": RESTORE_MUTEX_SECONDS,
        },
        "result_backend": None,
        "task_ignore_result": True,
        "task_default_queue": QUEUE,
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "event_serializer": "json",
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": True,  # the poller finds the rows again; a message is not evidence of work
        "task_reject_on_worker_lost": True,
        "task_soft_time_limit": hard_limit * SOFT_LIMIT_SHARE,
        "task_time_limit": hard_limit,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "worker_soft_shutdown_timeout": work.shutdown_timeout.total_seconds(),
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_concurrency": work.concurrency,
        "worker_max_memory_per_child": work.max_memory,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,  # nobody on the broker may command a worker
        "task_publish_retry": False,  # the poller's next tick is the retry
        "enable_utc": True,
        "timezone": "UTC",
    }


def _tls(settings: RedisSettings) -> dict[str, Any]:
    if urlsplit(settings.url.get_secret_value()).scheme != "rediss":
        return {}
    use_ssl: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if settings.ca_file:
        use_ssl["ssl_ca_certs"] = str(settings.ca_file)
    return {"broker_use_ssl": use_ssl}
