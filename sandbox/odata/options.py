"""The query options of a URL, taken apart and checked for being known at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from sandbox.errors import bad_query, unsupported_option

_OPTIONS = {
    "$select": "select",
    "$filter": "filter",
    "$orderby": "orderby",
    "$top": "top",
    "$count": "count",
    "$expand": "expand",
    "$apply": "apply",
    "$skiptoken": "skiptoken",
    "$deltatoken": "deltatoken",
    "fetchXml": "fetch",
    "sql": "sql",
}
_IGNORED = frozenset({"$format", "api-version"})


@dataclass(frozen=True, slots=True)
class Options:
    """The options as texts; None where not given."""

    select: str | None = None
    filter: str | None = None
    orderby: str | None = None
    top: int | None = None
    count: bool = False
    expand: str | None = None
    apply: str | None = None
    skiptoken: str | None = None
    deltatoken: str | None = None
    fetch: str | None = None
    sql: str | None = None


@lru_cache(maxsize=2048)
def parse_options(query: str) -> Options:
    """The options in a raw query string.

    Raises:
        DataverseError: For an option that is not known, comes twice, or has an impossible value.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _IGNORED or name.startswith("@"):
            continue
        if name == "$skip":
            raise bad_query("Skip Clause is not supported in CRM")
        if name not in _OPTIONS:
            raise unsupported_option(name)
        if _OPTIONS[name] in found:
            raise bad_query(
                f"Query option '{name}' was specified more than once, but it must be specified at most once."
            )
        found[_OPTIONS[name]] = value
    return make_options(found)


def make_options(found: dict[str, str]) -> Options:
    """Options from their texts, as they stand in a URL or between the brackets of an `$expand`."""
    texts = {name: value for name, value in found.items() if name not in {"top", "count"}}
    return Options(**texts, top=_top(found.get("top")), count=_count(found.get("count")))


def _top(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise bad_query(
            f"Invalid value '{text}' for $top query option found. "
            "The $top query option requires a non-negative integer value."
        )
    return int(text)


def _count(text: str | None) -> bool:
    if text not in {None, "true", "false"}:
        raise bad_query(f"Invalid value '{text}' for $count query option found. Valid values are 'true' and 'false'.")
    return text == "true"


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside brackets and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts
