"""The control surface: audit, judgement, clock, reset, and who may use it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox.inprocess import FAILED, PROCESSING, READY, SKIPPED, SUCCEEDED, WAITING, Driver, start

JOBS = "msdyn_integrationjobs"


def document(attempt: int = 1, reason: str | None = None, worker: str = "w1") -> str:
    return json.dumps({"worker": worker, "attempt": attempt, "reason": reason})


def move(driver: Driver, job: str, status: int, response: str | None = None, **headers: str) -> None:
    columns: dict[str, Any] = {"msdyn_status": status}
    if response is not None:
        columns["msdyn_responsejson"] = response
    assert driver.api("PATCH", f"{JOBS}({job})", columns, {"If-Match": "*", **headers}).status == 204


def seeded(driver: Driver, kind: str = "ready_complete", jobs: int = 1) -> list[str]:
    driver.control("seed", {"jobs": jobs, "kinds": {kind: 1}})
    return [job["id"] for job in driver.control("expected")["jobs"]]


def test_every_change_of_a_job_is_in_the_audit(driver: Driver) -> None:
    job = driver.job(msdyn_status=WAITING)
    before = driver.row(job)["@odata.etag"]
    move(driver, job, PROCESSING, document(), **{"x-ms-client-request-id": "request-7"})
    after = driver.row(job)["@odata.etag"]
    driver.api("DELETE", f"{JOBS}({job})")
    created, claimed, deleted = driver.control("audit")["changes"]
    worker = driver.sandbox.worker.client_id
    assert claimed == {
        "seq": 2, "at": "2026-09-21T14:13:20.000Z", "caller": worker, "request_id": "request-7", "job_id": job,
        "kind": "update", "old_status": "Waiting", "new_status": "Processing", "old_etag": before, "new_etag": after,
        "worker": "w1", "attempt": 1, "reason": None,
    }  # fmt: skip
    assert (created["kind"], created["old_status"], created["old_etag"]) == ("create", None, None)
    assert (deleted["kind"], deleted["old_status"], deleted["new_etag"]) == ("delete", "Processing", None)
    assert driver.control("audit?after=2")["changes"] == [deleted]
    assert driver.control("audit?after=1&limit=1")["changes"] == [claimed]


def test_a_refused_change_is_not_in_the_audit(driver: Driver) -> None:
    job = driver.job()
    driver.api("PATCH", f"{JOBS}({job})", {"msdyn_name": "x"}, {"If-Match": 'W/"1"'})
    driver.api("PATCH", f"{JOBS}({job})", {"msdyn_name": "x" * 251})
    assert len(driver.control("audit")["changes"]) == 1


def test_a_response_that_is_no_json_is_no_trouble(driver: Driver) -> None:
    job = driver.job(msdyn_responsejson="not json")
    move(driver, job, FAILED, "{]")
    assert [change["worker"] for change in driver.control("audit")["changes"]] == [None, None]


def test_jobs_that_end_as_they_must_are_judged_good(driver: Driver) -> None:
    (job,) = seeded(driver)
    assert driver.control("judgement")["stuck"] == [job]
    move(driver, job, PROCESSING, document())
    assert driver.control("judgement")["stuck_count"] == 1
    move(driver, job, SUCCEEDED, document(reason="complete"))
    assert driver.control("judgement") == {
        "jobs": 1, "ended": 1, "by_status": {"Succeeded": 1}, "by_reason": {"complete": 1}, "mismatched": [],
        "mismatched_count": 0, "doubled": [], "doubled_count": 0, "stuck": [], "stuck_count": 0,
    }  # fmt: skip


def test_a_wrong_end_is_a_mismatch(driver: Driver) -> None:
    (job,) = seeded(driver)
    move(driver, job, FAILED, document(reason="packets_missing"))
    judgement = driver.control("judgement")
    assert judgement["mismatched"] == [
        {
            "id": job,
            "kind": "ready_complete",
            "expected": {"status": "Succeeded", "reason": "complete"},
            "actual": {"status": "Failed", "reason": "packets_missing"},
        }
    ]
    assert judgement["mismatched_count"] == 1


def test_a_deleted_job_is_stuck(driver: Driver) -> None:
    (job,) = seeded(driver)
    driver.api("DELETE", f"{JOBS}({job})")
    assert driver.control("judgement")["stuck"] == [job]


@pytest.mark.parametrize(
    ("moves", "doubled"),
    [
        ([(PROCESSING, 1), (SUCCEEDED, 1)], False),
        ([(PROCESSING, 1), (PROCESSING, 1), (SUCCEEDED, 1)], False),  # the lease was renewed
        ([(PROCESSING, 1), (PROCESSING, 2), (SUCCEEDED, 2)], False),  # rescued
        ([(PROCESSING, 1), (PROCESSING, 2), (PROCESSING, 1), (SUCCEEDED, 1)], True),
        ([(PROCESSING, 1), (READY, 1), (PROCESSING, 1), (SUCCEEDED, 1)], True),
        ([(PROCESSING, 1), (SUCCEEDED, 1), (SUCCEEDED, 1)], True),
        ([(PROCESSING, 1), (FAILED, 1), (SUCCEEDED, 1)], True),
        ([(PROCESSING, 1), (SKIPPED, 1), (WAITING, 1)], True),
    ],
)
def test_what_happens_twice_is_found(driver: Driver, moves: list[tuple[int, int]], doubled: bool) -> None:
    job, _ = seeded(driver, jobs=2)
    for status, attempt in moves:
        move(driver, job, status, document(attempt, "complete"))
    judgement = driver.control("judgement")
    assert judgement["doubled"] == ([job] if doubled else [])
    assert judgement["doubled_count"] == int(doubled)


def test_editing_another_column_of_an_ended_job_is_no_second_end(driver: Driver) -> None:
    (job,) = seeded(driver)
    move(driver, job, PROCESSING, document())
    move(driver, job, SUCCEEDED, document(reason="complete"))
    driver.api("PATCH", f"{JOBS}({job})", {"msdyn_name": "renamed"})
    assert driver.control("judgement")["doubled_count"] == 0


def test_the_overview_follows_every_change(driver: Driver) -> None:
    jobs = [driver.job(msdyn_status=WAITING) for _ in range(3)]
    driver.job()
    driver.packet(jobs[0], 0)
    driver.packet(jobs[1], 0)
    move(driver, jobs[0], PROCESSING)
    driver.api("DELETE", f"{JOBS}({jobs[1]})")
    assert driver.control("overview") == {
        "jobs_by_status": {"None": 1, "Processing": 1, "Waiting": 1},
        "packets": 1,
        "packets_due": 0,
        "now": "2026-09-21T14:13:20.000Z",
    }


def test_the_clock_moves_on_everywhere(driver: Driver) -> None:
    assert driver.get("WhoAmI").headers["date"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    assert driver.control("clock", {"advance": 60.5}) == {"now": "2026-09-21T14:14:20.500Z"}
    reply = driver.get("WhoAmI")
    assert reply.headers["date"] == "Mon, 21 Sep 2026 14:14:20 GMT"
    row = driver.row(driver.job())
    assert row["createdon"] == row["modifiedon"] == "2026-09-21T14:14:20Z"
    assert driver.send("POST", "/sandbox/clock", b'{"advance": -1}').status == 400


def test_a_reset_leaves_nothing_but_the_users(driver: Driver) -> None:
    driver.control("seed", {"jobs": 30, "arrive_over": 5})
    user = driver.get("WhoAmI").document["UserId"]
    driver.control("faults", {"rules": [{"kind": "server_error", "operation": "create"}]})
    driver.control("clock", {"advance": 1000})
    driver.control("privileges", {"client_id": driver.sandbox.worker.client_id, "denied": ["prvReadUser"]})
    driver.control("reset", {})
    assert driver.get(JOBS).rows == []
    assert driver.get("WhoAmI").document["UserId"] == user
    assert len(driver.get("systemusers").rows) == 2
    assert driver.control("expected") == {"jobs": []}
    assert driver.control("audit") == {"changes": []}
    assert driver.control("overview")["packets_due"] == 0
    assert driver.control("stats")["requests_by_kind"] == {"query": 2, "whoami": 1}
    driver.packet(driver.job(), 0)
    assert driver.control("overview")["packets"] == 1
    assert driver.control("overview")["now"] == "2026-09-21T14:13:20.000Z"


def test_etags_are_not_used_again_after_a_reset(driver: Driver) -> None:
    old = driver.row(driver.job())["versionnumber"]
    driver.control("reset", {})
    assert driver.row(driver.job())["versionnumber"] > old


def test_only_this_machine_may_use_it(driver: Driver) -> None:
    assert driver.send("GET", "/sandbox/overview", client=("10.0.0.7", 1)).status == 403
    assert driver.send("GET", "/sandbox/overview", client=("::1", 1)).status == 200
    assert driver.send("POST", "/sandbox/reset", b"{}", client=("10.0.0.7", 1)).status == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", b"nonsense"),
        ("clock", b"[]"),
        ("clock", b"{}"),
        ("clock", b'{"advance": "far"}'),
        ("limits", b'{"patience": 1}'),
        ("tables", b'{"table": "account"}'),
        ("privileges", b"{}"),
    ],
)
def test_what_is_sent_wrongly_is_said(driver: Driver, path: str, body: bytes) -> None:
    reply = driver.send("POST", f"/sandbox/{path}", body)
    assert reply.status == 400
    assert reply.document["error"]


def test_rows_survive_in_their_file(driver: Driver, tmp_path: Path) -> None:
    job = driver.job(msdyn_name="kept")
    version = driver.row(job)["versionnumber"]
    driver.sandbox.close()
    again = start(tmp_path)
    assert again.row(job)["msdyn_name"] == "kept"
    assert again.row(again.job())["versionnumber"] > version
    again.sandbox.close()
