"""The model of the environment as CSDL, the XML behind `$metadata`."""

from __future__ import annotations

from functools import lru_cache
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sandbox.columns import REFERENCES, Column
from sandbox.functions import MARK_FAILED
from sandbox.metadata.definitions import collection_navigation
from sandbox.tables import JOB, TABLES, Table

_NAMESPACE = "Microsoft.Dynamics.CRM"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"


@lru_cache(maxsize=1)
def csdl() -> bytes:
    """The whole document."""
    root = Element("edmx:Edmx", {"Version": "4.0", "xmlns:edmx": _EDMX})
    services = SubElement(root, "edmx:DataServices")
    schema = SubElement(services, "Schema", {"Namespace": _NAMESPACE, "Alias": "mscrm", "xmlns": _EDM})
    SubElement(schema, "EntityType", {"Name": "crmbaseentity", "Abstract": "true"})
    for table in TABLES.values():
        _entity_type(schema, table)
    _who_am_i(schema)
    _mark_failed(schema)
    _container(schema)
    indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root)


def _entity_type(schema: Element, table: Table) -> None:
    entity = SubElement(schema, "EntityType", {"Name": table.name, "BaseType": "mscrm.crmbaseentity"})
    key = SubElement(entity, "Key")
    SubElement(key, "PropertyRef", {"Name": table.primary_id})
    for column in table.columns:
        attributes = {"Name": column.property_name, "Type": column.kind.edm}
        if column.name == table.primary_id:
            attributes["Nullable"] = "false"
        if column.max_length is not None:
            attributes["MaxLength"] = str(column.max_length)
        SubElement(entity, "Property", attributes)
    for column in table.columns:
        if column.kind in REFERENCES and column.target is not None:
            _single(entity, table, column)
    for child, column in _pointing_at(table):
        _collection(entity, child, column)


def _single(entity: Element, table: Table, column: Column) -> None:
    attributes = {"Name": column.navigation or column.name, "Type": f"mscrm.{column.target}"}
    if (table, column) in _pointing_at(TABLES[column.target or ""]):
        attributes["Partner"] = collection_navigation(table, column)
    navigation = SubElement(entity, "NavigationProperty", attributes)
    referenced = TABLES[column.target or ""].primary_id
    SubElement(
        navigation,
        "ReferentialConstraint",
        {"Property": column.property_name, "ReferencedProperty": referenced},
    )


def _collection(entity: Element, child: Table, column: Column) -> None:
    SubElement(
        entity,
        "NavigationProperty",
        {
            "Name": collection_navigation(child, column),
            "Type": f"Collection(mscrm.{child.name})",
            "Partner": column.navigation or column.name,
        },
    )


def _pointing_at(table: Table) -> list[tuple[Table, Column]]:
    """The lookups whose other end the table shows as a collection."""
    found = (table.child(navigation) for navigation, _, _ in table.children)
    return [pair for pair in found if pair is not None]


def _who_am_i(schema: Element) -> None:
    response = SubElement(schema, "ComplexType", {"Name": "WhoAmIResponse"})
    for name in ("BusinessUnitId", "UserId", "OrganizationId"):
        SubElement(response, "Property", {"Name": name, "Type": "Edm.Guid", "Nullable": "false"})
    function = SubElement(schema, "Function", {"Name": "WhoAmI"})
    SubElement(function, "ReturnType", {"Type": "mscrm.WhoAmIResponse", "Nullable": "false"})


def _mark_failed(schema: Element) -> None:
    action = SubElement(schema, "Action", {"Name": MARK_FAILED, "IsBound": "true"})
    SubElement(action, "Parameter", {"Name": "entity", "Type": f"mscrm.{JOB}", "Nullable": "false"})
    SubElement(action, "Parameter", {"Name": "Error", "Type": "Edm.String", "Unicode": "false"})


def _container(schema: Element) -> None:
    container = SubElement(schema, "EntityContainer", {"Name": "System"})
    for table in TABLES.values():
        entity_set = SubElement(
            container, "EntitySet", {"Name": table.entity_set, "EntityType": f"{_NAMESPACE}.{table.name}"}
        )
        for column in table.columns:
            if column.kind in REFERENCES and column.target is not None:
                SubElement(
                    entity_set,
                    "NavigationPropertyBinding",
                    {"Path": column.navigation or column.name, "Target": TABLES[column.target].entity_set},
                )
        for child, column in _pointing_at(table):
            SubElement(
                entity_set,
                "NavigationPropertyBinding",
                {"Path": collection_navigation(child, column), "Target": child.entity_set},
            )
    SubElement(container, "FunctionImport", {"Name": "WhoAmI", "Function": "mscrm.WhoAmI"})
