"""Checks everything that the service needs, one thing after the other, and says what to do. Changes nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from config.sources import Settings
from worker.dataverse.batch import read, update
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import DataverseError, RowGoneError
from worker.dataverse.odata import Query
from worker.redis_client import describe_failure
from worker.store.columns import JobTable, PacketTable

SKEW = timedelta(minutes=2)
"""Of this machine's clock against Dataverse's: harmless for jobs, but tokens and certificates are judged by it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: its name, whether all is well, and what was seen or what to do."""

    name: str
    is_good: bool
    said: str


class Unwell(Exception):  # noqa: N818 - a finding, not an error of the program
    """A check failed; the message says what to do."""


def examine(settings: Settings, client: DataverseClient, redis: Redis) -> Iterator[Finding]:
    """Run every check.

    Args:
        settings: The settings in force, valid already.
        client: Signs in when first used.
        redis: Connects when first used.

    Yields:
        Each finding as soon as it is made.
    """
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("sign-in", lambda: _signed_in(client)),
        (f"read {JobTable.LOGICAL_NAME}", lambda: _readable(client, JobTable.ENTITY_SET, JobTable.ID)),
        (f"read {PacketTable.LOGICAL_NAME}", lambda: _readable(client, PacketTable.ENTITY_SET, PacketTable.ID)),
        (f"write {JobTable.LOGICAL_NAME}", lambda: _writable(client)),
        ("optimistic concurrency", lambda: _guarded(client)),
        ("clock", lambda: _clock(client)),
        ("Redis", lambda: _redis(redis)),
        ("Redis eviction policy", lambda: _eviction(redis)),
    )
    yield Finding("settings", is_good=True, said="valid; `jobworker config` shows them")
    for name, check in checks:
        yield _find(name, check, settings)


def _find(name: str, check: Callable[[], str], settings: Settings) -> Finding:
    try:
        return Finding(name, is_good=True, said=check())
    except (Unwell, DataverseError) as error:
        return Finding(name, is_good=False, said=str(error))
    except RedisError as error:
        return Finding(name, is_good=False, said=describe_failure(error, settings.redis))


def _signed_in(client: DataverseClient) -> str:
    return f"as application user {client.who_am_i()}"


def _readable(client: DataverseClient, entity_set: str, column: str) -> str:
    client.ask(read(Query(entity_set, (column,), top=1).path), operation="doctor")
    return "allowed"


def _writable(client: DataverseClient) -> str:
    """Try to change a row that does not exist: who may not write is refused before it is looked for."""
    nobody = update(JobTable.ENTITY_SET, uuid4(), {JobTable.NAME: ""}, etag="*")
    (answer,) = client.batch([nobody], operation="doctor").parts
    if isinstance(answer, RowGoneError):
        return "allowed"
    if isinstance(answer, DataverseError):
        raise answer
    raise Unwell("a row that does not exist was changed: this is not Dataverse")


def _guarded(client: DataverseClient) -> str:
    path = f"EntityDefinitions(LogicalName='{JobTable.LOGICAL_NAME}')?$select=IsOptimisticConcurrencyEnabled"
    if not client.ask(read(path), operation="doctor").value.get("IsOptimisticConcurrencyEnabled"):
        raise Unwell(
            f"is off for {JobTable.LOGICAL_NAME}: without it two workers can settle one job. "
            "Switch it on in the table's definition (IsOptimisticConcurrencyEnabled)."
        )
    return "on"


def _clock(client: DataverseClient) -> str:
    skew = abs(client.now() - datetime.now(UTC))
    if skew > SKEW:
        raise Unwell(f"this machine's is {skew.total_seconds():.0f} s off Dataverse's: switch time synchronisation on.")
    return f"{skew.total_seconds():.0f} s off Dataverse's"


def _redis(redis: Redis) -> str:
    redis.ping()
    return "reachable"


def _eviction(redis: Redis) -> str:
    # INFO tells it too, and unlike CONFIG it is allowed where Redis is somebody's managed service.
    policy = str(redis.info("memory").get("maxmemory_policy"))
    if policy != "noeviction":
        raise Unwell(f"is {policy}: a broker that evicts keys drops messages. Set maxmemory-policy noeviction.")
    return policy
