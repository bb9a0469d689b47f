"""Fault rules: which requests they strike. What breaks connections is tested over real ones, in conformance/."""

import json
from typing import Any

import pytest

from tests.unit.sandbox.inprocess import Driver

JOBS = "msdyn_integrationjobs"


def put(driver: Driver, *rules: dict[str, Any]) -> None:
    driver.control("faults", {"rules": list(rules)})


def fired(driver: Driver) -> list[int]:
    return [rule["fired"] for rule in driver.control("faults")["rules"]]


def test_the_next_requests_are_struck_and_no_more(driver: Driver) -> None:
    put(driver, {"kind": "server_error", "next": 2, "status": 500})
    assert [driver.get("WhoAmI").status for _ in range(3)] == [500, 500, 200]
    assert fired(driver) == [2]


def test_a_share_is_struck(driver: Driver) -> None:
    put(driver, {"kind": "server_error", "share": 0.25})
    struck = sum(driver.get("WhoAmI").status == 503 for _ in range(200))
    assert 30 < struck < 70
    assert fired(driver) == [struck]


def test_without_share_and_next_all_are_struck(driver: Driver) -> None:
    put(driver, {"kind": "server_error"})
    assert [driver.get("WhoAmI").status for _ in range(2)] == [503, 503]
    put(driver)
    assert driver.get("WhoAmI").status == 200


def test_a_throttle_names_a_wait(driver: Driver) -> None:
    put(driver, {"kind": "throttle", "next": 1, "seconds": 7})
    reply = driver.get("WhoAmI")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "0x80072322", "7")
    driver.sleep(1)
    driver.get("WhoAmI")
    stats = driver.control("stats")
    assert (stats["throttled"], stats["retry_after_disobeyed"]) == ({"0x80072322": 1}, 1)


def test_server_errors_look_like_the_services(driver: Driver) -> None:
    put(driver, {"kind": "server_error", "next": 1, "status": 500}, {"kind": "server_error", "next": 1, "seconds": 3})
    first, second = driver.get("WhoAmI"), driver.get("WhoAmI")
    assert (first.status, first.code) == (500, "0x80040216")
    assert (second.status, second.headers["retry-after"]) == (503, "3")
    assert second.headers["content-type"] == "text/html"


def test_a_token_expires_before_its_time(driver: Driver) -> None:
    put(driver, {"kind": "expired_token", "next": 1})
    assert driver.get("WhoAmI").status == 401
    assert driver.get("WhoAmI").status == 200


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_error_may_come_after_the_work_is_done(driver: Driver, moment: str) -> None:
    put(driver, {"kind": "server_error", "next": 1, "moment": moment})
    assert driver.api("POST", JOBS, {}).status == 503
    assert len(driver.get(JOBS).rows) == (1 if moment == "after" else 0)


@pytest.mark.parametrize(
    ("matcher", "struck"),
    [
        ({"operation": "query"}, {"query"}),
        ({"operation": "retrieve"}, {"retrieve"}),
        ({"operation": "write"}, {"create", "update"}),
        ({"operation": "read"}, {"query", "retrieve"}),
        ({"method": "patch"}, {"update"}),
        ({"path": "(11111111"}, {"retrieve", "update"}),
        ({"writes_only": True}, {"create", "update"}),
        ({"caller": "somebody"}, set()),
    ],
)
def test_rules_are_about_certain_requests(driver: Driver, matcher: dict[str, Any], struck: set[str]) -> None:
    key = "11111111-2222-3333-4444-555555555555"
    driver.api("PATCH", f"{JOBS}({key})", {})
    put(driver, {"kind": "server_error", **matcher})
    asked = {
        "query": driver.get(JOBS),
        "retrieve": driver.get(f"{JOBS}({key})"),
        "create": driver.api("POST", JOBS, {}),
        "update": driver.api("PATCH", f"{JOBS}({key})", {}),
    }
    assert {name for name, reply in asked.items() if reply.status == 503} == struck


def test_a_batch_is_struck_as_a_whole(driver: Driver) -> None:
    def batch(verb: str) -> int:
        body = (
            f"--b\r\nContent-Type: application/http\r\n\r\n{verb} /api/data/v9.2/{JOBS} HTTP/1.1\r\n\r\n{{}}\r\n--b--"
        )
        headers = {"Authorization": f"Bearer {driver.bearer}", "Content-Type": "multipart/mixed; boundary=b"}
        return driver.send("POST", "/api/data/v9.2/$batch", body.encode(), headers).status

    put(driver, {"kind": "server_error", "operation": "batch", "writes_only": True})
    assert batch("GET") == 200
    assert batch("POST") == 503
    assert driver.get(JOBS).rows == []


def test_latencies_add_up_and_of_the_others_the_first_strikes(driver: Driver) -> None:
    put(
        driver,
        {"kind": "latency", "seconds": 0.001},
        {"kind": "latency", "seconds": 0.001, "moment": "after"},
        {"kind": "throttle", "operation": "create"},
        {"kind": "server_error", "status": 500},
    )
    assert driver.get("WhoAmI").status == 500
    assert driver.api("POST", JOBS, {}).status == 429
    assert fired(driver) == [2, 2, 1, 1]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "flood"},
        {"kind": "latency", "share": 2},
        {"kind": "latency", "moment": "never"},
        {"kind": "server_error", "status": 200},
        {"kind": "latency", "colour": "red"},
        {},
    ],
)
def test_rules_that_make_no_sense_are_refused(driver: Driver, rule: dict[str, Any]) -> None:
    reply = driver.send("POST", "/sandbox/faults", json.dumps({"rules": [rule]}).encode())
    assert reply.status == 400
    assert reply.document["error"]
