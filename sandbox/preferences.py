"""The `Prefer` header: what a client would like, and what the answer says was applied."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache

MOST_ROWS = 5000
_PREFERENCE = re.compile(r'\s*([^=;,\s]+)\s*(?:=\s*("[^"]*"|[^,;\s]*))?[^,]*(?:,|$)')

FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOOKUP_NAME = "Microsoft.Dynamics.CRM.lookuplogicalname"
LOOKUP_NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"
PAGING_COOKIE = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
MORE_RECORDS = "Microsoft.Dynamics.CRM.morerecords"
TOTAL_COUNT = "Microsoft.Dynamics.CRM.totalrecordcount"
TOTAL_COUNT_EXCEEDED = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the client prefers.

    Args:
        page_size: Rows a page, if it said so.
        annotations: The patterns of `odata.include-annotations`.
        representation: Whether a write answers with the row.
        track_changes: Whether a delta link is wanted.
        continue_on_error: Whether a batch goes on after a failed operation.
    """

    page_size: int | None = None
    annotations: tuple[str, ...] = ()
    representation: bool = False
    track_changes: bool = False
    continue_on_error: bool = False

    def wants(self, annotation: str) -> bool:
        """Whether an annotation was asked for."""
        return any(fnmatch.fnmatchcase(annotation, pattern) for pattern in self.annotations)

    @property
    def rows(self) -> int:
        """How many rows a page has."""
        return MOST_ROWS if self.page_size is None else max(1, min(self.page_size, MOST_ROWS))


NONE = Preferences()


@lru_cache(maxsize=256)
def preferences_of(header: str | None) -> Preferences:
    """The preferences in a `Prefer` header; what is not understood is left alone, as the standard says."""
    if not header:
        return NONE
    found = {match.group(1).lower(): (match.group(2) or "").strip('"') for match in _PREFERENCE.finditer(header)}
    size = found.get("odata.maxpagesize", "")
    patterns = found.get("odata.include-annotations", "")
    return Preferences(
        page_size=int(size) if size.isdigit() and int(size) > 0 else None,
        annotations=tuple(pattern.strip() for pattern in patterns.split(",") if pattern.strip()),
        representation=found.get("return") == "representation",
        track_changes="odata.track-changes" in found,
        continue_on_error="odata.continue-on-error" in found and found["odata.continue-on-error"] != "false",
    )


def applied(preferences: Preferences, *, representation: bool = False) -> list[tuple[str, str]]:
    """The `Preference-Applied` header for what a read or write took into account."""
    parts = []
    if representation and preferences.representation:
        parts.append("return=representation")
    if preferences.page_size is not None and not representation:
        parts.append(f"odata.maxpagesize={preferences.page_size}")
    if preferences.annotations:
        parts.append(f'odata.include-annotations="{",".join(preferences.annotations)}"')
    return [("Preference-Applied", part) for part in parts]
