"""Which of the pollers leads: a lock in Redis that its holder renews, and that others take when it stops.

Two leaders for a moment (after a fail-over, say) do no harm: a job that is queued twice is claimed once.
"""

import structlog
from redis import Redis
from redis.exceptions import LockError, LockNotOwnedError
from redis.lock import Lock

from worker.redis_keys import LEADER, LEADER_TTL

log = structlog.get_logger(__name__)

RENEW_SECONDS = LEADER_TTL.total_seconds() / 4
"""How often the leader renews its lock and a standby tries to take it."""


class Leadership:
    """Leads or stands by. `term` counts the times this process began to lead."""

    def __init__(self, redis: Redis) -> None:
        self._lock = Lock(redis, LEADER, timeout=LEADER_TTL.total_seconds(), blocking=False, thread_local=False)
        self.leads = False
        self.term = 0

    def confirm(self) -> bool:
        """Renew the lead, or try to take it.

        Returns:
            Whether this process leads now.

        Raises:
            redis.RedisError: When Redis is away; then this process does not lead.
        """
        was_leading, self.leads = self.leads, False
        # Also after an error: the lock may stand as it was, and nobody else can take it then.
        self.leads = self._renewed() or self._taken()
        if was_leading and not self.leads:
            log.warning("leadership_lost")
        return self.leads

    def resign(self) -> None:
        """Give the lead away, so that a standby need not wait for the lock to expire.

        Raises:
            redis.RedisError: When Redis is away; the lock then expires by itself.
        """
        self.leads = False
        try:
            self._lock.release()
        except LockNotOwnedError:
            log.info("leadership_already_taken")
        except LockError:
            pass  # it never led, or gave the lead away already

    def _renewed(self) -> bool:
        try:
            return bool(self._lock.extend(LEADER_TTL.total_seconds(), replace_ttl=True))
        except LockError:
            return False

    def _taken(self) -> bool:
        if not self._lock.acquire():
            return False
        self.term += 1
        log.info("leadership_taken", term=self.term)
        return True
