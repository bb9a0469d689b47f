"""Connects to Redis or Valkey: time-outs everywhere, TLS verified, an unreachable server put into words."""

from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from config.celery import redis_options
from config.settings import RedisSettings

RETRIES = 1
"""Of one command on a connection that broke; more patience is the caller's business."""


def connect(settings: RedisSettings) -> Redis:
    """Make a client. Connects when it is first used; safe to share between threads, not between processes.

    Args:
        settings: Where Redis is.

    Returns:
        A client that answers text.
    """
    options: dict[str, Any] = redis_options(settings)
    if urlsplit(settings.url.get_secret_value()).scheme == "rediss" and settings.ca_file:
        options["ssl_ca_certs"] = str(settings.ca_file)
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES)
    return Redis.from_url(settings.url.get_secret_value(), decode_responses=True, retry=retry, **options)


def describe_failure(error: RedisError, settings: RedisSettings) -> str:
    """Put a failure into one sentence that names the setting and the way out, without credentials."""
    where = f"Redis at {settings.address} (JOBWORKER_REDIS__URL)"
    match error:
        case AuthenticationError() | NoPermissionError():
            return f"{where} refused the user or password in its URL, or lacks a permission: {type(error).__name__}."
        case _:
            return f"{where} cannot be reached: {type(error).__name__}. Is it running, and is the address right?"
