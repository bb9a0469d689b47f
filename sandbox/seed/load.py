"""Putting a scenario's rows into the database: portion by portion, and a faster way for hundreds of thousands."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox import schema
from sandbox.database import SEED, Database
from sandbox.seed.scenario import JOB_COLUMNS, PACKET_COLUMNS, Portion, Scenario, ScenarioWriter
from sandbox.tables import DETAIL, JOB

BULK_FROM = 20_000
"""From so many jobs on, into an empty database, indexes are built afterwards instead of kept up row by row."""

_STATUS = JOB_COLUMNS.index("msdyn_status")


@dataclass(slots=True)
class Loaded:
    """How much was loaded so far."""

    jobs: int = 0
    packets: int = 0


def load(database: Database, scenario: Scenario, user: int) -> Iterator[Loaded]:
    """Load a scenario; yields after each portion, so that a server can answer others in between."""
    bulk = scenario.jobs >= BULK_FROM and not database.value(f"SELECT 1 FROM {JOB} LIMIT 1")
    already = database.value("SELECT count(*) FROM expected")
    loaded = Loaded()
    if bulk:
        _drop_indexes(database)
    try:
        for portion in ScenarioWriter(scenario, database.clock.now(), user, already).portions():
            with database.transaction(), database.loading():
                _insert(database, portion)
            loaded.jobs += portion.job_count
            loaded.packets += portion.packet_count
            yield loaded
    finally:
        if bulk:
            _build_indexes(database)
    yield loaded


def load_at_once(database: Database, scenario: Scenario, user: int) -> Loaded:
    """Load a scenario and come back when it is there."""
    loaded = Loaded()
    for progress in load(database, scenario, user):
        loaded = progress
    return loaded


def _drop_indexes(database: Database) -> None:
    for name in schema.INDEXES:
        database.execute(f"DROP INDEX IF EXISTS {name}")


def _build_indexes(database: Database) -> None:
    with database.roomy():
        for name in schema.INDEXES:
            database.execute(schema.create_index(name))
    database.script(schema.statistics_ddl())


def _insert(database: Database, portion: Portion) -> None:
    first = _insert_versioned(database, JOB, JOB_COLUMNS, portion.jobs)
    _insert_versioned(database, DETAIL, PACKET_COLUMNS, portion.packets)
    database.execute_many("INSERT INTO expected VALUES (?, ?, ?, ?)", portion.expected)
    database.execute_many("INSERT INTO arrival VALUES (?, ?, ?, ?)", portion.arrivals)
    _enter_into_books(database, portion, first)


def _insert_versioned(database: Database, table: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> int:
    """Insert rows with versions in a row; returns the first."""
    first = database.reserve_versions(len(rows))
    marks = ", ".join("?" * (len(columns) + 1))
    sql = f"INSERT INTO {table} ({', '.join(columns)}, versionnumber) VALUES ({marks})"
    database.execute_many(sql, [(*row, version) for version, row in enumerate(rows, first)])
    return first


def _enter_into_books(database: Database, portion: Portion, first: int) -> None:
    """What the triggers write for rows that come one by one."""
    now = database.clock.now()
    database.execute_many(
        "INSERT INTO audit (at, caller, job_id, kind, wrote_status, new_status, new_version) "
        "VALUES (?, ?, ?, 'create', 1, ?, ?)",
        [(now, SEED.name, job[0], job[_STATUS], version) for version, job in enumerate(portion.jobs, first)],
    )
    counts = Counter(f"job:{job[_STATUS]}" for job in portion.jobs)
    counts["detail"] = len(portion.packets)
    database.execute_many(
        "INSERT INTO tally VALUES (?, ?) ON CONFLICT (what) DO UPDATE SET n = n + excluded.n", list(counts.items())
    )
