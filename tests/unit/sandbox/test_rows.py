"""Creating, changing and deleting rows: ETags, upsert rules, limits, references."""

from typing import Any

import pytest

from tests.unit.sandbox.inprocess import FAILED, PROCESSING, ROOT, WAITING, Driver

JOBS = "msdyn_integrationjobs"
SOMEBODY = "11111111-2222-3333-4444-555555555555"


def test_a_created_row_is_told_by_its_address(driver: Driver) -> None:
    reply = driver.api("POST", JOBS, {"msdyn_name": "one"})
    assert reply.status == 204
    assert reply.body == b""
    assert reply.headers["odata-entityid"].startswith(f"{ROOT}/{JOBS}(")


def test_a_created_row_is_shown_where_it_was_asked_for(driver: Driver) -> None:
    reply = driver.api("POST", f"{JOBS}?$select=msdyn_name", {"msdyn_name": "one"}, {"Prefer": "return=representation"})
    assert reply.status == 201
    assert reply.document["msdyn_name"] == "one"
    assert reply.document["@odata.etag"] == reply.headers["etag"]
    assert reply.headers["preference-applied"] == "return=representation"
    assert set(reply.document) == {"@odata.context", "@odata.etag", "msdyn_name", "msdyn_integrationjobid"}


def test_a_client_may_choose_the_id_once(driver: Driver) -> None:
    row = {"msdyn_integrationjobid": SOMEBODY.upper()}
    assert driver.api("POST", JOBS, row).headers["odata-entityid"].endswith(f"({SOMEBODY})")
    again = driver.api("POST", JOBS, row)
    assert (again.status, again.code) == (412, "0x80040237")


def test_every_column_may_be_null(driver: Driver) -> None:
    row = driver.row(driver.job())
    for name in ("msdyn_name", "msdyn_numberofpackets", "msdyn_status", "msdyn_type", "msdyn_regardingentity"):
        assert row[name] is None


def test_an_update_moves_version_and_modifiedon_and_nothing_else(driver: Driver) -> None:
    job = driver.job(msdyn_name="one", msdyn_status=WAITING)
    before = driver.row(job)
    driver.sleep(90)
    assert driver.api("PATCH", f"{JOBS}({job})", {"msdyn_status": PROCESSING}, {"If-Match": "*"}).status == 204
    after = driver.row(job)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"@odata.etag", "versionnumber", "modifiedon", "msdyn_status"}
    assert after["modifiedon"] == "2026-09-21T14:14:50Z"
    assert after["@odata.etag"] == f'W/"{after["versionnumber"]}"'


def test_an_etag_is_good_for_one_change(driver: Driver) -> None:
    job = driver.job(msdyn_status=WAITING)
    etag = driver.row(job)["@odata.etag"]
    first = driver.api("PATCH", f"{JOBS}({job})", {"msdyn_status": PROCESSING}, {"If-Match": etag})
    second = driver.api("PATCH", f"{JOBS}({job})", {"msdyn_status": FAILED}, {"If-Match": etag})
    assert first.status == 204
    assert (second.status, second.code) == (412, "")
    assert second.document["error"]["message"] == (
        "The version of the existing record doesn't match the RowVersion property provided."
    )
    assert driver.row(job)["msdyn_status"] == PROCESSING


def test_a_changed_row_is_shown_with_its_new_etag(driver: Driver) -> None:
    job = driver.job()
    headers = {"If-Match": driver.row(job)["@odata.etag"], "Prefer": "return=representation"}
    reply = driver.api("PATCH", f"{JOBS}({job})?$select=msdyn_status", {"msdyn_status": PROCESSING}, headers)
    assert reply.status == 200
    assert reply.document["@odata.etag"] == driver.row(job)["@odata.etag"]


def test_a_patch_without_if_match_creates(driver: Driver) -> None:
    reply = driver.api("PATCH", f"{JOBS}({SOMEBODY})", {"msdyn_name": "upserted"})
    assert reply.status == 204
    assert driver.row(SOMEBODY)["msdyn_name"] == "upserted"
    assert driver.api("PATCH", f"{JOBS}({SOMEBODY})", {"msdyn_name": "again"}).status == 204
    assert driver.row(SOMEBODY)["msdyn_name"] == "again"


def test_an_upsert_says_whether_it_created(driver: Driver) -> None:
    prefer = {"Prefer": "return=representation"}
    assert driver.api("PATCH", f"{JOBS}({SOMEBODY})", {}, prefer).status == 201
    assert driver.api("PATCH", f"{JOBS}({SOMEBODY})", {}, prefer).status == 200


@pytest.mark.parametrize("etag", ["*", 'W/"1"'])
def test_a_patch_with_if_match_never_creates(driver: Driver, etag: str) -> None:
    reply = driver.api("PATCH", f"{JOBS}({SOMEBODY})", {"msdyn_name": "x"}, {"If-Match": etag})
    assert (reply.status, reply.code) == (404, "")
    assert driver.get(f"{JOBS}({SOMEBODY})").code == "0x80040217"


def test_if_none_match_forbids_an_update(driver: Driver) -> None:
    job = driver.job()
    reply = driver.api("PATCH", f"{JOBS}({job})", {"msdyn_name": "x"}, {"If-None-Match": "*"})
    assert (reply.status, reply.code) == (412, "0x80040237")
    assert driver.api("PATCH", f"{JOBS}({SOMEBODY})", {}, {"If-None-Match": "*"}).status == 204


def test_reads_bear_if_none_match(driver: Driver) -> None:
    job = driver.job()
    assert driver.get(f"{JOBS}({job})", {"If-None-Match": "null"}).status == 200
    assert driver.get(f"{JOBS}({job})", {"If-None-Match": driver.row(job)["@odata.etag"]}).status == 304


def test_etags_protect_only_where_that_is_switched_on(driver: Driver) -> None:
    job = driver.job()
    driver.control("tables", {"table": "msdyn_integrationjob", "optimistic_concurrency": False})
    reply = driver.api("PATCH", f"{JOBS}({job})", {}, {"If-Match": 'W/"1"'})
    assert (reply.status, reply.code) == (400, "0x8006088d")
    assert driver.api("PATCH", f"{JOBS}({job})", {}, {"If-Match": "*"}).status == 204


def test_deleting_a_job_deletes_its_packets(driver: Driver) -> None:
    job, other = driver.job(), driver.job()
    driver.packet(job, 0)
    stays = driver.packet(other, 0)
    assert driver.api("DELETE", f"{JOBS}({job})").status == 204
    assert driver.get(f"{JOBS}({job})").status == 404
    rows = driver.get("msdyn_integrationjobdetails", _select="msdyn_sequencenumber").rows
    assert [row["msdyn_integrationjobdetailid"] for row in rows] == [stays]
    assert driver.api("DELETE", f"{JOBS}({job})").code == "0x80040217"


def test_a_delete_respects_the_etag(driver: Driver) -> None:
    job = driver.job()
    assert driver.api("DELETE", f"{JOBS}({job})", None, {"If-Match": 'W/"1"'}).status == 412
    assert driver.api("DELETE", f"{JOBS}({job})", None, {"If-Match": driver.row(job)["@odata.etag"]}).status == 204


def test_a_packet_does_not_touch_its_job(driver: Driver) -> None:
    job = driver.job()
    before = driver.row(job)
    driver.sleep(5)
    driver.packet(job, 0)
    assert driver.row(job) == before


@pytest.mark.parametrize(
    ("columns", "status", "code"),
    [
        ({"msdyn_name": "x" * 251}, 400, "0x80044331"),
        ({"msdyn_name": "🚀" * 126}, 400, "0x80044331"),
        ({"msdyn_responsejson": "x" * 1_048_577}, 400, "0x80044331"),
        ({"msdyn_numberofpackets": -1}, 400, "0x80044330"),
        ({"msdyn_numberofpackets": 2**31}, 400, "0x80044330"),
        ({"msdyn_status": 5}, 400, "0x8004431a"),
        ({"msdyn_numberofpackets": "3"}, 400, "0x80048d19"),
        ({"msdyn_numberofpackets": 3.5}, 400, "0x80048d19"),
        ({"msdyn_numberofpackets": True}, 400, "0x80048d19"),
        ({"msdyn_name": 5}, 400, "0x80048d19"),
        ({"msdyn_name": "\ud800"}, 400, "0x80048d19"),
        ({"msdyn_integrationjobid": "none"}, 400, "0x80048d19"),
        ({"msdyn_nosuchcolumn": 1}, 400, "0x0"),
        ({"MSDYN_NAME": "wrong case"}, 400, "0x0"),
        ({"nosuch@odata.bind": "/msdyn_integrationjobs(1)"}, 400, "0x0"),
        ({"_ownerid_value": SOMEBODY}, 400, "0x80060888"),
        ({"statecode": 1, "statuscode": 1}, 400, "0x80048408"),
        ({"ownerid@odata.bind": f"/systemusers({SOMEBODY})"}, 404, "0x80040217"),
        ({"ownerid@odata.bind": f"/msdyn_integrationjobs({SOMEBODY})"}, 400, "0x80048d19"),
        ({"ownerid@odata.bind": "/somewhere"}, 400, "0x80060888"),
    ],
)
def test_what_does_not_fit_is_refused(driver: Driver, columns: dict[str, Any], status: int, code: str) -> None:
    reply = driver.api("POST", JOBS, columns)
    assert (reply.status, reply.code) == (status, code)
    assert driver.get(JOBS).rows == []


def test_texts_are_measured_as_the_service_measures_them(driver: Driver) -> None:
    assert driver.row(driver.job(msdyn_name="🚀" * 125))["msdyn_name"] == "🚀" * 125
    assert driver.row(driver.job(msdyn_responsejson="é" * 1_048_576))["msdyn_responsejson"] == "é" * 1_048_576


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b'"text"', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(driver: Driver, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {driver.bearer}"}
    reply = driver.send("POST", f"/api/data/v9.2/{JOBS}", body, headers)
    assert (reply.status, reply.code) == (400, "0x80048d19")


def test_read_only_columns_are_passed_over(driver: Driver) -> None:
    job = driver.job(createdon="2000-01-01T00:00:00Z", versionnumber=1)
    assert driver.row(job)["createdon"] == "2026-09-21T14:13:20Z"


def test_a_created_row_may_be_dated_back(driver: Driver) -> None:
    row = driver.row(driver.job(overriddencreatedon="2020-02-03T04:05:06Z"))
    assert row["createdon"] == "2020-02-03T04:05:06Z"
    assert row["overriddencreatedon"] == "2026-09-21T14:13:20Z"


def test_the_state_brings_its_reason(driver: Driver) -> None:
    job = driver.job()
    driver.api("PATCH", f"{JOBS}({job})", {"statecode": 1})
    assert (driver.row(job)["statecode"], driver.row(job)["statuscode"]) == (1, 2)
    driver.api("PATCH", f"{JOBS}({job})", {"statecode": 0})
    assert (driver.row(job)["statecode"], driver.row(job)["statuscode"]) == (0, 1)
    assert driver.api("PATCH", f"{JOBS}({job})", {"statuscode": 2}).code == "0x80048408"


def test_a_row_knows_who_wrote_it(driver: Driver) -> None:
    job = driver.job()
    mine = driver.get("WhoAmI").document["UserId"]
    driver.sign_in(driver.sandbox.neighbour)
    theirs = driver.get("WhoAmI").document["UserId"]
    driver.api("PATCH", f"{JOBS}({job})", {"msdyn_name": "theirs"})
    row = driver.row(job)
    assert (row["_createdby_value"], row["_modifiedby_value"], row["_ownerid_value"]) == (mine, theirs, mine)
    bind = {"ownerid@odata.bind": f"/systemusers({theirs})"}
    driver.api("PATCH", f"{JOBS}({job})", bind)
    assert driver.row(job)["_ownerid_value"] == theirs


def test_a_packet_needs_a_job_that_is_there(driver: Driver) -> None:
    bind = {"msdyn_IntegrationJobHeader@odata.bind": f"/msdyn_integrationjobs({SOMEBODY})"}
    reply = driver.api("POST", "msdyn_integrationjobdetails", bind)
    assert (reply.status, reply.code) == (404, "0x80040217")
    wrong_case = {"msdyn_integrationjobheader@odata.bind": f"/msdyn_integrationjobs({SOMEBODY})"}
    assert driver.api("POST", "msdyn_integrationjobdetails", wrong_case).code == "0x0"


@pytest.mark.parametrize("form", ["/{0}", "{0}", "https://localhost:8443/api/data/v9.2/{0}", "/api/data/v9.2/{0}"])
def test_a_reference_may_be_written_in_every_form(driver: Driver, form: str) -> None:
    job = driver.job()
    bind = {"msdyn_IntegrationJobHeader@odata.bind": form.format(f"msdyn_integrationjobs({job})")}
    assert driver.api("POST", "msdyn_integrationjobdetails", bind).status == 204
    (row,) = driver.get("msdyn_integrationjobdetails").rows
    assert row["_msdyn_integrationjobheader_value"] == job


def test_single_columns_can_be_read_set_and_emptied(driver: Driver) -> None:
    job = driver.job(msdyn_name="one")
    path = f"{JOBS}({job})/msdyn_name"
    assert driver.get(path).document["value"] == "one"
    assert driver.get(f"{path}/$value").body == b"one"
    assert driver.api("PUT", path, {"value": "two"}).status == 204
    assert driver.get(path).document["value"] == "two"
    assert driver.api("DELETE", path).status == 204
    assert driver.get(path).status == 204
    assert driver.api("PUT", path, {}).status == 400
    assert driver.get(f"{JOBS}({job})/nothing").code == "0x8006088a"


def test_references_can_be_set_from_both_ends(driver: Driver) -> None:
    job, packet = driver.job(), driver.packet(None, 1)
    lookup = f"msdyn_integrationjobdetails({packet})/msdyn_IntegrationJobHeader"
    assert driver.get(lookup).status == 204
    assert driver.api("PUT", f"{lookup}/$ref", {"@odata.id": f"{ROOT}/{JOBS}({job})"}).status == 204
    assert driver.get(lookup).document["msdyn_integrationjobid"] == job
    assert driver.get(f"{lookup}/$ref").document["@odata.id"] == f"{ROOT}/{JOBS}({job})"
    assert driver.api("DELETE", f"{lookup}/$ref").status == 204
    collection = f"{JOBS}({job})/msdyn_msdyn_integrationjob_msdyn_integrationjob"
    assert driver.get(collection).rows == []
    reference = {"@odata.id": f"msdyn_integrationjobdetails({packet})"}
    assert driver.api("POST", f"{collection}/$ref", reference).status == 204
    assert [row["msdyn_integrationjobdetailid"] for row in driver.get(collection).rows] == [packet]
    assert driver.get(f"{collection}/$count").body == b"1"
    assert driver.get(f"{collection}/$ref").rows == [{"@odata.id": f"{ROOT}/msdyn_integrationjobdetails({packet})"}]
    assert driver.api("DELETE", f"{collection}({packet})/$ref").status == 204
    assert driver.get(collection).rows == []


def test_verbs_that_a_resource_does_not_know_are_refused(driver: Driver) -> None:
    job = driver.job()
    assert driver.api("DELETE", JOBS).status == 405
    assert driver.api("POST", f"{JOBS}({job})", {}).status == 405
    assert driver.api("PUT", f"{JOBS}({job})", {}).status == 405


def test_users_can_be_read_and_not_written(driver: Driver) -> None:
    names = {row["fullname"] for row in driver.get("systemusers", _select="fullname").rows}
    assert names == {"# worker", "# neighbour"}
    assert driver.api("POST", "systemusers", {"fullname": "new"}).code == "0x80040220"


def test_a_privilege_can_be_taken_away(driver: Driver) -> None:
    job = driver.job()
    worker = driver.sandbox.worker.client_id
    driver.control("privileges", {"client_id": worker, "denied": ["prvWritemsdyn_integrationjob"]})
    reply = driver.api("PATCH", f"{JOBS}({job})", {"msdyn_name": "x"})
    assert (reply.status, reply.code) == (403, "0x80040220")
    assert "prvWritemsdyn_integrationjob" in reply.document["error"]["message"]
    assert driver.get(f"{JOBS}({job})").status == 200
