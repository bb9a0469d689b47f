"""Durations as people write them: ``30s``, ``5m``, ``1h30m``, ``500ms`` or ISO 8601 (``PT30S``)."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(written: object) -> object:
    """Read ``1h30m`` and the like; leave ISO 8601 to pydantic.

    Args:
        written: What a setting holds.

    Returns:
        A `timedelta` where the text is of the short form, otherwise what came in.

    Raises:
        ValueError: For a bare number, whose unit nobody can know, and for more time than anybody has.
    """
    if isinstance(written, timedelta):
        return written
    text = written.strip().lower() if isinstance(written, str) else ""
    if text.startswith("p"):
        return text.upper()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{written!r} is not a duration: write 30s, 5m, 1h or ISO 8601 such as PT30S")
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    except OverflowError:
        raise ValueError(f"{written!r} is longer than a year") from None


def format_duration(duration: timedelta) -> str:
    """Write a duration in the short form that `parse_duration` reads.

    Returns:
        For example ``1h30m``, ``500ms``, ``0s``.
    """
    milliseconds = round(duration.total_seconds() * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(gt=timedelta(0), le=timedelta(days=366))]
"""A positive span of time of at most a year, written ``30s``, ``5m``, ``1h`` or in ISO 8601."""
