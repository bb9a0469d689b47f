"""Reading the audit: every change of a job row in order, and the judgement that tests rest on."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from collections import Counter
from typing import Any

from sandbox.clock import iso_instant
from sandbox.conditions import etag
from sandbox.database import Database
from sandbox.tables import FINAL_STATUSES, JOB, PROCESSING, STATUS_LABELS

_LISTED = 100
_FINAL = ", ".join(str(status) for status in sorted(FINAL_STATUSES))

# A change into Processing: from another status, or for another attempt; renewing a lease is neither.
_TWICE_CLAIMED = f"""
    SELECT job_id FROM (
        SELECT job_id, attempt, worker, old_status, new_status,
            lag(attempt) OVER (PARTITION BY job_id ORDER BY seq) AS before
        FROM audit WHERE kind <> 'create'
    ) WHERE new_status = {PROCESSING} AND (old_status <> {PROCESSING} OR before IS NOT attempt)
    GROUP BY job_id, attempt HAVING count(*) > 1
"""
_TWICE_SETTLED = f"""
    SELECT job_id FROM audit WHERE kind = 'update' AND wrote_status AND new_status IN ({_FINAL})
    GROUP BY job_id HAVING count(*) > 1
"""
_REOPENED = f"SELECT job_id FROM audit WHERE kind = 'update' AND old_status IN ({_FINAL}) AND new_status <> old_status"
_DOUBLED = f"{_TWICE_CLAIMED} UNION {_TWICE_SETTLED} UNION {_REOPENED}"

_ACTUAL = f"""
    SELECT e.job_id, e.kind, e.status, e.reason, j.msdyn_status,
        CASE WHEN json_valid(j.msdyn_responsejson) THEN json_extract(j.msdyn_responsejson, '$.reason') END
    FROM expected e LEFT JOIN {JOB} j ON j.msdyn_integrationjobid = e.job_id
"""


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

    def judgement(self) -> dict[str, Any]:
        """Whether every seeded job ended as it must, exactly once."""
        tally = _Tally()
        for row in self._database.rows(_ACTUAL):
            tally.add(*row)
        doubled = [row[0] for row in self._database.rows(_DOUBLED)]
        return {**tally.report(), "doubled": doubled[:_LISTED], "doubled_count": len(doubled)}


class _Tally:
    """Counts the ends of jobs."""

    def __init__(self) -> None:
        self._jobs = 0
        self._by_status: Counter[str] = Counter()
        self._by_reason: Counter[str] = Counter()
        self._mismatched: list[dict[str, Any]] = []
        self._mismatched_count = 0
        self._stuck: list[str] = []
        self._stuck_count = 0

    def add(self, key: str, kind: str, status: int, reason: str, actual: int | None, actual_reason: str | None) -> None:
        """One seeded job, as it must end and as it is."""
        self._jobs += 1
        if actual not in FINAL_STATUSES:
            self._stuck_count += 1
            if len(self._stuck) < _LISTED:
                self._stuck.append(key)
            return
        self._by_status[str(label_of(actual))] += 1
        self._by_reason[str(actual_reason)] += 1
        if (status, reason) != (actual, actual_reason):
            self._mismatched_count += 1
            if len(self._mismatched) < _LISTED:
                wanted = {"status": label_of(status), "reason": reason}
                got = {"status": label_of(actual), "reason": actual_reason}
                self._mismatched.append({"id": key, "kind": kind, "expected": wanted, "actual": got})

    def report(self) -> dict[str, Any]:
        """The counts, with the first few ids of what is wrong."""
        return {
            "jobs": self._jobs,
            "ended": self._jobs - self._stuck_count,
            "by_status": dict(sorted(self._by_status.items())),
            "by_reason": dict(sorted(self._by_reason.items())),
            "mismatched": self._mismatched,
            "mismatched_count": self._mismatched_count,
            "stuck": self._stuck,
            "stuck_count": self._stuck_count,
        }


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
