"""The question after packets: which open jobs got any since the last time."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from worker.poller.ports import PollStore
from worker.poller.questions import Found
from worker.poller.triage import Triage
from worker.poller.window import Window

LOOK_AT_ONCE = 1_000
"""Jobs counted in one request of the triage."""


class Arrived:
    """Finds open jobs by the packets that arrived, one aggregate however many packets or waiting jobs there are."""

    def __init__(self, store: PollStore, triage: Triage, overlap: timedelta) -> None:
        self._store = store
        self._triage = triage
        self._window = Window(overlap)
        self._counted_from: datetime | None = None
        self._counted: dict[UUID, int] = {}

    def ask(self) -> Iterator[Found]:
        """Ask which jobs got packets, leaving out those whose packets were counted the last time already."""
        since = self._window.start(self._store.now())
        if since != self._counted_from:
            self._counted_from, self._counted = since, {}
        asked_at: datetime | None = None
        packets: dict[UUID, int] = {}
        for arrivals in self._store.arrived_since(since):
            asked_at = asked_at or arrivals.now
            for job_id, arrived in arrivals.packets.items():
                packets[job_id] = packets.get(job_id, 0) + arrived
        grown = [job_id for job_id, arrived in packets.items() if self._counted.get(job_id) != arrived]
        for start in range(0, len(grown), LOOK_AT_ONCE):
            yield Found("arrivals", self._needing_a_worker(grown[start : start + LOOK_AT_ONCE]))
        self._counted = packets
        if asked_at is not None:
            self._window.asked_up_to(asked_at)

    def _needing_a_worker(self, ids: Sequence[UUID]) -> list[UUID]:
        look = self._store.survey(ids)
        return self._triage.needing_a_worker(list(look.jobs.values()), look.counts, look.now)
