"""Table, column, relationship and option set definitions as the Web API shows them, made from `sandbox.tables`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sandbox.columns import OPTION_SETS, REFERENCES, TEXT, Column, Kind
from sandbox.rows import TableSwitches
from sandbox.tables import TABLES, USER, Table

NAMESPACE = "Microsoft.Dynamics.CRM."
_IDS = uuid.UUID("5a0d0b0e-0000-4000-8000-0000000000ff")
_LANGUAGE = 1033


def metadata_id(*names: str) -> str:
    """The id of a definition; the same in every sandbox."""
    return str(uuid.uuid5(_IDS, "/".join(names)))


def label(text: str) -> dict[str, Any]:
    """A text as a label in the base language."""
    localized = {"Label": text, "LanguageCode": _LANGUAGE, "IsManaged": True, "MetadataId": metadata_id("label", text)}
    localized["HasChanged"] = None
    return {"LocalizedLabels": [localized], "UserLocalizedLabel": localized}


def _managed(value: Any, name: str) -> dict[str, Any]:
    return {"Value": value, "CanBeChanged": False, "ManagedPropertyLogicalName": name}


def table_definition(table: Table, switches: TableSwitches) -> dict[str, Any]:
    """A table's definition without what hangs below it."""
    custom = table.name != USER
    return {
        "ActivityTypeMask": 0,
        "AutoCreateAccessTeams": False,
        "ChangeTrackingEnabled": switches.change_tracking,
        "CollectionSchemaName": f"{table.schema_name}s",
        "Description": label(table.description),
        "DisplayCollectionName": label(f"{table.label}s"),
        "DisplayName": label(table.label),
        "EntitySetName": table.entity_set,
        "IsActivity": False,
        "IsAuditEnabled": _managed(value=False, name="canmodifyauditsettings"),
        "IsCustomEntity": custom,
        "IsCustomizable": _managed(value=True, name="iscustomizable"),
        "IsIntersect": False,
        "IsLogicalEntity": False,
        "IsManaged": True,
        "IsOptimisticConcurrencyEnabled": switches.optimistic_concurrency,
        "IsPrivate": False,
        "IsValidForAdvancedFind": True,
        "LogicalCollectionName": table.entity_set,
        "LogicalName": table.name,
        "MetadataId": metadata_id(table.name),
        "ObjectTypeCode": table.object_type_code,
        "OwnershipType": "UserOwned" if custom else "BusinessOwned",
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryImageAttribute": None,
        "PrimaryNameAttribute": table.primary_name,
        "SchemaName": table.schema_name,
        "TableType": "Standard",
        "HasChanged": None,
    }


@lru_cache(maxsize=64)
def attribute_definitions(table_name: str) -> tuple[dict[str, Any], ...]:
    """The definitions of a table's columns."""
    table = TABLES[table_name]
    return tuple(_attribute(table, column, number) for number, column in enumerate(table.columns, start=1))


def attribute_type(column: Column) -> str:
    """The metadata type of a column."""
    match column.kind:
        case Kind.UNIQUEIDENTIFIER:
            return "UniqueIdentifierAttributeMetadata"
        case Kind.BIGINT:
            return "BigIntAttributeMetadata"
        case Kind.OWNER:
            return "LookupAttributeMetadata"
        case kind:
            return f"{kind.type_name}AttributeMetadata"


def _attribute(table: Table, column: Column, number: int) -> dict[str, Any]:
    definition = {
        "@odata.type": f"#{NAMESPACE}{attribute_type(column)}",
        "AttributeOf": None,
        "AttributeType": column.kind.type_name,
        "AttributeTypeName": {"Value": f"{_type_name(column)}Type"},
        "ColumnNumber": number,
        "Description": label(column.description or column.label),
        "DisplayName": label(column.label),
        "EntityLogicalName": table.name,
        "IsCustomAttribute": column.name.startswith("msdyn_"),
        "IsManaged": True,
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsValidForAdvancedFind": _managed(value=True, name="canmodifysearchsettings"),
        "IsValidForCreate": column.creatable,
        "IsValidForRead": True,
        "IsValidForUpdate": column.updatable,
        "IsValidODataAttribute": True,
        "LogicalName": column.name,
        "MetadataId": metadata_id(table.name, column.name),
        "RequiredLevel": _managed(_required_level(table, column), "canmodifyrequirementlevelsettings"),
        "SchemaName": column.schema_name or column.name,
        "HasChanged": None,
    }
    return {**definition, **_typed(table, column)}


def _type_name(column: Column) -> str:
    return "DateTime" if column.kind is Kind.DATETIME else column.kind.type_name


def _required_level(table: Table, column: Column) -> str:
    if column.name == table.primary_id:
        return "SystemRequired"
    return "ApplicationRequired" if column.required else "None"


def _typed(table: Table, column: Column) -> dict[str, Any]:
    """What only a column of its type has."""
    if column.kind in TEXT:
        text_format = "TextArea" if column.kind is Kind.MEMO else "Text"
        return {"MaxLength": column.max_length, "Format": text_format, "FormatName": {"Value": text_format}}
    if column.kind is Kind.INTEGER:
        return {"MinValue": column.minimum, "MaxValue": column.maximum, "Format": "None"}
    if column.kind is Kind.DATETIME:
        return {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}}
    if column.kind in REFERENCES:
        return {"Targets": [column.target] if column.target else []}
    if column.kind in OPTION_SETS:
        return {
            "DefaultFormValue": -1 if column.default is None else column.default,
            "OptionSet": option_set(table, column),
        }
    return {}


def option_set(table: Table, column: Column) -> dict[str, Any]:
    """The options of a picklist."""
    return {
        "MetadataId": metadata_id(table.name, column.name, "optionset"),
        "Name": f"{table.name}_{column.name}",
        "DisplayName": label(column.label),
        "Description": label(column.description or column.label),
        "IsCustomOptionSet": column.kind is Kind.PICKLIST,
        "IsGlobal": False,
        "IsManaged": True,
        "OptionSetType": column.kind.type_name,
        "Options": [
            {
                "Value": option.value,
                "Label": label(option.label),
                "Description": label(""),
                "Color": None,
                "IsManaged": True,
                "ExternalValue": "",
                "ParentValues": [],
                "MetadataId": None,
                **({} if option.state is None else {"State": option.state}),
            }
            for option in column.options
        ],
    }


@lru_cache(maxsize=1)
def relationship_definitions() -> tuple[dict[str, Any], ...]:
    """Every one-to-many relationship between the tables."""
    return tuple(_relationships())


def _relationships() -> Iterable[dict[str, Any]]:
    for table in TABLES.values():
        for column in table.columns:
            if column.kind in REFERENCES and column.target is not None:
                yield _relationship(table, column, TABLES[column.target])


def collection_navigation(table: Table, column: Column) -> str:
    """The name of the collection at the other end of a lookup."""
    parent = TABLES[column.target or ""]
    for navigation, child, lookup in parent.children:
        if (child, lookup) == (table.name, column.name):
            return navigation
    return f"lk_{table.name}_{column.name}"


def _relationship(table: Table, column: Column, parent: Table) -> dict[str, Any]:
    name = collection_navigation(table, column)
    return {
        "@odata.type": f"#{NAMESPACE}OneToManyRelationshipMetadata",
        "MetadataId": metadata_id("relationship", name),
        "SchemaName": name,
        "RelationshipType": "OneToManyRelationship",
        "IsCustomRelationship": column.name.startswith("msdyn_"),
        "IsManaged": True,
        "ReferencedAttribute": parent.primary_id,
        "ReferencedEntity": parent.name,
        "ReferencedEntityNavigationPropertyName": name,
        "ReferencingAttribute": column.name,
        "ReferencingEntity": table.name,
        "ReferencingEntityNavigationPropertyName": column.navigation,
        "CascadeConfiguration": {
            "Assign": "NoCascade",
            "Delete": "Cascade" if column.name.startswith("msdyn_") else "NoCascade",
            "Merge": "NoCascade",
            "Reparent": "NoCascade",
            "Share": "NoCascade",
            "Unshare": "NoCascade",
        },
    }
