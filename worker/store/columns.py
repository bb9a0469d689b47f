"""The two tables by their names in Dataverse. Spelled here and nowhere else; the case of each matters."""

from typing import Final


class JobTable:
    """msdyn_integrationjob: one row a job."""

    ENTITY_SET: Final = "msdyn_integrationjobs"
    LOGICAL_NAME: Final = "msdyn_integrationjob"
    ID: Final = "msdyn_integrationjobid"
    NAME: Final = "msdyn_name"
    STATUS: Final = "msdyn_status"
    TYPE: Final = "msdyn_type"
    EXPECTED_PACKETS: Final = "msdyn_numberofpackets"
    REGARDING_ENTITY: Final = "msdyn_regardingentity"
    REGARDING_ENTITY_ID: Final = "msdyn_regardingentityid"
    RESPONSE_JSON: Final = "msdyn_responsejson"
    STATE: Final = "statecode"
    CREATED_ON: Final = "createdon"
    MODIFIED_ON: Final = "modifiedon"

    MARK_AS_FAILED: Final = "Microsoft.Dynamics.CRM.msdyn_MarkIntegrationJobAsFailedAsync"


class PacketTable:
    """msdyn_integrationjobdetail: one row a packet."""

    ENTITY_SET: Final = "msdyn_integrationjobdetails"
    LOGICAL_NAME: Final = "msdyn_integrationjobdetail"
    ID: Final = "msdyn_integrationjobdetailid"
    JOB: Final = "msdyn_integrationjobheader"
    JOB_NAVIGATION: Final = "msdyn_IntegrationJobHeader"
    JOB_VALUE: Final = "_msdyn_integrationjobheader_value"
    SEQUENCE_NUMBER: Final = "msdyn_sequencenumber"
    CHANGES_JSON: Final = "msdyn_changesjson"
    FULL_JSON: Final = "msdyn_fulljson"
    STATE: Final = "statecode"
    CREATED_ON: Final = "createdon"


JOB_COLUMNS: Final = (
    JobTable.ID,
    JobTable.NAME,
    JobTable.STATUS,
    JobTable.TYPE,
    JobTable.EXPECTED_PACKETS,
    JobTable.REGARDING_ENTITY,
    JobTable.REGARDING_ENTITY_ID,
    JobTable.STATE,
    JobTable.CREATED_ON,
    JobTable.MODIFIED_ON,
)
"""What is read of a job to decide it; msdyn_responsejson, which may be large, only where a claim may stand in it."""
