"""Microsoft's own Python SDK, unmodified, judges the sandbox: what it can do against Dataverse it can do here."""

import time
from collections.abc import Iterator
from typing import Any

import msal
import pytest
from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse import col
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError

from tests.conformance.sandbox_process import Raw
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.transport import tls_context

pytestmark = pytest.mark.filterwarnings("default")

JOB = "msdyn_integrationjob"
PACKET = "msdyn_integrationjobdetail"
WAITING, READY = 192_350_000, 192_350_001


class SignedIn:
    """A credential as the SDK wants one, over MSAL's own class and the sandbox's token endpoint."""

    def __init__(self, raw: Raw) -> None:
        self._scope = f"{raw.details['url']}/.default"
        self._http = MsalHttpClient(tls_context(raw.details["ca_file"]))  # type: ignore[arg-type]  # a path as text
        self._app = msal.ConfidentialClientApplication(
            raw.details["client_id"],
            client_credential=raw.details["client_secret"],
            authority=raw.details["authority"],
            instance_discovery=False,
            http_client=self._http,
        )

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        result = self._app.acquire_token_for_client(scopes=[self._scope])
        return AccessToken(result["access_token"], int(time.time()) + int(result["expires_in"]))

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def sdk(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataverseClient]:
    """The SDK, signed in; it trusts what REQUESTS_CA_BUNDLE names."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", raw.details["ca_file"])
    monkeypatch.setenv("CURL_CA_BUNDLE", raw.details["ca_file"])
    credential = SignedIn(raw)
    client = DataverseClient(raw.details["url"], credential)
    yield client
    client.close()
    credential.close()


def _job(number: int = 1, **columns: Any) -> dict[str, Any]:
    return {"msdyn_name": f"job {number}", "msdyn_numberofpackets": number, "msdyn_status": WAITING, **columns}


def _row(sdk: DataverseClient, table: str, row_id: str, **options: Any) -> Any:
    """Retrieve a row that is there."""
    row = sdk.records.retrieve(table, row_id, **options)
    assert row is not None
    return row


def test_one_row_is_created_retrieved_updated_and_deleted(sdk: DataverseClient) -> None:
    job = sdk.records.create(JOB, _job(3))

    assert _row(sdk, JOB, job)["msdyn_numberofpackets"] == 3
    sdk.records.update(JOB, job, {"msdyn_status": READY})
    assert _row(sdk, JOB, job, select=["msdyn_status"])["msdyn_status"] == READY
    sdk.records.delete(JOB, job)
    assert sdk.records.retrieve(JOB, job) is None


def test_many_rows_are_created_and_updated_in_one_call(sdk: DataverseClient) -> None:
    jobs = sdk.records.create(JOB, [_job(number) for number in range(1, 6)])
    sdk.records.update(JOB, jobs, {"msdyn_name": "the same"})
    sdk.records.update(JOB, jobs[:2], [{"msdyn_name": "first"}, {"msdyn_name": "second"}])

    names = [_row(sdk, JOB, job)["msdyn_name"] for job in jobs]

    assert names == ["first", "second", "the same", "the same", "the same"]


def test_rows_are_listed_by_filter_in_order_and_page_by_page(sdk: DataverseClient) -> None:
    sdk.records.create(JOB, [_job(number) for number in range(1, 24)])
    wanted = (col("msdyn_numberofpackets") > 2) & (col("msdyn_status") == WAITING)

    listed = sdk.records.list(JOB, filter=wanted, orderby=["msdyn_numberofpackets desc"], page_size=5)
    pages = list(sdk.records.list_pages(JOB, select=["msdyn_name"], orderby=["msdyn_name asc"], page_size=10))
    top = sdk.records.list(JOB, filter="contains(msdyn_name,'job 1')", top=3)

    assert [row["msdyn_numberofpackets"] for row in listed] == list(range(23, 2, -1))
    assert [len(list(page)) for page in pages] == [10, 10, 3]
    assert len(list(top)) == 3


def test_labels_are_resolved_and_formatted(sdk: DataverseClient) -> None:
    job = sdk.records.create(JOB, _job(msdyn_status="Ready"))
    annotation = "OData.Community.Display.V1.FormattedValue"

    (row,) = sdk.records.list(JOB, include_annotations=annotation)

    assert row["msdyn_status"] == READY
    assert row[f"msdyn_status@{annotation}"] == "Ready"
    assert _row(sdk, JOB, job)["msdyn_status"] == READY


def test_a_packet_points_to_its_job_and_is_expanded_from_it(sdk: DataverseClient) -> None:
    job = sdk.records.create(JOB, _job())
    header = {"msdyn_IntegrationJobHeader@odata.bind": f"/msdyn_integrationjobs({job})"}
    sdk.records.create(PACKET, [{"msdyn_sequencenumber": number, **header} for number in (1, 2)])

    packets = list(sdk.records.list(PACKET, filter=f"_msdyn_integrationjobheader_value eq {job}"))
    (expanded,) = sdk.records.list(PACKET, filter="msdyn_sequencenumber eq 2", expand=["msdyn_IntegrationJobHeader"])

    assert {row["_msdyn_integrationjobheader_value"] for row in packets} == {job}
    assert expanded["msdyn_IntegrationJobHeader"]["msdyn_name"] == "job 1"


def test_a_batch_with_a_change_set_is_one_transaction(sdk: DataverseClient) -> None:
    batch = sdk.batch.new()
    with batch.changeset() as changes:
        job = changes.records.create(JOB, _job())
        changes.records.update(JOB, job, {"msdyn_name": "renamed in the same transaction"})
    batch.records.list(JOB, top=5)

    result = batch.execute()

    assert not result.has_errors, [one.error_message for one in result.failed]
    names = [row["msdyn_name"] for row in sdk.records.list(JOB)]
    assert names == ["renamed in the same transaction"]


def test_a_change_set_that_fails_leaves_nothing(sdk: DataverseClient) -> None:
    batch = sdk.batch.new()
    with batch.changeset() as changes:
        changes.records.create(JOB, _job())
        changes.records.update(JOB, "00000000-0000-0000-0000-000000000001", {"msdyn_name": "nobody"})

    result = batch.execute(continue_on_error=True)

    assert result.has_errors
    assert list(sdk.records.list(JOB)) == []


def test_fetchxml_joins_and_pages(sdk: DataverseClient) -> None:
    job = sdk.records.create(JOB, _job(7))
    header = {"msdyn_IntegrationJobHeader@odata.bind": f"/msdyn_integrationjobs({job})"}
    sdk.records.create(PACKET, [{"msdyn_sequencenumber": number, **header} for number in range(1, 8)])
    query = f"""
        <fetch count="3"><entity name="{PACKET}"><attribute name="msdyn_sequencenumber" /><order
        attribute="msdyn_sequencenumber" /><link-entity name="{JOB}" from="msdyn_integrationjobid"
        to="msdyn_integrationjobheader" alias="j"><filter><condition attribute="msdyn_numberofpackets" operator="eq"
        value="7" /></filter></link-entity></entity></fetch>"""

    rows = sdk.query.fetchxml(query).execute()

    assert [row["msdyn_sequencenumber"] for row in rows] == list(range(1, 8))


def test_the_tables_describe_themselves(sdk: DataverseClient) -> None:
    table = sdk.tables.get(JOB)

    assert table is not None
    assert table["entity_set_name"] == "msdyn_integrationjobs"
    assert sdk.tables.get("no_such_table") is None


@pytest.mark.parametrize(
    ("table", "filter_text", "status"), [(JOB, "no_such_column eq 1", 400), (JOB, "msdyn_name eq", 400)]
)
def test_a_bad_query_is_its_http_error(sdk: DataverseClient, table: str, filter_text: str, status: int) -> None:
    with pytest.raises(HttpError) as raised:
        sdk.records.list(table, filter=filter_text)

    assert raised.value.status_code == status
    assert not raised.value.is_transient


def test_a_row_that_is_gone_is_404(sdk: DataverseClient) -> None:
    with pytest.raises(HttpError) as raised:
        sdk.records.delete(JOB, "00000000-0000-0000-0000-000000000001")

    assert raised.value.status_code == 404
    assert raised.value.details["service_error_code"] in ("", "0x80040217")  # the SDK sends If-Match: *


def test_an_id_that_is_taken_is_412(sdk: DataverseClient) -> None:
    job = sdk.records.create(JOB, _job())

    with pytest.raises(HttpError) as raised:
        sdk.records.create(JOB, _job(msdyn_integrationjobid=job))

    assert raised.value.status_code == 412
    assert not raised.value.is_transient


def test_text_that_is_too_long_is_refused_with_the_documented_code(sdk: DataverseClient) -> None:
    with pytest.raises(HttpError) as raised:
        sdk.records.create(JOB, _job(msdyn_name="x" * 251))

    assert raised.value.status_code == 400
    assert raised.value.details["service_error_code"] == "0x80044331"


def test_a_limit_that_is_hit_is_a_transient_error_with_its_wait(sdk: DataverseClient, raw: Raw) -> None:
    sdk.records.list(JOB)
    raw.control("faults", {"rules": [{"kind": "throttle", "share": 1, "seconds": 1}]})
    try:
        with pytest.raises(HttpError) as raised:
            sdk.records.list(JOB)
    finally:
        raw.control("faults", {"rules": []})

    assert raised.value.status_code == 429
    assert raised.value.is_transient
    assert raised.value.details["retry_after"] == 1
