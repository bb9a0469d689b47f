"""Scenarios: every kind ends as the domain's table says, repeatably, at once or arriving."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sandbox.seed.kinds import KINDS, Blueprint, JobKind
from sandbox.seed.load import BULK_FROM, load_at_once
from sandbox.seed.scenario import Scenario
from tests.unit.sandbox.inprocess import FAILED, PROCESSING, READY, SKIPPED, SUCCEEDED, WAITING, Driver, start

JOBS = "msdyn_integrationjobs"
DETAILS = "msdyn_integrationjobdetails"


def ends(plan: Blueprint) -> tuple[int, str]:
    """The decision table, line by line, for a job whose time-outs are over."""
    packets = [packet for packet in plan.packets if packet.active]
    numbers = {packet.sequence for packet in packets if packet.sequence is not None}
    expected, ready = plan.expected, plan.status == READY or plan.later is not None
    contiguous = bool(numbers) and min(numbers) in {0, 1} and max(numbers) - min(numbers) + 1 == len(numbers)
    if not plan.active:
        return SKIPPED, "deactivated"
    if plan.type != 192350000:
        return SKIPPED, "unsupported_type"
    if expected == 0 and not packets:
        return SKIPPED, "no_packets_expected"
    if ready and expected is None:
        return FAILED, "expected_count_missing"
    if expected is not None and len(numbers) > expected:
        return FAILED, "too_many_packets"
    if len(numbers) != len({packet.sequence for packet in packets}) or (len(numbers) == expected and not contiguous):
        return FAILED, "sequence_invalid"
    if len(numbers) == expected:
        payloads = {(packet.sequence, packet.changes, packet.full) for packet in packets}
        return (SUCCEEDED, "complete") if len(payloads) == len(numbers) else (FAILED, "duplicate_conflict")
    return FAILED, "packets_missing"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_ends_as_the_table_says(kind: JobKind) -> None:
    for seed in range(100):
        assert ends(kind.build(random.Random(seed))) == (kind.status, kind.reason)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.arrives], ids=lambda kind: kind.name)
def test_a_kind_that_arrives_is_not_decided_on_the_way(kind: JobKind) -> None:
    for seed in range(30):
        plan = kind.build(random.Random(seed))
        expected = None if plan.later == "count and ready" else plan.expected
        packets = list(plan.packets)
        random.Random(seed).shuffle(packets)
        for count in range(len(packets)):
            sofar = Blueprint(tuple(packets[:count]), expected)
            assert ends(sofar) == (FAILED, "packets_missing"), "only waiting may follow"


def test_the_reasons_of_the_table_all_occur() -> None:
    assert {kind.reason for kind in KINDS.values()} == {
        "deactivated", "unsupported_type", "no_packets_expected", "expected_count_missing", "too_many_packets",
        "sequence_invalid", "duplicate_conflict", "complete", "packets_missing",
    }  # fmt: skip


def stored(driver: Driver) -> list[Any]:
    jobs = driver.get(JOBS, _orderby="msdyn_integrationjobid").rows
    packets = driver.get(DETAILS, _orderby="msdyn_integrationjobdetailid").rows
    return [{key: value for key, value in row.items() if "etag" not in key} for row in (*jobs, *packets)]


def test_a_scenario_is_repeatable(tmp_path: Path) -> None:
    kept = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        driver = start(tmp_path / name)
        made = driver.control("seed", {"jobs": 40, "random_seed": 5})
        assert made["jobs"] == 40
        kept.append(stored(driver))
        driver.sandbox.close()
    assert kept[0] == kept[1]


def test_a_small_scenario_has_one_of_each_kind(driver: Driver) -> None:
    driver.control("seed", {"jobs": len(KINDS)})
    kinds = Counter(job["kind"] for job in driver.control("expected")["jobs"])
    assert kinds == dict.fromkeys(KINDS, 1)


def test_only_the_kinds_asked_for(driver: Driver) -> None:
    driver.control("seed", {"jobs": 30, "kinds": {"gap": 1, "ready_complete": 3, "null_type": 0}})
    assert {job["kind"] for job in driver.control("expected")["jobs"]} == {"gap", "ready_complete"}


def test_rows_may_lie_back(driver: Driver) -> None:
    driver.control("seed", {"jobs": 50, "age": 1000, "kinds": {"complete_from_zero": 1}})
    created = {row["createdon"] for row in driver.get(JOBS).rows}
    assert len(created) > 20
    assert min(created) >= "2026-09-21T13:56:40Z"
    assert max(created) <= "2026-09-21T14:13:20Z"


def test_arrivals_come_when_their_time_has_come(driver: Driver) -> None:
    made = driver.control("seed", {"jobs": 60, "arrive_over": 100, "kinds": {"complete_from_zero": 1}})
    overview = driver.control("overview")
    assert (overview["packets"], overview["packets_due"]) == (0, made["packets"])
    assert overview["jobs_by_status"] == {}
    driver.sleep(50)
    while driver.sandbox.arrivals.deliver():
        pass
    overview = driver.control("overview")
    assert 0 < overview["packets_due"] < made["packets"]
    assert overview["packets"] + overview["packets_due"] == made["packets"]
    driver.sleep(51)
    while driver.sandbox.arrivals.deliver():
        pass
    overview = driver.control("overview")
    assert (overview["packets"], overview["packets_due"]) == (made["packets"], 0)
    assert overview["jobs_by_status"] == {"Waiting": 60}
    for row in driver.get(JOBS, _expand="msdyn_msdyn_integrationjob_msdyn_integrationjob").rows:
        packets = row["msdyn_msdyn_integrationjob_msdyn_integrationjob"]
        assert len(packets) == row["msdyn_numberofpackets"]
        assert all(packet["createdon"] >= row["createdon"] for packet in packets)


@pytest.mark.parametrize("kind", ["made_ready", "counted_at_the_end"])
def test_a_job_is_made_ready_once_its_packets_are_there(driver: Driver, kind: str) -> None:
    driver.control("seed", {"jobs": 10, "arrive_over": 10, "kinds": {kind: 1}})
    driver.sleep(11)
    while driver.sandbox.arrivals.deliver():
        pass
    rows = driver.get(JOBS).rows
    assert {row["msdyn_status"] for row in rows} == {READY}
    assert all(row["msdyn_numberofpackets"] for row in rows)
    changes = [change for change in driver.control("audit")["changes"] if change["kind"] == "update"]
    assert {(change["caller"], change["new_status"]) for change in changes} == {("seed", "Ready")}


def test_a_job_that_somebody_took_is_not_made_ready(driver: Driver) -> None:
    driver.control("seed", {"jobs": 1, "arrive_over": 10, "kinds": {"made_ready": 1}})
    driver.sleep(9.9)
    while not driver.get(JOBS).rows:
        driver.sandbox.arrivals.deliver()
    (row,) = driver.get(JOBS).rows
    driver.api("PATCH", f"{JOBS}({row['msdyn_integrationjobid']})", {"msdyn_status": PROCESSING})
    driver.sleep(5)
    while driver.sandbox.arrivals.deliver():
        pass
    assert driver.get(JOBS).rows[0]["msdyn_status"] == PROCESSING


def test_names_and_ids_are_awkward(driver: Driver) -> None:
    driver.control("seed", {"jobs": 200})
    rows = driver.get(JOBS).rows
    names = "".join(row["msdyn_name"] for row in rows)
    assert all(character in names for character in "'\"&<>%+#?\\ö計П🚀")
    assert any("ünïcode" in row["msdyn_regardingentityid"] for row in rows)
    for row in rows:
        found = driver.get(JOBS, _filter="msdyn_name eq '{}'".format(row["msdyn_name"].replace("'", "''"))).rows
        assert row["msdyn_integrationjobid"] in {each["msdyn_integrationjobid"] for each in found}


def test_the_fast_way_leaves_the_same_books(tmp_path: Path) -> None:
    driver = start(tmp_path)
    scenario = Scenario(BULK_FROM, weights={"ready_nothing_expected": 9, "complete_single": 1})
    loaded = load_at_once(driver.sandbox.database, scenario, driver.sandbox.seeder.user_row)
    overview = driver.control("overview")
    assert sum(overview["jobs_by_status"].values()) == loaded.jobs == BULK_FROM
    assert overview["packets"] == loaded.packets
    assert len(driver.control(f"audit?limit=1&after={BULK_FROM - 1}")["changes"]) == 1
    assert driver.control(f"audit?limit=1&after={BULK_FROM}")["changes"] == []
    (row,) = driver.get(JOBS, _filter="msdyn_status eq 192350001", _top="1").rows
    driver.api("PATCH", f"{JOBS}({row['msdyn_integrationjobid']})", {"msdyn_status": WAITING})
    (change,) = driver.control(f"audit?after={BULK_FROM}")["changes"]
    assert (change["old_status"], change["new_status"]) == ("Ready", "Waiting")
    driver.sandbox.close()


@pytest.mark.parametrize(
    "scenario",
    [{"jobs": -1}, {"jobs": 1, "arrive_over": -1}, {"jobs": 1, "kinds": {"x": 1}}, {"jobs": 1, "kinds": {"gap": 0}},
     {"jobs": 1, "kinds": {"gap": -1}}, {}, {"jobs": "many"}, {"jobs": 1, "colour": "red"}],
)  # fmt: skip
def test_scenarios_that_make_no_sense_are_refused(driver: Driver, scenario: dict[str, Any]) -> None:
    assert driver.send("POST", "/sandbox/seed", json.dumps(scenario).encode()).status == 400
