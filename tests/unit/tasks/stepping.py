"""A worker process that stands still before each of its steps: whoever drives it decides what happens in between.

Only one thread ever runs: the driver waits while a process takes its step. So every interleaving can be had, and had
again.
"""

import threading
from collections.abc import Callable

from tests.unit.tasks.scene import Worker


class KilledError(BaseException):
    """The process is dead: what it had in mind will never happen."""


class Process:
    """Runs a worker's work one step at a time."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.errors: list[BaseException] = []
        self.at = ""
        worker.store.before = self.stand_still
        self._thread: threading.Thread | None = None
        self._go_on = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._is_dead = False

    @property
    def is_busy(self) -> bool:
        return self._thread is not None

    def start(self, work: Callable[[], None]) -> None:
        """Begin to work, up to before the first step."""
        self._thread = threading.Thread(target=self._run, args=[work], daemon=True)
        self._thread.start()
        self._stands.acquire()

    def step(self) -> None:
        """Take one step, up to before the next or to the end."""
        if self._thread is not None:
            self._go_on.release()
            self._stands.acquire()

    def kill(self) -> None:
        """Die where the process stands, as by SIGKILL: nothing else reaches Dataverse."""
        self._is_dead = True
        while self.is_busy:
            self.step()

    def finish(self) -> None:
        """Take every step that is left."""
        while self.is_busy:
            self.step()

    def stand_still(self, step: str) -> None:
        """Wait before a step; called by the process itself."""
        if threading.current_thread() is not self._thread:
            return
        if not self._is_dead:
            self.at = step
            self._stands.release()
            self._go_on.acquire()
        if self._is_dead:
            raise KilledError

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except KilledError:
            pass
        except BaseException as error:  # the driver looks at it
            self.errors.append(error)
        self.at, self._thread = "", None
        self._stands.release()
