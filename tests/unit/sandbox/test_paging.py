"""Paging: whatever the order and the page size, every row comes exactly once, and links cannot be tampered with."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.sandbox.inprocess import Driver, Reply

JOBS = "msdyn_integrationjobs"
COLUMNS = ("msdyn_name", "msdyn_status", "msdyn_numberofpackets", "createdon", "msdyn_integrationjobid")
ORDERS = st.lists(
    st.tuples(st.sampled_from(COLUMNS), st.sampled_from(("asc", "desc"))), max_size=3, unique_by=lambda key: key[0]
)


def all_pages(driver: Driver, size: int, **options: str) -> list[Reply]:
    prefer = {"Prefer": f"odata.maxpagesize={size}"}
    pages = [driver.get(JOBS, prefer, **options)]
    while link := pages[-1].document.get("@odata.nextLink"):
        pages.append(driver.follow(link, prefer))
    return pages


def ids(pages: list[Reply]) -> list[str]:
    return [row["msdyn_integrationjobid"] for page in pages for row in page.rows]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=ORDERS, size=st.integers(1, 7))
def test_every_row_comes_once_in_order(driver: Driver, order: list[tuple[str, str]], size: int) -> None:
    if not driver.get(JOBS).rows:
        for number in range(17):
            driver.job(
                msdyn_name=(None, "a", "B", "ä")[number % 4],
                msdyn_status=(None, 192350000, 192350001)[number % 3],
                msdyn_numberofpackets=(None, 0, 5)[number % 3],
            )
            driver.sleep(number % 2)
    options = {"_orderby": ",".join(" ".join(key) for key in order)} if order else {}
    at_once = ids(all_pages(driver, 5000, **options))
    paged = all_pages(driver, size, **options)
    assert len(at_once) == 17
    assert ids(paged) == at_once
    assert all(len(page.rows) == size for page in paged[:-1])


def test_rows_that_come_meanwhile_do_not_shift_the_pages(driver: Driver) -> None:
    first = [driver.job(msdyn_name="x") for _ in range(4)]
    prefer = {"Prefer": "odata.maxpagesize=2"}
    page = driver.get(JOBS, prefer, _orderby="createdon", _filter="msdyn_name eq 'x'")
    driver.sleep(1)
    late = driver.job(msdyn_name="x")
    rest = driver.follow(page.document["@odata.nextLink"], {"Prefer": "odata.maxpagesize=9"})
    assert set(ids([page])) | set(ids([rest])) == {*first, late}
    assert not set(ids([page])) & set(ids([rest]))


def test_a_filter_on_time_pages_in_the_order_of_time(driver: Driver) -> None:
    made = []
    for _ in range(5):
        made.append(driver.job())
        driver.sleep(1)
    assert ids(all_pages(driver, 2, _filter="createdon ge 2026-09-21T14:13:21Z and statecode eq 0")) == made[1:]


@pytest.mark.parametrize("change", ["token", "filter"])
def test_a_link_that_was_changed_is_refused(driver: Driver, change: str) -> None:
    for _ in range(3):
        driver.job(msdyn_numberofpackets=1)
    page = driver.get(JOBS, {"Prefer": "odata.maxpagesize=1"}, _filter="msdyn_numberofpackets eq 1")
    link = page.document["@odata.nextLink"]
    token = dict(parse_qsl(urlsplit(link).query))["$skiptoken"]
    changed = link.replace(token, token[:-1] + ("0" if token[-1] != "0" else "1"))
    if change == "filter":
        changed = link.replace("eq%201", "eq%202")
    assert changed != link
    assert driver.follow(changed).code == "0x80060888"
    assert driver.follow(link).status == 200


def test_links_keep_the_address_the_client_used(driver: Driver) -> None:
    driver.job()
    driver.job()
    headers = {"Authorization": f"Bearer {driver.bearer}", "Prefer": "odata.maxpagesize=1", "Host": "127.0.0.1:8443"}
    reply = driver.send("GET", f"/api/data/v9.1/{JOBS}", b"", headers)
    assert reply.document["@odata.nextLink"].startswith(f"https://127.0.0.1:8443/api/data/v9.1/{JOBS}?")
