"""Reading the audit: every change of a job row, in order, and how every seeded job must end."""

from __future__ import annotations

from typing import Any

from sandbox.clock import iso_instant
from sandbox.conditions import etag
from sandbox.database import Database
from sandbox.tables import STATUS_LABELS


def label_of(status: int | None) -> str | None:
    """A status as people read it."""
    return None if status is None else STATUS_LABELS.get(status, str(status))


class Audit:
    """Reads the audit.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Changes behind a sequence number."""
        rows = self._database.rows(
            "SELECT seq, at, caller, request_id, job_id, kind, old_status, new_status, old_version, new_version, "
            "worker, attempt, reason FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [_change(row) for row in rows]

    def expected(self) -> list[dict[str, Any]]:
        """How each seeded job must end."""
        rows = self._database.rows("SELECT job_id, kind, status, reason FROM expected")
        return [
            {"id": key, "kind": kind, "status": label_of(status), "reason": reason}
            for key, kind, status, reason in rows
        ]


def _change(row: tuple[Any, ...]) -> dict[str, Any]:
    seq, at, caller, request_id, job_id, kind, old, new, old_version, new_version, worker, attempt, reason = row
    return {
        "seq": seq,
        "at": iso_instant(at),
        "caller": caller,
        "request_id": request_id,
        "job_id": job_id,
        "kind": kind,
        "old_status": label_of(old),
        "new_status": label_of(new),
        "old_etag": None if old_version is None else etag(old_version),
        "new_etag": None if new_version is None else etag(new_version),
        "worker": worker,
        "attempt": attempt,
        "reason": reason,
    }
