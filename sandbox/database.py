"""The one SQLite connection of the sandbox: transactions, the version counter, on whose behalf a change is made.

It knows no OData.
"""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import schema
from sandbox.clock import Clock
from sandbox.tables import TABLES

_CACHE_KIB = 256 * 1024
_MMAP = 256 * 1024 * 1024
_FIRST_VERSION = 1_000_000


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose behalf the next changes are made, for the audit.

    Args:
        name: A client id, or "seed" or "sandbox".
        request_id: The id the client gave its request.
    """

    name: str
    request_id: str | None = None


SEED = Actor("seed")
SANDBOX = Actor("sandbox")


def fold(text: str | None) -> str | None:
    """Text as Dataverse compares it: without regard to case, in every alphabet."""
    return None if text is None else str(text).casefold()


class Snapshot:
    """What is committed, for long questions from another thread: they keep nobody waiting.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        self._connection.execute(f"PRAGMA mmap_size = {_MMAP}")
        self._connection.execute("BEGIN")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._connection.execute(sql).fetchall()

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class Database:
    """The rows, in a file.

    Args:
        path: The database file; it is created when missing.
        clock: The sandbox's time.
        durable: Whether the rows have to survive the machine's crash; those of a sandbox seldom have to.
    """

    def __init__(self, path: Path, clock: Clock, *, durable: bool = False) -> None:
        self.path = path
        self.clock = clock
        self.actor = SANDBOX
        self.wrote_status = False
        self._loading = False
        self._depth = 0
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=1024, check_same_thread=False)
        self._configure("NORMAL" if durable else "OFF")
        self._register()
        self._connection.executescript(schema.all_ddl())
        self._version = self._last_version()

    def _configure(self, synchronous: str) -> None:
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            f"cache_size = -{_CACHE_KIB}",
            "temp_store = MEMORY",
            f"mmap_size = {_MMAP}",
            "wal_autocheckpoint = 4000",
            "recursive_triggers = OFF",
        ):
            self._connection.execute(f"PRAGMA {pragma}")

    def _register(self) -> None:
        define = self._connection.create_function
        define("fold", 1, fold, deterministic=True)
        define("instant", 0, self.clock.now)
        define("actor", 0, lambda: self.actor.name)
        define("request_id", 0, lambda: self.actor.request_id)
        define("wrote_status", 0, lambda: int(self.wrote_status))
        define("loading", 0, lambda: int(self._loading))
        define("next_version", 0, self.next_version)

    def _last_version(self) -> int:
        newest = (self.value(f"SELECT max(versionnumber) FROM {table}") or 0 for table in (*TABLES, "tombstone"))
        return max(_FIRST_VERSION, *newest)

    def next_version(self) -> int:
        """The next value of the counter that every ETag comes from."""
        self._version += 1
        return self._version

    @property
    def version(self) -> int:
        """The newest value given out."""
        return self._version

    def reserve_versions(self, count: int) -> int:
        """Take `count` values at once; returns the first."""
        first = self._version + 1
        self._version += count
        return first

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        found: tuple[Any, ...] | None = self._connection.execute(sql, parameters).fetchone()
        return found

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.row(sql, parameters)
        return row[0] if row else None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; returns how many rows it changed."""
        return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of the rows."""
        self._connection.executemany(sql, rows)

    def script(self, sql: str) -> None:
        """Run several statements, outside any transaction."""
        self._connection.executescript(sql)

    @contextmanager
    def acting(self, actor: Actor) -> Iterator[None]:
        """Make the changes inside on somebody's behalf."""
        before = self.actor
        self.actor = actor
        try:
            yield
        finally:
            self.actor = before

    @contextmanager
    def roomy(self) -> Iterator[None]:
        """Sort on disk inside, for what is too much to be sorted in memory."""
        self._connection.execute("PRAGMA temp_store = FILE")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA temp_store = MEMORY")

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Rows put in inside are entered into the books by whoever puts them in, not one by one by the triggers."""
        self._loading = True
        try:
            yield
        finally:
            self._loading = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside, or none; inside another transaction, a part of it that can fail alone."""
        begin, commit, undo = self._commands()
        self._connection.execute(begin)
        self._depth += 1
        try:
            yield
        except BaseException:
            for command in undo:
                self._connection.execute(command)
            raise
        else:
            self._connection.execute(commit)
        finally:
            self._depth -= 1

    def _commands(self) -> tuple[str, str, tuple[str, ...]]:
        if self._depth == 0:
            return "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
        name = f"part{self._depth}"
        return f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}")

    def clear(self) -> None:
        """Remove every row but the users."""
        for trigger in schema.TRIGGER_NAMES:
            self._connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        with self.transaction():
            for table in (*TABLES, "audit", "tombstone", "expected", "arrival", "tally"):
                if table != "systemuser":
                    self._connection.execute(f"DELETE FROM {table}")
        self._connection.executescript(schema.TRIGGERS)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
