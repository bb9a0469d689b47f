"""What kind of operation a request is: the names that statistics count by and fault rules match."""

from __future__ import annotations

WRITES = frozenset({"create", "update", "delete", "action"})

_WRITE_KINDS = {"PATCH": "update", "PUT": "update", "DELETE": "delete"}
_METADATA = ("EntityDefinitions", "$metadata", "RelationshipDefinitions", "RetrieveMetadataChanges", "GlobalOptionSet")


def kind_of(method: str, path: str, query: str) -> str:
    """The kind of an operation, from its verb and its address."""
    if path == "$batch":
        return "batch"
    if path.startswith(_METADATA):
        return "metadata"
    if method == "POST":
        return "action" if "Microsoft.Dynamics.CRM." in path or "Bulk" in path else "create"
    if method != "GET":
        return _WRITE_KINDS.get(method, "other")
    if path.startswith("WhoAmI"):
        return "whoami"
    return _kind_of_read(path, query)


def _kind_of_read(path: str, query: str) -> str:
    if "fetchXml=" in query:
        return "fetchxml"
    if "apply=" in query:
        return "aggregate"
    if "deltatoken=" in query:
        return "changes"
    last = path.rpartition("/")[2]
    return "retrieve" if last.endswith(")") else "query"
