"""What the environment says about itself."""

import json
from urllib.parse import quote

import pytest
from defusedxml.ElementTree import fromstring

from tests.unit.sandbox.inprocess import Driver

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
JOB = "EntityDefinitions(LogicalName='msdyn_integrationjob')"


def test_what_a_table_can_do(driver: Driver) -> None:
    document = driver.get(JOB, _select="IsOptimisticConcurrencyEnabled,ChangeTrackingEnabled").document
    assert (document["IsOptimisticConcurrencyEnabled"], document["ChangeTrackingEnabled"]) == (True, True)
    driver.control("tables", {"table": "msdyn_integrationjob", "optimistic_concurrency": False})
    assert driver.get(JOB).document["IsOptimisticConcurrencyEnabled"] is False


def test_tables_are_found_by_name_and_id(driver: Driver) -> None:
    (row,) = driver.get("EntityDefinitions", _filter="LogicalName eq 'msdyn_integrationjobdetail'").rows
    assert row["EntitySetName"] == "msdyn_integrationjobdetails"
    assert row["PrimaryIdAttribute"] == "msdyn_integrationjobdetailid"
    assert driver.get(f"EntityDefinitions({row['MetadataId']})").document["LogicalName"] == row["LogicalName"]
    assert len(driver.get("EntityDefinitions", _filter="IsPrivate eq false and (IsCustomEntity eq true)").rows) == 2
    assert driver.get("EntityDefinitions", _filter="LogicalName eq 'account'").rows == []
    assert driver.get("EntityDefinitions(LogicalName='account')").status == 404


def test_columns_with_their_limits(driver: Driver) -> None:
    columns = {row["LogicalName"]: row for row in driver.get(f"{JOB}/Attributes").rows}
    assert columns["msdyn_name"]["MaxLength"] == 250
    assert columns["msdyn_responsejson"]["MaxLength"] == 1_048_576
    assert columns["msdyn_numberofpackets"]["MaxValue"] == 2_147_483_647
    assert columns["msdyn_status"]["RequiredLevel"]["Value"] == "ApplicationRequired"
    assert columns["ownerid"]["Targets"] == ["systemuser"]
    texts = driver.get(f"{JOB}/Attributes", _filter="AttributeType eq 'String'", _select="LogicalName").rows
    assert {row["LogicalName"] for row in texts} == {"msdyn_name", "msdyn_regardingentity", "msdyn_regardingentityid"}
    one = driver.get(f"{JOB}/Attributes(LogicalName='msdyn_name')")
    assert one.document["@odata.type"] == "#Microsoft.Dynamics.CRM.StringAttributeMetadata"
    cast = driver.get(f"{JOB}/Attributes(LogicalName='msdyn_name')/Microsoft.Dynamics.CRM.StringAttributeMetadata")
    assert cast.document["MaxLength"] == 250


def test_picklists_with_their_options(driver: Driver) -> None:
    path = f"{JOB}/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
    rows = driver.get(path, _select="LogicalName", _expand="OptionSet($select=Options)").rows
    options = {row["LogicalName"]: row["OptionSet"]["Options"] for row in rows}
    labels = [(option["Value"], option["Label"]["UserLocalizedLabel"]["Label"]) for option in options["msdyn_status"]]
    assert labels[0] == (192350000, "Waiting")
    assert [label for _, label in labels] == ["Waiting", "Ready", "Skipped", "Processing", "Succeeded", "Failed"]
    one = driver.get(
        f"{JOB}/Attributes(LogicalName='msdyn_status')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata/OptionSet"
    )
    assert len(one.document["Options"]) == 6


def test_relationships(driver: Driver) -> None:
    (relation,) = driver.get(f"{JOB}/OneToManyRelationships").rows
    assert relation["SchemaName"] == "msdyn_msdyn_integrationjob_msdyn_integrationjob"
    assert relation["CascadeConfiguration"]["Delete"] == "Cascade"
    assert driver.get(f"{JOB}/Keys").rows == []
    by_name = "SchemaName eq 'msdyn_msdyn_integrationjob_msdyn_integrationjob'"
    (found,) = driver.get("RelationshipDefinitions", _filter=by_name).rows
    assert found["ReferencingAttribute"] == "msdyn_integrationjobheader"


def test_typed_columns_in_one_request(driver: Driver) -> None:
    where = {"PropertyName": "LogicalName", "ConditionOperator": "Equals"}
    query = {
        "Criteria": {"Conditions": [{**where, "Value": {"Type": "System.String", "Value": "msdyn_integrationjob"}}]},
        "AttributeQuery": {
            "Properties": {"PropertyNames": ["LogicalName", "MaxLength"]},
            "Criteria": {"Conditions": [{**where, "Value": {"Type": "System.String", "Value": "msdyn_name"}}]},
        },
    }
    reply = driver.get(f"RetrieveMetadataChanges(Query=@p1)?@p1={quote(json.dumps(query))}")
    (column,) = reply.document["EntityMetadata"][0]["Attributes"]
    assert (column["LogicalName"], column["MaxLength"]) == ("msdyn_name", 250)
    assert driver.get("RetrieveMetadataChanges(Query=@p1)").status == 400


@pytest.mark.parametrize(
    "path",
    [
        f"{JOB}?$select=Nothing",
        f"{JOB}?$expand=Nothing",
        "EntityDefinitions?$filter=Nothing eq 1",
        "EntityDefinitions?$filter=LogicalName gt 'a'",
        "EntityDefinitions?$filter=LogicalName",
        "EntityDefinitions(5)",
    ],
)
def test_what_is_refused(driver: Driver, path: str) -> None:
    assert driver.get(path).status == 400


def test_definitions_are_not_written(driver: Driver) -> None:
    assert driver.api("POST", "EntityDefinitions", {}).status == 501


def test_the_model_names_everything_that_rows_have(driver: Driver) -> None:
    job = driver.job()
    driver.packet(job, 0)
    schema = fromstring(driver.get("$metadata").body).find(f".//{EDM}Schema")
    assert schema is not None
    types = {each.get("Name"): each for each in schema.findall(f"{EDM}EntityType")}
    for name in ("msdyn_integrationjob", "msdyn_integrationjobdetail", "systemuser"):
        (row, *_) = driver.get(f"{name}s").rows
        properties = {each.get("Name") for each in types[name].findall(f"{EDM}Property")}
        assert {key for key in row if not key.startswith("@")} == properties
    navigation = {
        each.get("Name"): each for each in types["msdyn_integrationjobdetail"].findall(f"{EDM}NavigationProperty")
    }
    header = navigation["msdyn_IntegrationJobHeader"]
    assert header.get("Type") == "mscrm.msdyn_integrationjob"
    assert header.get("Partner") == "msdyn_msdyn_integrationjob_msdyn_integrationjob"


def test_every_type_the_model_mentions_is_in_it(driver: Driver) -> None:
    root = fromstring(driver.get("$metadata").body)
    declared = {each.get("Name") for kind in ("EntityType", "ComplexType") for each in root.iter(f"{EDM}{kind}")}
    mentioned = {
        str(value).removeprefix("Collection(").rstrip(")").removeprefix("mscrm.")
        for each in root.iter()
        for key, value in each.attrib.items()
        if key in {"Type", "BaseType"} and "mscrm." in str(value)
    }
    assert mentioned <= declared
    sets = {each.get("Name") for each in root.iter(f"{EDM}EntitySet")}
    targets = {each.get("Target") for each in root.iter(f"{EDM}NavigationPropertyBinding")}
    assert targets <= sets
    partners = {
        (kind.get("Name"), each.get("Name")): each.get("Partner")
        for kind in root.iter(f"{EDM}EntityType")
        for each in kind.findall(f"{EDM}NavigationProperty")
    }
    for (_, name), partner in partners.items():
        assert partner is None or any(other == partner and back == name for (_, other), back in partners.items())
