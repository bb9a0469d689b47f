"""The question after packets: which open jobs got any since the last time."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from worker.poller.ports import PollStore
from worker.poller.questions import Found
from worker.poller.window import Window


class Arrived:
    """Finds open jobs by the packets that arrived, one aggregate however many packets or waiting jobs there are."""

    def __init__(self, store: PollStore, overlap: timedelta) -> None:
        self._store = store
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
        yield Found("arrivals", [job_id for job_id, arrived in packets.items() if self._counted.get(job_id) != arrived])
        self._counted = packets
        if asked_at is not None:
            self._window.asked_up_to(asked_at)
