"""Every Redis key of this project, with its time to live. Nothing else spells a key.

Redis holds nothing that cannot be lost: wiped at any moment, it fills again from what Dataverse says. Celery's own keys
(its queue and its unacknowledged messages) are listed here only because they are read to see how much is outstanding.
"""

from datetime import timedelta
from hashlib import sha256

from config.celery import QUEUE

LEADER = "jobworker:poller:leader"
"""Lock: which poller leads."""
LEADER_TTL = timedelta(seconds=10)

QUEUED = "jobworker:jobs:queued"
"""Sorted set: jobs that are in a message; scored with the instant from which the message is presumed lost."""

DUE = "jobworker:jobs:due"
"""Sorted set: jobs to be looked at again; scored with the instant, in Unix seconds on Dataverse's clock."""
HINTS_TTL = timedelta(days=1)
"""Of `QUEUED` and `DUE`, renewed at every write."""

CELERY_QUEUE = QUEUE
"""List: messages that no worker has taken yet (Celery's)."""

CELERY_UNACKED = "unacked"
"""Hash: messages that a worker has taken and not acknowledged (Celery's)."""

THROTTLE_CEILING_TTL = timedelta(hours=1)
"""Of `throttle_ceiling`, renewed whenever it is written."""


def throttle_user(url: str, client_id: str | None) -> str:
    """Name the application user whose limits are shared: short, and the same in every process of the fleet.

    Args:
        url: The environment.
        client_id: The application; None for a system-assigned managed identity.
    """
    return sha256(f"{url} {client_id or ''}".encode()).hexdigest()[:16]


def throttle_pause(user: str) -> str:
    """Text: because of which limit nobody may send. Lives as long as the pause."""
    return f"jobworker:throttle:{user}:pause"


def throttle_inflight(user: str) -> str:
    """Sorted set: requests on their way, scored with the instant (Redis's clock, ms) from which they are given up.

    Lives as long as the youngest of them may take.
    """
    return f"jobworker:throttle:{user}:inflight"


def throttle_pace(user: str) -> str:
    """Hash: the token bucket, while the fleet is paced. Lives for one window of the limits after the last cause."""
    return f"jobworker:throttle:{user}:pace"


def throttle_ceiling(user: str) -> str:
    """Hash: how many requests at a time Dataverse recommends, and what a concurrency 429 has lowered it to."""
    return f"jobworker:throttle:{user}:ceiling"
