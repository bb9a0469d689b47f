"""The question after jobs whose next look has come; it costs no request, because Redis remembers them."""

from collections.abc import Iterator

from worker.poller.ports import PollStore
from worker.poller.questions import Found
from worker.queue import JobQueue

BATCH = 500


class Due:
    """Takes due jobs out of the queue's hints."""

    def __init__(self, store: PollStore, queue: JobQueue) -> None:
        self._store = store
        self._queue = queue

    def ask(self) -> Iterator[Found]:
        """Take out what is due now."""
        while found := self._queue.take_due(self._store.now(), BATCH):
            yield Found("due", found)
