"""Values as they come in: ids and instants in text form, checked and brought into the form the database stores."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?)(\.\d+)?(Z|[+-]\d{2}:\d{2})?", re.IGNORECASE)


def guid(text: str) -> str | None:
    """An id in its canonical form, or None when the text is none. Braces are accepted, as FetchXML accepts them."""
    bare = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    return bare.lower() if _GUID.fullmatch(bare) else None


def instant(text: str) -> float | None:
    """A date or an instant as seconds since 1970, or None when the text is none. Without a zone it is UTC."""
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        match = _INSTANT.fullmatch(text)
        if match is None:
            return None
        whole, fraction, zone = match.groups()
        offset = "+00:00" if zone is None or zone.upper() == "Z" else zone
        seconds = datetime.fromisoformat(whole.upper() + offset).timestamp()
    except ValueError:
        return None
    return seconds + float(fraction) if fraction else seconds


def utf16_length(text: str) -> int:
    """How long the service takes a text to be."""
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)
