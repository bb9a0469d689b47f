"""Putting a scenario's rows into the database: portion by portion, and a faster way for hundreds of thousands."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox import schema
from sandbox.database import SEED, Database
from sandbox.seed.scenario import JOB_COLUMNS, PACKET_COLUMNS, Portion, Scenario, ScenarioWriter
from sandbox.tables import DETAIL, JOB

BULK_FROM = 20_000
"""From so many jobs on, into an empty database, indexes and triggers are put back afterwards instead of kept up."""


@dataclass(slots=True)
class Loaded:
    """How much was loaded so far."""

    jobs: int = 0
    packets: int = 0


def load(database: Database, scenario: Scenario, user: int) -> Iterator[Loaded]:
    """Load a scenario; yields after each portion, so that a server can answer others in between."""
    bulk = scenario.jobs >= BULK_FROM and not database.value(f"SELECT 1 FROM {JOB} LIMIT 1")
    loaded = Loaded()
    if bulk:
        _put_away(database)
    try:
        already = database.value("SELECT count(*) FROM expected")
        for portion in ScenarioWriter(scenario, database.clock.now(), user, already).portions():
            with database.acting(SEED), database.transaction():
                _insert(database, portion)
            loaded.jobs += portion.job_count
            loaded.packets += portion.packet_count
            yield loaded
    finally:
        if bulk:
            yield from _put_back(database, loaded)


def load_at_once(database: Database, scenario: Scenario, user: int) -> Loaded:
    """Load a scenario and come back when it is there."""
    loaded = Loaded()
    for progress in load(database, scenario, user):
        loaded = progress
    return loaded


def _insert(database: Database, portion: Portion) -> None:
    _insert_versioned(database, JOB, JOB_COLUMNS, portion.jobs)
    _insert_versioned(database, DETAIL, PACKET_COLUMNS, portion.packets)
    database.execute_many("INSERT INTO expected VALUES (?, ?, ?, ?)", portion.expected)
    database.execute_many("INSERT INTO arrival VALUES (?, ?, ?, ?)", portion.arrivals)


def _insert_versioned(database: Database, table: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    first = database.reserve_versions(len(rows))
    marks = ", ".join("?" * (len(columns) + 1))
    sql = f"INSERT INTO {table} ({', '.join(columns)}, versionnumber) VALUES ({marks})"
    database.execute_many(sql, [(*row, version) for version, row in enumerate(rows, first)])


def _put_away(database: Database) -> None:
    for name in schema.INDEXES:
        database.execute(f"DROP INDEX IF EXISTS {name}")
    for name in schema.TRIGGER_NAMES:
        database.execute(f"DROP TRIGGER IF EXISTS {name}")


def _put_back(database: Database, loaded: Loaded) -> Iterator[Loaded]:
    """What was put away, and what the triggers would have written."""
    for name in schema.INDEXES:
        database.execute(schema.create_index(name))
        yield loaded
    with database.acting(SEED), database.transaction():
        database.execute(
            "INSERT INTO audit (at, caller, job_id, kind, wrote_status, new_status, new_version) "
            f"SELECT instant(), actor(), msdyn_integrationjobid, 'create', 1, msdyn_status, versionnumber FROM {JOB}"
        )
    database.script(schema.RECOUNT + schema.TRIGGERS + schema.statistics_ddl())
    yield loaded
