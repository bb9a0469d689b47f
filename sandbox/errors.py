"""Every refusal of the Web API: its HTTP status, its code and its sentence, as the real service words them.

One place, so that the table in the protocol notes can be read off this module. What Entra ID answers stands in
`sandbox.entra`, not here.
"""

from __future__ import annotations


class DataverseError(Exception):
    """A refusal in the Web API's own form.

    Args:
        status: The HTTP status.
        code: What stands in `error.code`; the service leaves it empty now and then.
        message: What stands in `error.message`.
        retry_after: Seconds for the `Retry-After` header, where the service names one.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def bad_query(message: str) -> DataverseError:
    """A query option that does not parse, or names what is not there."""
    return DataverseError(400, "0x80060888", message)


def unknown_property(name: str, table: str) -> DataverseError:
    """A column or navigation property in a query that the table does not have."""
    return bad_query(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'.")


def unsupported_option(name: str) -> DataverseError:
    """A query option that the Web API does not know."""
    return bad_query(f"The query parameter {name} is not supported.")


def bad_payload(entity_set: str, detail: str) -> DataverseError:
    """A request body that does not fit the table's types."""
    return DataverseError(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{entity_set}', For more information on this "
        "error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : "
        f"Microsoft.OData.ODataException: {detail}",
    )


def invalid_property(name: str, table: str) -> DataverseError:
    """A column in a request body that the table does not have."""
    return DataverseError(
        400,
        "0x0",
        "An error occurred while validating input parameters: Microsoft.OData.ODataException: "
        f"Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{table}'.",
    )


def undeclared_navigation(name: str) -> DataverseError:
    """An `@odata.bind` to a navigation property that is not there, or in the wrong case."""
    return DataverseError(
        400,
        "0x0",
        "An error occurred while validating input parameters: Microsoft.OData.ODataException: An undeclared property "
        f"'{name}' which only has property annotations in the payload but no property value was found in the payload. "
        "In OData, only declared navigation properties and declared named streams can be represented as properties "
        "without values.",
    )


def direct_lookup_write() -> DataverseError:
    """A lookup written by its value instead of by its navigation property."""
    return bad_query(
        "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead."
    )


def text_too_long(column: str, table: str, limit: int) -> DataverseError:
    """A text column given more than it holds."""
    return DataverseError(
        400,
        "0x80044331",
        f"A validation error occurred. The length of the '{column}' attribute of the '{table}' entity exceeded the "
        f"maximum allowed length of '{limit}'.",
    )


def number_out_of_range(value: int, column: str, table: str, low: int, high: int) -> DataverseError:
    """A whole number outside the column's range."""
    return DataverseError(
        400,
        "0x80044330",
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        f"valid range. Accepted Values: {low} to {high}",
    )


def option_out_of_range(value: int, column: str, table: str, accepted: tuple[int, ...]) -> DataverseError:
    """A picklist value that is not among the column's options."""
    options = ",".join(str(option) for option in accepted)
    return DataverseError(
        400,
        "0x8004431a",
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        f"valid range. Accepted Values: {options}",
    )


def invalid_state(column: str, value: int, state: int) -> DataverseError:
    """A status reason that does not belong to the row's state."""
    return DataverseError(
        400, "0x80048408", f"{value} is not a valid status code for state code {state} on column '{column}'."
    )


def row_gone(table: str, key: str) -> DataverseError:
    """A row that is not there, or no longer."""
    return DataverseError(404, "0x80040217", f"Entity '{table}' With Id = {key} Does Not Exist")


def conditional_row_gone(table: str, key: str) -> DataverseError:
    """The same under `If-Match`, where the service leaves the code out."""
    return DataverseError(404, "", f"{table} With Id = {key} Does Not Exist")


def no_such_resource(segment: str) -> DataverseError:
    """A path that leads nowhere: wrong case, wrong name, solution not installed."""
    return DataverseError(404, "0x8006088a", f"Resource not found for the segment '{segment}'.")


def method_not_allowed(method: str) -> DataverseError:
    """A verb that the resource does not answer."""
    return DataverseError(405, "0x80060888", f"The requested resource does not support http method '{method}'.")


def version_mismatch() -> DataverseError:
    """An ETag that no longer matches; the service leaves the code out."""
    return DataverseError(412, "", "The version of the existing record doesn't match the RowVersion property provided.")


def concurrency_not_enabled(table: str) -> DataverseError:
    """An ETag sent for a table without optimistic concurrency."""
    return DataverseError(
        400,
        "0x8006088d",
        f"Optimistic concurrency isn't enabled for entity type {table}. The IfVersionMatches value of "
        "ConcurrencyBehavior can only be used if optimistic concurrency is enabled.",
    )


def duplicate_key() -> DataverseError:
    """A create under an id that is taken."""
    return DataverseError(412, "0x80040237", "A record with matching key values already exists.")


def aggregate_limit() -> DataverseError:
    """More than 50,000 rows to aggregate."""
    return DataverseError(
        400,
        "0x8004E023",
        "AggregateQueryRecordLimit exceeded. Cannot perform this operation.",
    )


def bad_fetch(message: str) -> DataverseError:
    """FetchXML that does not parse, or asks for what is not there."""
    return DataverseError(400, "0x80041103", message)


def privilege_missing(user: str, privilege: str, table: str) -> DataverseError:
    """The caller's security role does not allow it."""
    return DataverseError(
        403,
        "0x80040220",
        f"Principal user (Id={user}, type=8, roleCount=1, privilegeCount=0, accessMode=4) is missing {privilege} "
        f"privilege on OTC for entity '{table}'. context.Caller={user}.",
    )


def not_a_member() -> DataverseError:
    """A valid token whose application is no user of this environment."""
    return DataverseError(403, "0x80072560", "The user is not a member of the organization.")


def payload_too_large() -> DataverseError:
    """More bytes in one request than the service takes."""
    return DataverseError(413, "0x80060888", "The request entity is too large.")


def too_many_operations(limit: int) -> DataverseError:
    """More operations in one batch, or one change set, than allowed."""
    return bad_query(
        "The current batch message contains too many parts. Only batch messages with a maximum number of "
        f"'{limit}' query operations and change sets are allowed."
    )


def not_imitated(what: str) -> DataverseError:
    """Something the real service does and the sandbox does not; said plainly instead of done wrongly."""
    return DataverseError(501, "0x80040800", f"The sandbox does not imitate {what}.")


def unexpected() -> DataverseError:
    """What the service says when it has no better word."""
    return DataverseError(500, "0x80040216", "An unexpected error occurred.")
