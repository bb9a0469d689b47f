"""Keeps claims alive while handlers run: a thread renews them at a third of their lease. A renewal is no attempt."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog

from tasks.ports import Held, JobStore
from worker.dataverse.errors import DataverseError

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 3


class LeaseKeeper:
    """Implements `tasks.ports.Leases` with one thread per chunk of work."""

    def __init__(self, store: JobStore, lease: timedelta) -> None:
        self._store = store
        self._lease = lease

    @contextmanager
    def keep(self, held: Sequence[Held]) -> Iterator["KeptClaims"]:
        """Renew these claims in the background for as long as the context lasts."""
        kept = KeptClaims(self._store, held, self._lease)
        kept.start()
        try:
            yield kept
        finally:
            kept.stop()


class KeptClaims:
    """Claims under renewal. Once stopped, `current` no longer changes."""

    def __init__(self, store: JobStore, held: Sequence[Held], lease: timedelta) -> None:
        self._store = store
        self._held: list[Held | None] = list(held)
        self._lease = lease
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_ended, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """End renewing; waits for a renewal that is under way."""
        self._ended.set()
        self._thread.join()

    def current(self) -> Sequence[Held | None]:
        """Give the claims as they are now, in the order given; None for one that was lost."""
        return tuple(self._held)

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._lease.total_seconds() / RENEWALS_PER_LEASE):
            try:
                self._renew()
            except DataverseError as error:
                # The claims hold for two more thirds of the lease: the next round tries again.
                log.warning("renewal_failed", error=type(error).__name__, claims=len(self._held))

    def _renew(self) -> None:
        positions = [position for position, one in enumerate(self._held) if one is not None]
        held = [one for one in self._held if one is not None]
        if not held:
            return
        until = [self._store.now() + self._lease] * len(held)
        for position, renewed in zip(positions, self._store.renew(held, until), strict=True):
            self._held[position] = renewed
            if renewed is None:
                log.warning("claim_lost_while_working", job_id=str(held[positions.index(position)].job.id))
