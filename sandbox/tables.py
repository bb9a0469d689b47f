"""The tables of the sandbox: the two of the integration jobs, and the users that write them. Data, no behaviour.

Names, types and limits are those of Microsoft's entity reference. The one liberty: `msdyn_type` has a second option, as
a customer could add one, so that clients can create a job of a type that nobody handles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from sandbox.columns import MAX_INT, MEMO_LENGTH, REFERENCES, Column, Kind, Option

JOB = "msdyn_integrationjob"
DETAIL = "msdyn_integrationjobdetail"
USER = "systemuser"

WAITING, READY, SKIPPED, PROCESSING, SUCCEEDED, FAILED = range(192350000, 192350006)
STATUS_LABELS = MappingProxyType(
    {
        WAITING: "Waiting",
        READY: "Ready",
        SKIPPED: "Skipped",
        PROCESSING: "Processing",
        SUCCEEDED: "Succeeded",
        FAILED: "Failed",
    }
)
FINAL_STATUSES = frozenset({SKIPPED, SUCCEEDED, FAILED})
PROJECT_CLIENT_TYPE = 192350000
OTHER_TYPE = 192350001

ORGANIZATION_ID = "5a0d0b0e-0000-4000-8000-00000000000a"
BUSINESS_UNIT_ID = "5a0d0b0e-0000-4000-8000-00000000000b"
TENANT_ID = "5a0d0b0e-0000-4000-8000-000000000001"

STATES = (Option(0, "Active"), Option(1, "Inactive"))
STATUS_REASONS = (Option(1, "Active", state=0), Option(2, "Inactive", state=1))


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the Web API shows it.

    Args:
        name: Logical name, also the name in the database.
        entity_set: The collection's name in URLs.
        schema_name: The name with capitals, for the metadata.
        label: What people read.
        description: The reference's sentence about it.
        columns: Its columns, primary id first.
        primary_name: The column that names a row.
        children: Collection-valued navigation properties: name to the (table, lookup column) that points back.
        object_type_code: The number that messages and metadata carry.
    """

    name: str
    entity_set: str
    schema_name: str
    label: str
    description: str
    columns: tuple[Column, ...]
    primary_name: str
    children: tuple[tuple[str, str, str], ...] = ()
    object_type_code: int = 10000

    @property
    def primary_id(self) -> str:
        """The primary key column."""
        return self.columns[0].name

    def column(self, name: str) -> Column | None:
        """A column by its logical name."""
        return _BY_NAME[self.name].get(name)

    def property(self, name: str) -> Column | None:
        """A column by its name in the Web API."""
        return _BY_PROPERTY[self.name].get(name)

    def navigation(self, name: str) -> Column | None:
        """A lookup by its single-valued navigation property."""
        return _BY_NAVIGATION[self.name].get(name)

    def child(self, name: str) -> tuple[Table, Column] | None:
        """A collection-valued navigation property: the table it leads to and the lookup that points back."""
        for navigation, table, lookup in self.children:
            if navigation == name:
                target = TABLES[table]
                column = target.column(lookup)
                assert column is not None, lookup  # noqa: S101 - the data above names it
                return target, column
        return None


def _primary(name: str) -> Column:
    return Column(name, Kind.UNIQUEIDENTIFIER, label="Id", updatable=False)


def _user_lookup(name: str, label: str, *, navigation: str | None = None) -> Column:
    """A lookup to a user: stored as the user's row number, shown as its id."""
    return Column(
        name,
        Kind.LOOKUP,
        label=label,
        target=USER,
        navigation=navigation or name,
        creatable=False,
        updatable=False,
        expression=f"(SELECT u.systemuserid FROM {USER} u WHERE u.rowid = {{row}}.{name})",  # noqa: S608 - our own names
    )


def _bookkeeping() -> tuple[Column, ...]:
    """The columns every table of a user has."""
    return (
        Column("statecode", Kind.STATE, label="Status", options=STATES, default=0),
        Column("statuscode", Kind.STATUS, label="Status Reason", options=STATUS_REASONS, default=1),
        Column("createdon", Kind.DATETIME, label="Created On", creatable=False, updatable=False),
        Column("modifiedon", Kind.DATETIME, label="Modified On", creatable=False, updatable=False),
        Column("overriddencreatedon", Kind.DATETIME, label="Record Created On", updatable=False),
        Column("versionnumber", Kind.BIGINT, label="Version Number", creatable=False, updatable=False),
        _user_lookup("createdby", "Created By"),
        _user_lookup("modifiedby", "Modified By"),
        replace(_user_lookup("ownerid", "Owner"), kind=Kind.OWNER, creatable=True, updatable=True),
        Column(
            "owningbusinessunit",
            Kind.LOOKUP,
            label="Owning Business Unit",
            creatable=False,
            updatable=False,
            expression=f"'{BUSINESS_UNIT_ID}'",
        ),
    )


JOB_TABLE = Table(
    name=JOB,
    entity_set="msdyn_integrationjobs",
    schema_name="msdyn_integrationjob",
    label="Integration Job",
    description="Staging table for integration data",
    primary_name="msdyn_name",
    object_type_code=10311,
    children=(("msdyn_msdyn_integrationjob_msdyn_integrationjob", DETAIL, "msdyn_integrationjobheader"),),
    columns=(
        _primary("msdyn_integrationjobid"),
        Column("msdyn_name", Kind.STRING, "msdyn_Name", "Name", max_length=250),
        Column(
            "msdyn_numberofpackets",
            Kind.INTEGER,
            "msdyn_NumberOfPackets",
            "Number of Packets",
            "The expected number of packets to be received.",
            minimum=0,
            maximum=MAX_INT,
            required=True,
        ),
        Column(
            "msdyn_regardingentity",
            Kind.STRING,
            "msdyn_RegardingEntity",
            "Regarding Entity",
            "The logical name of the related table.",
            max_length=100,
            required=True,
        ),
        Column(
            "msdyn_regardingentityid",
            Kind.STRING,
            "msdyn_RegardingEntityId",
            "Regarding Entity Id",
            "The primary id of the related row.",
            max_length=100,
            required=True,
        ),
        Column(
            "msdyn_responsejson",
            Kind.MEMO,
            "msdyn_ResponseJson",
            "Response Json",
            "The response of the integration job in JSON format",
            max_length=MEMO_LENGTH,
        ),
        Column(
            "msdyn_status",
            Kind.PICKLIST,
            "msdyn_Status",
            "Status",
            "The status of the integration job.",
            options=tuple(Option(value, label) for value, label in STATUS_LABELS.items()),
            required=True,
        ),
        Column(
            "msdyn_type",
            Kind.PICKLIST,
            "msdyn_Type",
            "Type",
            "The type of integration job",
            options=(Option(PROJECT_CLIENT_TYPE, "MS Project Client"), Option(OTHER_TYPE, "Another Client")),
            required=True,
        ),
        *_bookkeeping(),
    ),
)

DETAIL_TABLE = Table(
    name=DETAIL,
    entity_set="msdyn_integrationjobdetails",
    schema_name="msdyn_integrationjobdetail",
    label="Integration Job Detail",
    description="Staging table for integration data lines",
    primary_name="msdyn_name",
    object_type_code=10312,
    columns=(
        _primary("msdyn_integrationjobdetailid"),
        Column("msdyn_name", Kind.STRING, "msdyn_Name", "Name", max_length=250),
        Column(
            "msdyn_integrationjobheader",
            Kind.LOOKUP,
            "msdyn_IntegrationJobHeader",
            "Integration Job Header",
            "The integration job the detail belongs to.",
            target=JOB,
            navigation="msdyn_IntegrationJobHeader",
        ),
        Column(
            "msdyn_sequencenumber",
            Kind.INTEGER,
            "msdyn_SequenceNumber",
            "Sequence Number",
            "The sequence number of the detail",
            minimum=0,
            maximum=MAX_INT,
        ),
        Column("msdyn_changesjson", Kind.MEMO, "msdyn_ChangesJson", "Changes Json", max_length=MEMO_LENGTH),
        Column("msdyn_fulljson", Kind.MEMO, "msdyn_FullJson", "Full Json", max_length=MEMO_LENGTH),
        *_bookkeeping(),
    ),
)

USER_TABLE = Table(
    name=USER,
    entity_set="systemusers",
    schema_name="SystemUser",
    label="User",
    description="Person or application with access to the environment.",
    primary_name="fullname",
    object_type_code=8,
    columns=(
        _primary("systemuserid"),
        Column("fullname", Kind.STRING, "FullName", "Full Name", max_length=200),
        Column("domainname", Kind.STRING, "DomainName", "User Name", max_length=1024),
        Column("internalemailaddress", Kind.STRING, "InternalEMailAddress", "Primary Email", max_length=100),
        Column("applicationid", Kind.UNIQUEIDENTIFIER, "ApplicationId", "Application ID"),
        Column("isdisabled", Kind.BOOLEAN, "IsDisabled", "Status", default=0),
        Column("createdon", Kind.DATETIME, "CreatedOn", "Created On", creatable=False, updatable=False),
        Column("modifiedon", Kind.DATETIME, "ModifiedOn", "Modified On", creatable=False, updatable=False),
        Column("versionnumber", Kind.BIGINT, "VersionNumber", "Version Number", creatable=False, updatable=False),
        Column(
            "businessunitid",
            Kind.LOOKUP,
            "BusinessUnitId",
            "Business Unit",
            creatable=False,
            updatable=False,
            expression=f"'{BUSINESS_UNIT_ID}'",
        ),
    ),
)

TABLES = MappingProxyType({table.name: table for table in (JOB_TABLE, DETAIL_TABLE, USER_TABLE)})
ENTITY_SETS = MappingProxyType({table.entity_set: table for table in TABLES.values()})

_BY_NAME = {table.name: {column.name: column for column in table.columns} for table in TABLES.values()}
_BY_PROPERTY = {table.name: {column.property_name: column for column in table.columns} for table in TABLES.values()}
_BY_NAVIGATION = {
    table.name: {
        column.navigation: column for column in table.columns if column.kind in REFERENCES and column.navigation
    }
    for table in TABLES.values()
}
