"""Every Redis key of this project, with its time to live. Nothing else spells a key.

Redis holds nothing that cannot be lost: wiped at any moment, it fills again from what Dataverse says. Celery's own keys
(its queue and its unacknowledged messages) are listed here only because they are read to see how much is outstanding.
"""

from datetime import timedelta

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
