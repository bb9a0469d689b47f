"""The database behind the sandbox, as DDL.

The tables, the indexes that a Dataverse environment would have as well, and the triggers that keep the books: audit,
tombstones, running counts. No queries in here.
"""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from sandbox.columns import Column, Kind
from sandbox.tables import DETAIL, JOB, TABLES, USER, Table

_COLUMN_TYPES = {
    Kind.UNIQUEIDENTIFIER: "TEXT",
    Kind.STRING: "TEXT",
    Kind.MEMO: "TEXT",
    Kind.LOOKUP: "",  # an id or, for users, a row number
    Kind.OWNER: "",
}

INDEXES = {
    "job_by_id": f"{JOB}(msdyn_integrationjobid)",
    "job_by_status": f"{JOB}(msdyn_status, msdyn_integrationjobid)",
    "job_by_status_created": f"{JOB}(msdyn_status, createdon, msdyn_integrationjobid)",
    "job_by_status_modified": f"{JOB}(msdyn_status, modifiedon, msdyn_integrationjobid)",
    "job_by_created": f"{JOB}(createdon, msdyn_integrationjobid, msdyn_status)",
    "job_by_modified": f"{JOB}(modifiedon, msdyn_integrationjobid, msdyn_status)",
    "job_by_version": f"{JOB}(versionnumber)",
    "job_by_name": f"{JOB}(fold(msdyn_name), msdyn_integrationjobid)",
    "detail_by_id": f"{DETAIL}(msdyn_integrationjobdetailid)",
    "detail_by_header": (
        f"{DETAIL}(msdyn_integrationjobheader, msdyn_sequencenumber, msdyn_integrationjobdetailid, "
        "createdon, statecode)"
    ),
    "detail_by_created": f"{DETAIL}(createdon, msdyn_integrationjobdetailid)",
    "detail_by_version": f"{DETAIL}(versionnumber)",
    "user_by_id": f"{USER}(systemuserid)",
}
"""Each ends in the id where rows are paged through in its order: a page then begins with one look-up in the index."""

# Without statistics SQLite takes an equality on the status for selective and drives a join from a million waiting jobs.
_STATISTICS = (
    (JOB, "job_by_id", "1000000 1"),
    (JOB, "job_by_status", "1000000 250000 1"),
    (JOB, "job_by_status_created", "1000000 250000 20 1"),
    (JOB, "job_by_status_modified", "1000000 250000 20 1"),
    (JOB, "job_by_created", "1000000 100 1 1"),
    (JOB, "job_by_modified", "1000000 100 1 1"),
    (JOB, "job_by_version", "1000000 1"),
    (JOB, "job_by_name", "1000000 1 1"),
    (DETAIL, "detail_by_id", "4000000 1"),
    (DETAIL, "detail_by_header", "4000000 4 1 1 1 1"),
    (DETAIL, "detail_by_created", "4000000 100 1"),
    (DETAIL, "detail_by_version", "4000000 1"),
)

_BOOKS = """
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, caller TEXT NOT NULL, request_id TEXT, job_id TEXT NOT NULL,
    kind TEXT NOT NULL, wrote_status INTEGER NOT NULL, old_status INTEGER, new_status INTEGER,
    old_version INTEGER, new_version INTEGER, worker TEXT, attempt INTEGER, reason TEXT
);
CREATE TABLE IF NOT EXISTS tombstone (
    table_name TEXT NOT NULL, id TEXT NOT NULL, versionnumber INTEGER NOT NULL, PRIMARY KEY (versionnumber)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expected (
    job_id TEXT NOT NULL, kind TEXT NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS arrival (
    due REAL NOT NULL, what TEXT NOT NULL, job_id TEXT NOT NULL, values_json TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS arrival_by_due ON arrival(due);
CREATE TABLE IF NOT EXISTS tally (what TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
"""

_DOCUMENT = "CASE WHEN json_valid(NEW.msdyn_responsejson) THEN json_extract(NEW.msdyn_responsejson, '$.{key}') END"

_AUDIT_ROW = (
    "INSERT INTO audit (at, caller, request_id, job_id, kind, wrote_status, old_status, new_status, old_version, "
    "new_version, worker, attempt, reason) VALUES (instant(), actor(), request_id(), "
)

TRIGGERS = f"""
CREATE TRIGGER IF NOT EXISTS job_created AFTER INSERT ON {JOB} WHEN NOT loading() BEGIN
    {_AUDIT_ROW} NEW.msdyn_integrationjobid, 'create', 1, NULL, NEW.msdyn_status, NULL, NEW.versionnumber,
        {_DOCUMENT.format(key="worker")}, {_DOCUMENT.format(key="attempt")}, {_DOCUMENT.format(key="reason")});
    INSERT INTO tally VALUES ('job:' || ifnull(NEW.msdyn_status, ''), 1) ON CONFLICT (what) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS job_changed AFTER UPDATE ON {JOB} BEGIN
    {_AUDIT_ROW} NEW.msdyn_integrationjobid, 'update', wrote_status(), OLD.msdyn_status, NEW.msdyn_status,
        OLD.versionnumber, NEW.versionnumber,
        {_DOCUMENT.format(key="worker")}, {_DOCUMENT.format(key="attempt")}, {_DOCUMENT.format(key="reason")});
END;
CREATE TRIGGER IF NOT EXISTS job_moved AFTER UPDATE ON {JOB} WHEN OLD.msdyn_status IS NOT NEW.msdyn_status BEGIN
    UPDATE tally SET n = n - 1 WHERE what = 'job:' || ifnull(OLD.msdyn_status, '');
    INSERT INTO tally VALUES ('job:' || ifnull(NEW.msdyn_status, ''), 1) ON CONFLICT (what) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS job_deleted AFTER DELETE ON {JOB} BEGIN
    {_AUDIT_ROW} OLD.msdyn_integrationjobid, 'delete', 0, OLD.msdyn_status, NULL, OLD.versionnumber, NULL,
        NULL, NULL, NULL);
    UPDATE tally SET n = n - 1 WHERE what = 'job:' || ifnull(OLD.msdyn_status, '');
    INSERT INTO tombstone VALUES ('{JOB}', OLD.msdyn_integrationjobid, next_version());
    DELETE FROM {DETAIL} WHERE msdyn_integrationjobheader = OLD.msdyn_integrationjobid;
    DELETE FROM arrival WHERE job_id = OLD.msdyn_integrationjobid;
END;
CREATE TRIGGER IF NOT EXISTS detail_created AFTER INSERT ON {DETAIL} WHEN NOT loading() BEGIN
    INSERT INTO tally VALUES ('detail', 1) ON CONFLICT (what) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS detail_deleted AFTER DELETE ON {DETAIL} BEGIN
    UPDATE tally SET n = n - 1 WHERE what = 'detail';
    INSERT INTO tombstone VALUES ('{DETAIL}', OLD.msdyn_integrationjobdetailid, next_version());
END;
"""

TRIGGER_NAMES = ("job_created", "job_changed", "job_moved", "job_deleted", "detail_created", "detail_deleted")


def stored_columns(table: Table) -> tuple[Column, ...]:
    """The columns that exist in the database: all but those that are the same in every row."""
    return tuple(column for column in table.columns if column.expression is None or "{row}" in column.expression)


def _column_ddl(column: Column, *, primary: bool) -> str:
    declared = _COLUMN_TYPES.get(column.kind, "INTEGER")
    key = " NOT NULL" if primary else ""
    return f"{column.name} {declared}{key}".strip()


def table_ddl(table: Table) -> str:
    """The CREATE TABLE of one table."""
    columns = ", ".join(
        _column_ddl(column, primary=column.name == table.primary_id) for column in stored_columns(table)
    )
    return f"CREATE TABLE IF NOT EXISTS {table.name} ({columns});"


def index_ddl() -> str:
    """The CREATE INDEX of every index."""
    return "".join(f"{create_index(name)};" for name in INDEXES)


def create_index(name: str) -> str:
    """The CREATE INDEX of one index."""
    unique = "UNIQUE " if name.endswith("_by_id") else ""
    return f"CREATE {unique}INDEX IF NOT EXISTS {name} ON {INDEXES[name]}"


def statistics_ddl() -> str:
    """What the query planner is told about a full database before there is one."""
    rows = ", ".join(f"('{table}', '{index}', '{stat}')" for table, index, stat in _STATISTICS)
    return (
        "ANALYZE sqlite_schema; DELETE FROM sqlite_stat1; "
        f"INSERT INTO sqlite_stat1 VALUES {rows}; ANALYZE sqlite_schema;"
    )


def all_ddl() -> str:
    """Everything a new database needs."""
    tables = "".join(table_ddl(table) for table in TABLES.values())
    return tables + index_ddl() + _BOOKS + TRIGGERS + statistics_ddl()
