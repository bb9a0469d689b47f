"""The judgement that tests rest on: whether every seeded job ended as it must, and exactly once."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from collections import Counter
from typing import Any

from sandbox.audit import label_of
from sandbox.database import Snapshot
from sandbox.tables import FINAL_STATUSES, JOB, PROCESSING

_LISTED = 100
_FINAL = ", ".join(str(status) for status in sorted(FINAL_STATUSES))

# A change into Processing: from another status, or for another attempt; renewing a lease is neither.
_TWICE_CLAIMED = f"""
    SELECT job_id FROM (
        SELECT job_id, attempt, old_status, new_status,
            lag(attempt) OVER (PARTITION BY job_id ORDER BY seq) AS before
        FROM audit WHERE kind <> 'create'
    ) WHERE new_status = {PROCESSING} AND (old_status IS NOT {PROCESSING} OR before IS NOT attempt)
    GROUP BY job_id, attempt HAVING count(*) > 1
"""
_TWICE_SETTLED = f"""
    SELECT job_id FROM audit WHERE kind = 'update' AND wrote_status AND new_status IN ({_FINAL})
    GROUP BY job_id HAVING count(*) > 1
"""
_REOPENED = f"""
    SELECT job_id FROM audit WHERE kind = 'update' AND old_status IN ({_FINAL}) AND new_status IS NOT old_status
"""
_DOUBLED = f"{_TWICE_CLAIMED} UNION {_TWICE_SETTLED} UNION {_REOPENED}"

# Each seeded job as it must end and as it is; the reason is read out of jobs that have ended only.
_ENDS = f"""
    SELECT e.job_id, e.kind, e.status, e.reason, j.msdyn_status AS actual,
        CASE WHEN j.msdyn_status IN ({_FINAL}) AND json_valid(j.msdyn_responsejson)
            THEN json_extract(j.msdyn_responsejson, '$.reason') END AS actual_reason
    FROM expected e LEFT JOIN {JOB} j ON j.msdyn_integrationjobid = e.job_id
"""
_ALL = f"SELECT status, reason, actual, actual_reason, count(*) FROM ({_ENDS}) GROUP BY 1, 2, 3, 4"
_STUCK = f"SELECT job_id FROM ({_ENDS}) WHERE actual IS NULL OR actual NOT IN ({_FINAL}) LIMIT {_LISTED}"
_MISMATCHED = f"""
    SELECT * FROM ({_ENDS}) WHERE actual IN ({_FINAL}) AND (actual IS NOT status OR actual_reason IS NOT reason)
    LIMIT {_LISTED}
"""


def judge(snapshot: Snapshot) -> dict[str, Any]:
    """Whether every seeded job ended as it must, exactly once; of what is wrong, the first hundred are named."""
    by_status: Counter[str] = Counter()
    by_reason: Counter[str] = Counter()
    stuck = mismatched = 0
    for status, reason, actual, actual_reason, count in snapshot.rows(_ALL):
        if actual not in FINAL_STATUSES:
            stuck += count
            continue
        by_status[str(label_of(actual))] += count
        by_reason[str(actual_reason)] += count
        mismatched += 0 if (status, reason) == (actual, actual_reason) else count
    doubled = [row[0] for row in snapshot.rows(_DOUBLED)]
    return {
        "jobs": by_status.total() + stuck,
        "ended": by_status.total(),
        "by_status": dict(sorted(by_status.items())),
        "by_reason": dict(sorted(by_reason.items())),
        "mismatched": [_mismatch(*row) for row in snapshot.rows(_MISMATCHED)] if mismatched else [],
        "mismatched_count": mismatched,
        "doubled": doubled[:_LISTED],
        "doubled_count": len(doubled),
        "stuck": [row[0] for row in snapshot.rows(_STUCK)] if stuck else [],
        "stuck_count": stuck,
    }


def _mismatch(key: str, kind: str, status: int, reason: str, actual: int, actual_reason: str | None) -> dict[str, Any]:
    return {
        "id": key,
        "kind": kind,
        "expected": {"status": label_of(status), "reason": reason},
        "actual": {"status": label_of(actual), "reason": actual_reason},
    }
