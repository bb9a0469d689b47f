"""Change tracking: everything once, then only what changed or went."""

import pytest

from tests.unit.sandbox.inprocess import ROOT, Driver, Reply

JOBS = "msdyn_integrationjobs"
TRACK = {"Prefer": "odata.track-changes"}


def all_pages(driver: Driver, first: Reply, headers: dict[str, str]) -> tuple[list[dict[str, object]], str]:
    rows, page = list(first.rows), first
    while link := page.document.get("@odata.nextLink"):
        page = driver.follow(link, headers)
        assert page.status == 200, page.body
        rows += page.rows
    return rows, page.document["@odata.deltaLink"]


def test_only_what_changed_comes_again(driver: Driver) -> None:
    stays, changes, goes = (driver.job(msdyn_name=name) for name in ("stays", "changes", "goes"))
    first = driver.get(JOBS, TRACK, _select="msdyn_name")
    assert first.headers["preference-applied"] == "odata.track-changes"
    rows, link = all_pages(driver, first, TRACK)
    assert len(rows) == 3
    driver.api("PATCH", f"{JOBS}({changes})", {"msdyn_name": "changed"})
    driver.api("DELETE", f"{JOBS}({goes})")
    new = driver.job(msdyn_name="new")
    rows, link = all_pages(driver, driver.follow(link), {})
    assert {row["msdyn_integrationjobid"]: row["msdyn_name"] for row in rows if "msdyn_name" in row} == {
        changes: "changed",
        new: "new",
    }
    assert [row for row in rows if "reason" in row] == [
        {"@odata.context": f"{ROOT}/$metadata#{JOBS}/$deletedEntity", "id": goes, "reason": "deleted"}
    ]
    assert stays not in {row.get("msdyn_integrationjobid") for row in rows}
    assert all_pages(driver, driver.follow(link), {})[0] == []


def test_changes_come_in_pages(driver: Driver) -> None:
    jobs = [driver.job() for _ in range(7)]
    headers = {"Prefer": "odata.track-changes,odata.maxpagesize=3"}
    rows, link = all_pages(driver, driver.get(JOBS, headers), headers)
    assert [row["msdyn_integrationjobid"] for row in rows] == jobs
    for job in jobs[:4]:
        driver.api("DELETE", f"{JOBS}({job})")
    rows, _ = all_pages(driver, driver.follow(link, headers), headers)
    assert [row["id"] for row in rows] == jobs[:4]


def test_a_row_that_changes_while_it_is_paged_is_not_lost(driver: Driver) -> None:
    jobs = [driver.job() for _ in range(4)]
    headers = {"Prefer": "odata.track-changes,odata.maxpagesize=2"}
    first = driver.get(JOBS, headers)
    driver.api("PATCH", f"{JOBS}({jobs[3]})", {"msdyn_name": "changed"})
    rows, link = all_pages(driver, first, headers)
    assert [row["msdyn_integrationjobid"] for row in rows] == jobs[:3]
    rows, _ = all_pages(driver, driver.follow(link, headers), headers)
    assert [row["msdyn_integrationjobid"] for row in rows] == [jobs[3]]


def test_packets_that_go_with_their_job_are_told(driver: Driver) -> None:
    job = driver.job()
    packet = driver.packet(job, 0)
    _, link = all_pages(driver, driver.get("msdyn_integrationjobdetails", TRACK), TRACK)
    driver.api("DELETE", f"{JOBS}({job})")
    rows, _ = all_pages(driver, driver.follow(link), {})
    assert [row["id"] for row in rows] == [packet]


def test_tokens_expire_after_a_week(driver: Driver) -> None:
    _, link = all_pages(driver, driver.get(JOBS, TRACK), TRACK)
    driver.sleep(7 * 24 * 3600 - 60)
    driver.sign_in(driver.sandbox.worker)
    assert driver.follow(link).status == 200
    driver.sleep(120)
    assert driver.follow(link).status == 400


@pytest.mark.parametrize(
    "options",
    [
        {"_filter": "statecode eq 0"},
        {"_orderby": "createdon"},
        {"_expand": "createdby"},
        {"_top": "3"},
    ],
)
def test_what_does_not_go_with_tracking_is_refused(driver: Driver, options: dict[str, str]) -> None:
    assert driver.get(JOBS, TRACK, **options).status == 400


def test_tracking_has_to_be_switched_on(driver: Driver) -> None:
    assert driver.get("systemusers", TRACK).status == 400
    driver.control("tables", {"table": "msdyn_integrationjob", "change_tracking": False})
    assert driver.get(JOBS, TRACK).status == 400
    definition = driver.get("EntityDefinitions(LogicalName='msdyn_integrationjob')", _select="ChangeTrackingEnabled")
    assert definition.document["ChangeTrackingEnabled"] is False


def test_a_token_of_another_table_is_refused(driver: Driver) -> None:
    _, link = all_pages(driver, driver.get(JOBS, TRACK), TRACK)
    assert driver.follow(link.replace(JOBS, "msdyn_integrationjobdetails")).code == "0x80060888"
