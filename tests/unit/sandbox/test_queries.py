"""Query options: selecting, filtering, ordering, counting, expanding, aggregating."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.sandbox.inprocess import PROCESSING, READY, ROOT, WAITING, Driver

JOBS = "msdyn_integrationjobs"
DETAILS = "msdyn_integrationjobdetails"
PACKETS = "msdyn_msdyn_integrationjob_msdyn_integrationjob"


def names(driver: Driver, **options: str) -> list[Any]:
    reply = driver.get(JOBS, None, **options)
    assert reply.status == 200, reply.body
    return [row["msdyn_name"] for row in reply.rows]


def filtered(driver: Driver, text: str) -> set[Any]:
    return set(names(driver, _filter=text))


@pytest.fixture
def jobs(driver: Driver) -> Mapping[str, str]:
    """Four jobs, a second apart; by name, their ids."""
    made = {}
    for name, status, count in (
        ("Änne", WAITING, 1),
        ("o'Neill", READY, 2),
        ("PLAN", READY, None),
        ("plan b", None, 9),
    ):
        made[name] = driver.job(msdyn_name=name, msdyn_status=status, msdyn_numberofpackets=count)
        driver.sleep(1)
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("msdyn_name eq 'plan'", {"PLAN"}),
        ("msdyn_name eq 'ÄNNE'", {"Änne"}),
        ("msdyn_name eq 'o''neill'", {"o'Neill"}),
        ("msdyn_name ne 'plan'", {"Änne", "o'Neill", "plan b"}),
        ("contains(msdyn_name,'LAN')", {"PLAN", "plan b"}),
        ("startswith(msdyn_name,'plan ')", {"plan b"}),
        ("endswith(msdyn_name,'NNE')", {"Änne"}),
        ("endswith(msdyn_name,'')", {"Änne", "o'Neill", "PLAN", "plan b"}),
        ("not contains(msdyn_name,'plan')", {"Änne", "o'Neill"}),
        ("contains(msdyn_name,'plan') eq false", {"Änne", "o'Neill"}),
        ("msdyn_status eq 192350001", {"o'Neill", "PLAN"}),
        ("msdyn_status ne 192350001", {"Änne", "plan b"}),
        ("msdyn_status eq null", {"plan b"}),
        ("msdyn_status ne null", {"Änne", "o'Neill", "PLAN"}),
        ("msdyn_numberofpackets gt 1 and msdyn_numberofpackets le 9", {"o'Neill", "plan b"}),
        ("2 lt msdyn_numberofpackets", {"plan b"}),
        ("msdyn_numberofpackets ge 9 or msdyn_status eq 192350000", {"Änne", "plan b"}),
        ("(msdyn_status eq 192350000 or msdyn_status eq 192350001) and not (msdyn_numberofpackets eq 1)", {"o'Neill"}),
        ("Microsoft.Dynamics.CRM.In(PropertyName='msdyn_status',PropertyValues=['192350000'])", {"Änne"}),
        ('Microsoft.Dynamics.CRM.In(PropertyName=\'msdyn_name\',PropertyValues=["PLAN B","plan"])', {"PLAN", "plan b"}),
        ("Microsoft.Dynamics.CRM.NotIn(PropertyName='msdyn_status',PropertyValues=['192350001'])", {"Änne", "plan b"}),
        (
            "Microsoft.Dynamics.CRM.Between(PropertyName='msdyn_numberofpackets',PropertyValues=['2','9'])",
            {"o'Neill", "plan b"},
        ),
        ("createdon ge 2026-09-21T14:13:22Z", {"PLAN", "plan b"}),
        ("createdon gt 2026-09-21T14:13:21.5Z", {"PLAN", "plan b"}),
        ("createdon lt 2026-09-21T16:13:21+02:00", {"Änne"}),
        ("createdon eq 2026-09-21T14:13:21Z", {"o'Neill"}),
        ("createdon eq 2026-09-21T14:13:21.2Z", set()),
        ("createdon ge 2026-09-21 and createdon lt 2026-09-22", {"Änne", "o'Neill", "PLAN", "plan b"}),
        ("createdon eq modifiedon", {"Änne", "o'Neill", "PLAN", "plan b"}),
        ("createdby/fullname eq '# WORKER'", {"Änne", "o'Neill", "PLAN", "plan b"}),
    ],
)
def test_filters(driver: Driver, jobs: Mapping[str, str], text: str, expected: set[str]) -> None:
    assert filtered(driver, text) == expected


def test_ids_are_compared_by_value(driver: Driver, jobs: Mapping[str, str]) -> None:
    key = jobs["PLAN"]
    assert filtered(driver, f"msdyn_integrationjobid eq {key.upper()}") == {"PLAN"}
    listed = f'["{key.upper()}","{jobs["Änne"]}"]'
    within = f"Microsoft.Dynamics.CRM.In(PropertyName='msdyn_integrationjobid',PropertyValues={listed})"
    assert filtered(driver, within) == {"PLAN", "Änne"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "msdyn_name",
        "msdyn_name eq",
        "msdyn_name = 'x'",
        "msdyn_name eq 'x",
        "msdyn_name EQ 'x'",
        "msdyn_name eq 5",
        "msdyn_status eq '192350000'",
        "msdyn_integrationjobid eq '11111111-2222-3333-4444-555555555555'",
        "createdon gt 'yesterday'",
        "createdon gt 2026-13-01",
        "nothing eq 1",
        "MSDYN_NAME eq 'x'",
        "nothing/msdyn_name eq 'x'",
        "ownerid eq 11111111-2222-3333-4444-555555555555",
        "tolower(msdyn_name) eq 'x'",
        "contains(msdyn_status,'1')",
        "contains(msdyn_name)",
        "year(createdon) eq 2026",
        "'a' eq 'a'",
        "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_status',PropertyValues=[])",
        "Microsoft.Dynamics.CRM.In(PropertyName='msdyn_status',PropertyValues=['x'])",
        "Microsoft.Dynamics.CRM.In(PropertyName='nothing',PropertyValues=['1'])",
        "Microsoft.Dynamics.CRM.In(PropertyValues=['1'])",
        "Microsoft.Dynamics.CRM.Between(PropertyName='msdyn_status',PropertyValues=['1'])",
        "Microsoft.Dynamics.CRM.LastXHours(PropertyName='createdon',PropertyValue=3)",
        f"{PACKETS}/any(p:p/nothing eq 1)",
        f"{PACKETS}/some(p:p/msdyn_name eq 'x')",
        "nothing/any(p:p/msdyn_name eq 'x')",
        "(" * 2000,
    ],
)
def test_filters_that_are_refused(driver: Driver, text: str) -> None:
    reply = driver.get(JOBS, _filter=text)
    assert (reply.status, reply.code) == (400, "0x80060888")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"_skip": "1"}, "0x80060888"),
        ({"_search": "x"}, "0x80060888"),
        ({"nothing": "x"}, "0x80060888"),
        ({"_select": "nothing"}, "0x80060888"),
        ({"_select": "MSDYN_NAME"}, "0x80060888"),
        ({"_orderby": "nothing"}, "0x80060888"),
        ({"_orderby": "msdyn_name down"}, "0x80060888"),
        ({"_top": "-1"}, "0x80060888"),
        ({"_top": "many"}, "0x80060888"),
        ({"_count": "yes"}, "0x80060888"),
        ({"_expand": "nothing"}, "0x80060888"),
        ({"_expand": "createdby($select=nothing)"}, "0x80060888"),
        ({"_expand": "createdby($skip=1)"}, "0x80060888"),
        ({"_expand": "createdby($select=fullname"}, "0x80060888"),
        ({"_skiptoken": "made.up"}, "0x80060888"),
    ],
)
def test_options_that_are_refused(driver: Driver, options: dict[str, str], code: str) -> None:
    reply = driver.get(JOBS, None, **options)
    assert (reply.status, reply.code) == (400, code)


def test_an_option_comes_once(driver: Driver) -> None:
    assert driver.get(f"{JOBS}?$top=1&$top=2").code == "0x80060888"


def test_skip_is_refused_in_the_services_words(driver: Driver) -> None:
    assert driver.get(JOBS, _skip="1").document["error"]["message"] == "Skip Clause is not supported in CRM"


def test_paths_that_lead_nowhere(driver: Driver) -> None:
    for path in ("Msdyn_integrationjobs", "msdyn_integrationjob", "accounts", f"{JOBS}/nothing", "$nothing"):
        reply = driver.get(path)
        assert (reply.status, reply.code) == (404, "0x8006088a"), path
    assert driver.get(f"{JOBS}(5)").status == 400
    assert driver.get(f"{JOBS}(msdyn_name='x')").status == 400


def test_a_row_carries_its_etag_and_id_whatever_is_selected(driver: Driver, jobs: Mapping[str, str]) -> None:
    reply = driver.get(f"{JOBS}({jobs['PLAN']})", _select="msdyn_name,_ownerid_value")
    assert list(reply.document) == [
        "@odata.context", "@odata.etag", "msdyn_name", "_ownerid_value", "msdyn_integrationjobid"
    ]  # fmt: skip
    assert reply.document["@odata.context"] == f"{ROOT}/$metadata#{JOBS}(msdyn_name,_ownerid_value)/$entity"


def test_a_key_may_be_named(driver: Driver, jobs: Mapping[str, str]) -> None:
    assert driver.get(f"{JOBS}(msdyn_integrationjobid={jobs['PLAN']})").status == 200


def test_order_is_total_and_without_regard_to_case(driver: Driver, jobs: Mapping[str, str]) -> None:
    assert names(driver, _orderby="msdyn_name") == ["o'Neill", "PLAN", "plan b", "Änne"]
    assert names(driver, _orderby="msdyn_status desc,createdon desc") == ["PLAN", "o'Neill", "Änne", "plan b"]
    assert names(driver, _orderby="msdyn_numberofpackets asc") == ["PLAN", "Änne", "o'Neill", "plan b"]
    assert names(driver, _orderby="createdby/fullname,createdon desc", _top="2") == ["plan b", "PLAN"]


def test_top_cuts_and_gives_no_link(driver: Driver, jobs: Mapping[str, str]) -> None:
    reply = driver.get(JOBS, _top="2", _orderby="createdon")
    assert [row["msdyn_name"] for row in reply.rows] == ["Änne", "o'Neill"]
    assert "@odata.nextLink" not in reply.document


def test_top_is_ignored_beside_a_page_size(driver: Driver, jobs: Mapping[str, str]) -> None:
    reply = driver.get(JOBS, {"Prefer": "odata.maxpagesize=3"}, _top="1")
    assert len(reply.rows) == 3
    assert reply.headers["preference-applied"] == "odata.maxpagesize=3"


def test_counting(driver: Driver, jobs: Mapping[str, str]) -> None:
    assert driver.get(JOBS, _count="true", _top="1").document["@odata.count"] == 4
    assert driver.get(f"{JOBS}/$count", _filter="msdyn_status eq 192350001").body == b"2"
    annotated = driver.get(
        JOBS, {"Prefer": 'odata.include-annotations="Microsoft.Dynamics.CRM.totalrecordcount*"'}, _count="true"
    ).document
    assert annotated["@Microsoft.Dynamics.CRM.totalrecordcount"] == 4
    assert annotated["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is False


def test_a_count_stops_at_five_thousand(driver: Driver) -> None:
    driver.control("seed", {"jobs": 5100, "kinds": {"never_counted": 1}})
    assert driver.get(JOBS, _count="true", _top="1").document["@odata.count"] == 5000
    assert driver.get(f"{JOBS}/$count").body == b"5000"
    assert len(driver.get(JOBS, _select="msdyn_name").rows) == 5000
    assert len(driver.get(JOBS, _select="msdyn_name", _top="5050").rows) == 5000


def test_packets_by_a_column_of_their_job(driver: Driver, jobs: Mapping[str, str]) -> None:
    for name in ("PLAN", "Änne"):
        driver.packet(jobs[name], 1, msdyn_name=name)
    loose = driver.packet(None, 2)
    rows = driver.get(DETAILS, _filter="msdyn_IntegrationJobHeader/msdyn_status eq 192350001").rows
    assert [row["msdyn_name"] for row in rows] == ["PLAN"]
    rows = driver.get(DETAILS, _filter=f"_msdyn_integrationjobheader_value eq {jobs['Änne']}").rows
    assert [row["msdyn_name"] for row in rows] == ["Änne"]
    rows = driver.get(DETAILS, _filter="_msdyn_integrationjobheader_value eq null").rows
    assert [row["msdyn_integrationjobdetailid"] for row in rows] == [loose]
    assert driver.get(DETAILS, _filter="msdyn_integrationjobheader/msdyn_status eq 1").status == 400


def test_jobs_by_their_packets(driver: Driver, jobs: Mapping[str, str]) -> None:
    driver.packet(jobs["PLAN"], 1)
    driver.packet(jobs["PLAN"], 2)
    driver.packet(jobs["Änne"], 1)
    assert filtered(driver, f"{PACKETS}/any()") == {"PLAN", "Änne"}
    assert filtered(driver, f"{PACKETS}/any(p:p/msdyn_sequencenumber eq 2)") == {"PLAN"}
    some = f"{PACKETS}/any(p:p/msdyn_sequencenumber ge 1) and {PACKETS}/all(p:p/msdyn_sequencenumber lt 2)"
    assert filtered(driver, some) == {"Änne"}


def test_expanding_a_lookup(driver: Driver, jobs: Mapping[str, str]) -> None:
    driver.packet(jobs["PLAN"], 1)
    driver.packet(None, 2)
    rows = driver.get(
        DETAILS,
        _select="msdyn_sequencenumber",
        _expand="msdyn_IntegrationJobHeader($select=msdyn_name;$expand=createdby($select=fullname))",
        _orderby="msdyn_sequencenumber",
    ).rows
    assert rows[0]["msdyn_IntegrationJobHeader"]["msdyn_name"] == "PLAN"
    assert rows[0]["msdyn_IntegrationJobHeader"]["createdby"]["fullname"] == "# worker"
    assert rows[1]["msdyn_IntegrationJobHeader"] is None


def test_expanding_a_collection(driver: Driver, jobs: Mapping[str, str]) -> None:
    for number in (3, 1, 2):
        driver.packet(jobs["PLAN"], number)
    inner = "$select=msdyn_sequencenumber;$filter=msdyn_sequencenumber ge 2;$orderby=msdyn_sequencenumber desc;$top=1"
    reply = driver.get(f"{JOBS}({jobs['PLAN']})", _select="msdyn_name", _expand=f"{PACKETS}({inner})")
    assert [row["msdyn_sequencenumber"] for row in reply.document[PACKETS]] == [3]
    rows = driver.get(JOBS, _expand=PACKETS, _orderby="createdon").rows
    assert [len(row[PACKETS]) for row in rows] == [0, 0, 3, 0]


def test_the_rows_behind_a_navigation_property(driver: Driver, jobs: Mapping[str, str]) -> None:
    for number in range(3):
        driver.packet(jobs["PLAN"], number)
    path = f"{JOBS}({jobs['PLAN']})/{PACKETS}"
    page = driver.get(path, {"Prefer": "odata.maxpagesize=2"}, _select="msdyn_sequencenumber", _orderby="createdon")
    rest = driver.follow(page.document["@odata.nextLink"], {"Prefer": "odata.maxpagesize=2"})
    assert len(page.rows) == 2
    assert len(rest.rows) == 1


def test_annotations_are_given_to_those_who_ask(driver: Driver, jobs: Mapping[str, str]) -> None:
    path = f"{JOBS}({jobs['Änne']})"
    assert not any("@OData" in key for key in driver.get(path).document)
    row = driver.get(path, {"Prefer": 'odata.include-annotations="*"'}).document
    assert row["msdyn_status@OData.Community.Display.V1.FormattedValue"] == "Waiting"
    assert row["createdon@OData.Community.Display.V1.FormattedValue"] == "9/21/2026 2:13 PM"
    assert row["_createdby_value@OData.Community.Display.V1.FormattedValue"] == "# worker"
    assert row["_createdby_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "systemuser"
    assert row["_createdby_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] == "createdby"
    some = {"Prefer": 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"'}
    assert "_createdby_value@Microsoft.Dynamics.CRM.lookuplogicalname" not in driver.get(path, some).document


def test_apply_counts_by_group(driver: Driver, jobs: Mapping[str, str]) -> None:
    rows = driver.get(JOBS, _apply="groupby((msdyn_status),aggregate($count as n))", _orderby="n desc").rows
    assert rows[0] == {"msdyn_status": READY, "n": 2}
    assert {"msdyn_status": None, "n": 1} in rows


def test_apply_filters_first(driver: Driver, jobs: Mapping[str, str]) -> None:
    text = (
        "filter(contains(msdyn_name,'plan'))/aggregate($count as n,msdyn_numberofpackets with sum as sum,"
        "msdyn_numberofpackets with max as max,msdyn_numberofpackets with average as mean,createdon with min as first)"
    )
    (row,) = driver.get(JOBS, _apply=text).rows
    assert row == {"n": 2, "sum": 9, "max": 9, "mean": 9.0, "first": "2026-09-21T14:13:22Z"}


def test_apply_groups_by_a_related_column(driver: Driver, jobs: Mapping[str, str]) -> None:
    driver.packet(jobs["PLAN"], 1)
    text = "groupby((msdyn_IntegrationJobHeader/msdyn_status),aggregate($count as n))"
    assert driver.get(DETAILS, _apply=text).rows == [{"msdyn_IntegrationJobHeader": {"msdyn_status": READY}, "n": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "aggregate(msdyn_name with countdistinct as n)",
        "aggregate(msdyn_name with sum as n)",
        "aggregate($count)",
        "aggregate(nothing with max as n)",
        "groupby(msdyn_status)",
        "groupby((nothing))",
        "groupby((msdyn_status),top(1))",
        "filter(msdyn_status eq 1)",
        "compute(msdyn_status)",
        "nonsense",
    ],
)
def test_apply_that_is_refused(driver: Driver, text: str) -> None:
    assert driver.get(JOBS, _apply=text).code == "0x80060888"


def test_the_service_document_and_the_functions(driver: Driver) -> None:
    assert {each["name"] for each in driver.get("").rows} == {JOBS, DETAILS, "systemusers"}
    assert driver.get("WhoAmI()").status == 200
    assert driver.get("RetrieveVersion").document["Version"].startswith("9.2.")
    counts = driver.get("RetrieveTotalRecordCount(EntityNames=['msdyn_integrationjob'])").document
    assert counts["EntityRecordCountCollection"]["Values"] == [0, 0, 2]


def test_marking_a_job_as_failed(driver: Driver) -> None:
    job = driver.job(msdyn_status=PROCESSING, msdyn_responsejson='{"worker":"w"}')
    path = f"{JOBS}({job})/Microsoft.Dynamics.CRM.msdyn_MarkIntegrationJobAsFailedAsync"
    assert driver.api("POST", path, {"Error": "broken"}).status == 204
    row = driver.row(job)
    assert (row["msdyn_status"], row["msdyn_responsejson"]) == (192350005, '{"worker":"w"}')
    assert driver.api("POST", path, {"Error": None}).status == 204
    assert driver.row(job) == row
    assert driver.api("POST", path, {"Mistake": "x"}).status == 400
    assert driver.api("POST", path.replace(job, "11111111-2222-3333-4444-555555555555"), {}).code == "0x80040217"
    driver.control("action", {"installed": False})
    assert driver.api("POST", path, {"Error": None}).code == "0x8006088a"
