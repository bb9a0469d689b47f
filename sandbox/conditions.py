"""The conditional headers of a request: If-Match and If-None-Match, and what they allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ETAG = re.compile(r'(?:W/)?"?(\d+)"?')


def etag(version: int) -> str:
    """A row version as an ETag."""
    return f'W/"{version}"'


@dataclass(frozen=True, slots=True)
class Condition:
    """What a writer demands of the row it writes to.

    Args:
        if_match: The ETag, `*`, or None.
        if_none_match: The same for its opposite.
    """

    if_match: str | None = None
    if_none_match: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether the row has to be there."""
        return self.if_match is not None

    @property
    def names_version(self) -> bool:
        """Whether a certain version is demanded."""
        return self.if_match is not None and self.if_match != "*"

    @property
    def forbids_update(self) -> bool:
        """Whether only a row that is not there may be written."""
        return self.if_none_match == "*"

    def allows(self, version: int) -> bool:
        """Whether a row of this version may be written."""
        if self.if_match is None or self.if_match == "*":
            return True
        match = _ETAG.fullmatch(self.if_match)
        return match is not None and int(match.group(1)) == version

    def is_unchanged(self, version: int) -> bool:
        """Whether a reader already has this version."""
        match = _ETAG.fullmatch(self.if_none_match or "")
        return match is not None and int(match.group(1)) == version


ANY_VERSION = Condition(if_match="*")


def condition_of(headers: Mapping[str, str]) -> Condition:
    """The conditions in a request's headers; `If-None-Match: null`, which clients send with reads, is none."""
    none_match = headers.get("if-none-match")
    if none_match is not None and none_match.strip().lower() in {"null", ""}:
        none_match = None
    match = headers.get("if-match")
    return Condition(match.strip() if match else None, none_match.strip() if none_match else None)
