"""Service protection limits, and the stats that judge a client's manners."""

import asyncio
from pathlib import Path

import pytest

from sandbox.limits import LimitSizes, Protection
from tests.unit.sandbox.inprocess import Driver, Reply, start


def test_the_documented_sizes_are_in_force_from_the_start(driver: Driver) -> None:
    reply = driver.get("WhoAmI")
    assert reply.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "5999"
    assert reply.headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "1,200.00"
    assert int(reply.headers["x-ms-dop-hint"]) > 0


def test_too_many_requests(driver: Driver) -> None:
    driver.control("limits", {"requests": 3, "window": 300})
    assert [driver.get("WhoAmI").status for _ in range(3)] == [200] * 3
    reply = driver.get("WhoAmI")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "0x80072322", "300")
    assert reply.document["error"]["message"] == (
        "Number of requests exceeded the limit of 3 over time window of 300 seconds."
    )
    assert driver.control("stats")["throttled"] == {"0x80072322": 1}


def test_a_client_that_waits_goes_on(driver: Driver) -> None:
    driver.control("limits", {"requests": 2, "window": 10})
    driver.get("WhoAmI")
    driver.sleep(4)
    driver.get("WhoAmI")
    wait = int(driver.get("WhoAmI").headers["retry-after"])
    assert wait == 6
    driver.sleep(wait)
    assert driver.get("WhoAmI").status == 200
    assert driver.control("stats")["retry_after_disobeyed"] == 0


def test_a_client_that_goes_on_sending_waits_longer(driver: Driver) -> None:
    driver.control("limits", {"requests": 1, "window": 20})
    driver.get("WhoAmI")
    first = int(driver.get("WhoAmI").headers["retry-after"])
    waits = []
    for _ in range(4):
        driver.sleep(1)
        waits.append(int(driver.get("WhoAmI").headers["retry-after"]))
    assert first == 20
    assert waits == [21, 22, 23, 24]  # as each second passes, two are added
    driver.sleep(19)
    assert driver.get("WhoAmI").status == 429
    assert driver.control("stats")["retry_after_disobeyed"] == 5


def test_what_was_in_flight_is_not_held_against_the_client(driver: Driver) -> None:
    driver.control("limits", {"requests": 1})
    driver.get("WhoAmI")
    for _ in range(3):
        assert driver.get("WhoAmI").status == 429
    assert driver.control("stats")["retry_after_disobeyed"] == 0
    driver.sleep(0.06)
    driver.get("WhoAmI")
    assert driver.control("stats")["retry_after_disobeyed"] == 1


def test_users_have_budgets_of_their_own(driver: Driver) -> None:
    driver.control("limits", {"requests": 1})
    driver.get("WhoAmI")
    assert driver.get("WhoAmI").status == 429
    driver.sign_in(driver.sandbox.neighbour)
    assert driver.get("WhoAmI").status == 200
    assert driver.control("stats")["by_user"] == {
        driver.sandbox.worker.client_id: 2,
        driver.sandbox.neighbour.client_id: 1,
    }


def test_a_batch_is_one_request_and_many_operations(driver: Driver) -> None:
    driver.control("limits", {"requests": 1})
    part = "--b\r\nContent-Type: application/http\r\n\r\nGET /api/data/v9.2/WhoAmI HTTP/1.1\r\n\r\n\r\n"
    headers = {"Authorization": f"Bearer {driver.bearer}", "Content-Type": "multipart/mixed; boundary=b"}
    reply = driver.send("POST", "/api/data/v9.2/$batch", (part * 5 + "--b--\r\n").encode(), headers)
    assert reply.status == 200
    stats = driver.control("stats")
    assert (stats["requests_by_kind"], stats["operations_by_kind"]) == ({"batch": 1}, {"whoami": 5})


def test_execution_time_is_limited() -> None:
    now = [1000.0]
    protection = Protection(lambda: now[0], LimitSizes(execution_ms=1000, window=60))
    for _ in range(2):
        protection.admit("user", protection.begin("user"))
        protection.end("user", 600)
    arrival = protection.begin("user")
    with pytest.raises(
        Exception, match="Combined execution time of incoming requests exceeded limit of 1,000 mill"
    ) as refused:
        protection.admit("user", arrival)
    assert (refused.value.code, refused.value.retry_after) == ("0x80072321", 60)  # type: ignore[attr-defined]
    protection.end("user", 0)
    now[0] += 60
    protection.admit("user", protection.begin("user"))


def test_concurrency_is_limited_and_counted(driver: Driver) -> None:
    driver.control("limits", {"concurrency": 3})
    headers = {"Authorization": f"Bearer {driver.bearer}"}

    async def all_at_once() -> list[Reply]:
        asks = [driver.exchange("GET", "/api/data/v9.2/WhoAmI", b"", headers) for _ in range(5)]
        return await asyncio.gather(*asks)

    replies = asyncio.run(all_at_once())
    refused = [reply for reply in replies if reply.status == 429]
    assert {reply.code for reply in refused} == {"0x80072326"}
    assert len(refused) == 2
    assert driver.control("stats")["peak_concurrency"] == 5
    assert driver.get("WhoAmI").status == 200


def test_limits_can_be_switched_off(tmp_path: Path) -> None:
    driver = start(tmp_path, LimitSizes(requests=1, enabled=False))
    assert [driver.get("WhoAmI").status for _ in range(3)] == [200] * 3
    driver.control("limits", {"enabled": True})
    driver.get("WhoAmI")
    assert driver.get("WhoAmI").status == 429
    driver.control("reset", {})
    assert driver.get("WhoAmI").status == 200
    driver.sandbox.close()
