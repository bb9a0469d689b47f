"""What a column is: its type, its limits, how it is stored, and how it is called in the Web API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sandbox.clock import iso

MAX_INT = 2_147_483_647
MEMO_LENGTH = 1_048_576


class Kind(Enum):
    """A column type, named as the service's metadata name it, with its type in OData."""

    UNIQUEIDENTIFIER = ("Uniqueidentifier", "Edm.Guid")
    STRING = ("String", "Edm.String")
    MEMO = ("Memo", "Edm.String")
    INTEGER = ("Integer", "Edm.Int32")
    BIGINT = ("BigInt", "Edm.Int64")
    BOOLEAN = ("Boolean", "Edm.Boolean")
    PICKLIST = ("Picklist", "Edm.Int32")
    STATE = ("State", "Edm.Int32")
    STATUS = ("Status", "Edm.Int32")
    DATETIME = ("DateTime", "Edm.DateTimeOffset")
    LOOKUP = ("Lookup", "Edm.Guid")
    OWNER = ("Owner", "Edm.Guid")

    @property
    def type_name(self) -> str:
        """The metadata's `AttributeType`."""
        return self.value[0]

    @property
    def edm(self) -> str:
        """The OData type."""
        return self.value[1]


TEXT = frozenset({Kind.STRING, Kind.MEMO})
WHOLE_NUMBERS = frozenset({Kind.INTEGER, Kind.BIGINT, Kind.PICKLIST, Kind.STATE, Kind.STATUS})
OPTION_SETS = frozenset({Kind.PICKLIST, Kind.STATE, Kind.STATUS})
REFERENCES = frozenset({Kind.LOOKUP, Kind.OWNER})
GUIDS = frozenset({Kind.UNIQUEIDENTIFIER, *REFERENCES})


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a picklist.

    Args:
        value: The number.
        label: What people read.
        state: For a status reason, the state it belongs to.
    """

    value: int
    label: str
    state: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        name: The logical name: what FetchXML and the database call it.
        kind: Its type.
        schema_name: The name with capitals, for the metadata.
        label: What people read.
        description: The reference's sentence about it.
        max_length: For text, in UTF-16 units.
        minimum: For whole numbers.
        maximum: For whole numbers.
        options: For picklists.
        target: For lookups, the table they point to.
        navigation: For lookups, the name of the navigation property.
        creatable: Whether a create may name it.
        updatable: Whether an update may name it.
        required: Whether the reference calls it ApplicationRequired (which the Web API does not enforce).
        default: Its value in a new row.
        expression: SQL over `{row}` where the column is not stored as it is shown.
    """

    name: str
    kind: Kind
    schema_name: str = ""
    label: str = ""
    description: str = ""
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    options: tuple[Option, ...] = ()
    target: str | None = None
    navigation: str | None = None
    creatable: bool = True
    updatable: bool = True
    required: bool = False
    default: int | str | None = None
    expression: str | None = None

    @property
    def property_name(self) -> str:
        """Its name in the Web API: lookups read as `_name_value`."""
        return f"_{self.name}_value" if self.kind in REFERENCES else self.name

    def sql(self, row: str) -> str:
        """The SQL that reads it from the row of that alias."""
        if self.expression is not None:
            return self.expression.format(row=row)
        return f"{row}.{self.name}"

    def shown(self, stored: int | str | None) -> int | str | bool | None:
        """A stored value as the Web API writes it."""
        if stored is None:
            return None
        if self.kind is Kind.DATETIME:
            return iso(int(stored))
        if self.kind is Kind.BOOLEAN:
            return bool(stored)
        return stored

    def option_label(self, value: int) -> str | None:
        """The label of one of its options."""
        return next((option.label for option in self.options if option.value == value), None)
