"""CreateMultiple, UpdateMultiple, UpsertMultiple and BulkDelete, as Microsoft's SDK sends them."""

from typing import Any

import pytest

from tests.unit.sandbox.inprocess import Driver

JOBS = "msdyn_integrationjobs"
ACTION = f"{JOBS}/Microsoft.Dynamics.CRM."
TYPE = {"@odata.type": "Microsoft.Dynamics.CRM.msdyn_integrationjob"}
SOMEBODY = "11111111-2222-3333-4444-555555555555"


def names(driver: Driver) -> list[Any]:
    return sorted(row["msdyn_name"] for row in driver.get(JOBS).rows)


def test_many_rows_are_created(driver: Driver) -> None:
    targets = [{**TYPE, "msdyn_name": name} for name in ("a", "b")]
    reply = driver.api("POST", f"{ACTION}CreateMultiple", {"Targets": targets})
    assert [driver.row(key)["msdyn_name"] for key in reply.document["Ids"]] == ["a", "b"]


def test_all_of_them_or_none(driver: Driver) -> None:
    targets = [{**TYPE, "msdyn_name": name} for name in ("a", "b" * 251)]
    assert driver.api("POST", f"{ACTION}CreateMultiple", {"Targets": targets}).status == 400
    assert names(driver) == []


def test_many_rows_are_updated(driver: Driver) -> None:
    keys = [driver.job(msdyn_name="x"), driver.job(msdyn_name="x")]
    targets = [{**TYPE, "msdyn_integrationjobid": key, "msdyn_name": str(n)} for n, key in enumerate(keys)]
    assert driver.api("POST", f"{ACTION}UpdateMultiple", {"Targets": targets}).status == 204
    assert names(driver) == ["0", "1"]
    gone = [*targets, {**TYPE, "msdyn_integrationjobid": SOMEBODY, "msdyn_name": "y"}]
    assert driver.api("POST", f"{ACTION}UpdateMultiple", {"Targets": gone}).status == 404
    assert names(driver) == ["0", "1"]


def test_many_rows_are_upserted(driver: Driver) -> None:
    there = driver.job(msdyn_name="x")
    targets = [
        {**TYPE, "@odata.id": f"{JOBS}(msdyn_integrationjobid={there})", "msdyn_name": "changed"},
        {**TYPE, "@odata.id": f"{JOBS}({SOMEBODY})", "msdyn_name": "created"},
    ]
    assert driver.api("POST", f"{ACTION}UpsertMultiple", {"Targets": targets}).status == 204
    assert names(driver) == ["changed", "created"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Targets": []},
        {"Targets": ["x"]},
        {"Targets": [{"msdyn_name": "x"}]},
        {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.account"}]},
        {"Targets": [TYPE] * 1001},
    ],
)
def test_what_is_refused(driver: Driver, body: dict[str, Any]) -> None:
    assert driver.api("POST", f"{ACTION}CreateMultiple", body).status == 400


def test_unknown_actions_are_refused(driver: Driver) -> None:
    assert driver.api("POST", f"{ACTION}DeleteEverything", {}).code == "0x8006088a"
    assert driver.api("GET", f"{ACTION}CreateMultiple").status == 404


def test_rows_are_deleted_by_their_ids(driver: Driver) -> None:
    goes, stays = driver.job(msdyn_name="goes"), driver.job(msdyn_name="stays")
    condition = {
        "AttributeName": "msdyn_integrationjobid",
        "Operator": "In",
        "Values": [{"Value": goes, "Type": "System.Guid"}, {"Value": SOMEBODY, "Type": "System.Guid"}],
    }
    query = {"EntityName": "msdyn_integrationjob", "Criteria": {"Conditions": [condition]}}
    reply = driver.api("POST", "BulkDelete", {"QuerySet": [query]})
    assert reply.document["JobId"]
    assert names(driver) == ["stays"]
    assert driver.row(stays)
    query["Criteria"] = {"Conditions": []}
    assert driver.api("POST", "BulkDelete", {"QuerySet": [query]}).status == 501
