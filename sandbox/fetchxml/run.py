"""Running FetchXML: the limit on aggregation, pages, paging cookies, and rows without their null values."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sandbox.conditions import etag
from sandbox.environment import Environment
from sandbox.errors import DataverseError, aggregate_limit, bad_fetch
from sandbox.fetchxml.compile import Compiled, FetchCompiler, Output
from sandbox.fetchxml.document import Fetch, parse_fetch
from sandbox.odata.aggregation import MOST_AGGREGATED
from sandbox.odata.ordering import after, order_clause
from sandbox.odata.projection import ETAG, NameOf, value_annotations
from sandbox.odata.where import Sql
from sandbox.preferences import (
    MORE_RECORDS,
    MOST_ROWS,
    PAGING_COOKIE,
    TOTAL_COUNT,
    TOTAL_COUNT_EXCEEDED,
    Preferences,
)
from sandbox.tables import Table

MOST_WITHOUT_COOKIE = 50_000


class FetchRunner:
    """Runs FetchXML.

    Args:
        environment: What to read from.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def run(self, table: Table, text: str, preferences: Preferences, root: str, user_id: str = "") -> dict[str, Any]:
        """The document of a fetch.

        Results stop at 5,000 rows; that there are more is said only to those who asked for the annotation.

        Raises:
            DataverseError: When it is wrong, or has too many rows to aggregate.
        """
        fetch = parse_fetch(text)
        if fetch.entity.name != table.name:
            raise bad_fetch(f"The entity '{fetch.entity.name}' of the query does not belong to '{table.entity_set}'.")
        _check_paging(fetch)
        compiled = FetchCompiler(fetch, user_id, self._environment.database.clock.seconds()).compile()
        if fetch.aggregate:
            self._check_limit(compiled)
        size = min(fetch.top or fetch.count or MOST_ROWS, MOST_ROWS)
        found = self._rows(fetch, compiled, size)
        more = len(found) > size and fetch.top is None
        rows = [self._shown(fetch, compiled, values, preferences) for values in found[:size]]
        document: dict[str, Any] = {"@odata.context": f"{root}/$metadata#{table.entity_set}"}
        document.update(self._page_annotations(fetch, compiled, preferences, found[:size], more=more))
        document["value"] = rows
        return document

    def _check_limit(self, compiled: Compiled) -> None:
        sql = (
            f"SELECT count(*) FROM (SELECT 1 FROM {compiled.source} "
            f"WHERE {compiled.condition.text} LIMIT {MOST_AGGREGATED + 1})"
        )
        parameters = (*compiled.join_parameters, *compiled.condition.parameters)
        if self._environment.database.value(sql, parameters) > MOST_AGGREGATED:
            raise aggregate_limit()

    def _rows(self, fetch: Fetch, compiled: Compiled, size: int) -> list[tuple[Any, ...]]:
        place, offset = self._start(fetch, compiled, size)
        condition = compiled.condition
        if place is not None:
            behind = after(compiled.keys, place)
            condition = Sql(f"{condition.text} AND {behind.text}", (*condition.parameters, *behind.parameters))
        sql = f"{_select(fetch, compiled)} FROM {compiled.source} WHERE {condition.text}"
        groups = ", ".join(output.sql for output in compiled.outputs if output.is_group)
        if groups:
            sql += f" GROUP BY {groups}"
        if compiled.keys and not fetch.distinct:
            sql += f" ORDER BY {order_clause(compiled.keys)}"
        sql += f" LIMIT {size + 1} OFFSET {offset}"
        return self._environment.database.rows(sql, (*compiled.join_parameters, *condition.parameters))

    def _start(self, fetch: Fetch, compiled: Compiled, size: int) -> tuple[list[Any] | None, int]:
        """Where the page starts: behind a row, if a cookie says which, else behind so many rows."""
        if fetch.page == 1:
            return None, 0
        if fetch.cookie:
            place = self._read_cookie(fetch.cookie, compiled)
            if place is not None:
                return place, 0
        elif fetch.page * size > MOST_WITHOUT_COOKIE:
            raise DataverseError(
                400,
                "0x80041129",
                "Paging cookie is required when trying to retrieve a set of records on any high pages.",
            )
        return None, (fetch.page - 1) * size

    def _read_cookie(self, text: str, compiled: Compiled) -> list[Any] | None:
        try:
            token = fromstring(text).get("place")
        except (ParseError, DefusedXmlException) as error:
            raise bad_fetch("Malformed XML in the Paging Cookie.") from error
        return self._environment.signer.read(token, _signed(compiled)) if token else None

    def _shown(
        self, fetch: Fetch, compiled: Compiled, values: Sequence[Any], preferences: Preferences
    ) -> dict[str, Any]:
        """A row without its null values."""
        shown: dict[str, Any] = {}
        if not fetch.aggregate and not fetch.distinct:
            shown[ETAG] = etag(values[-1])
            shown[compiled.table.primary_id] = values[-2]
        name_of: NameOf = self._environment.reader.names()
        for output, value in zip(compiled.outputs, values, strict=False):
            if value is not None:
                shown.update(_valued(output, value, preferences, name_of))
        return shown

    def _page_annotations(
        self, fetch: Fetch, compiled: Compiled, preferences: Preferences, found: list[tuple[Any, ...]], *, more: bool
    ) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if preferences.wants(MORE_RECORDS):
            said[f"@{MORE_RECORDS}"] = more
        if more and preferences.wants(PAGING_COOKIE):
            said[f"@{PAGING_COOKIE}"] = self._cookie(fetch, compiled, found)
        if fetch.total_count and preferences.wants(TOTAL_COUNT):
            total = self._total(compiled)
            said[f"@{TOTAL_COUNT}"] = min(total, MOST_ROWS)
            said[f"@{TOTAL_COUNT_EXCEEDED}"] = total > MOST_ROWS
        return said

    def _total(self, compiled: Compiled) -> int:
        sql = (
            f"SELECT count(*) FROM (SELECT 1 FROM {compiled.source} "
            f"WHERE {compiled.condition.text} LIMIT {MOST_ROWS + 1})"
        )
        parameters = (*compiled.join_parameters, *compiled.condition.parameters)
        return int(self._environment.database.value(sql, parameters))

    def _cookie(self, fetch: Fetch, compiled: Compiled, found: list[tuple[Any, ...]]) -> str:
        place = ""
        ids = ""
        if not fetch.aggregate and not fetch.distinct:
            width = len(compiled.outputs)
            last = found[-1][width : width + len(compiled.keys)]
            place = f' place="{self._environment.signer.write(list(last), _signed(compiled))}"'
            first_id, last_id = found[0][-2].upper(), found[-1][-2].upper()
            ids = f'<{compiled.table.primary_id} last="{{{last_id}}}" first="{{{first_id}}}" />'
        inner = f'<cookie page="{fetch.page}"{place}>{ids}</cookie>'
        encoded = quote(quote(inner, safe=""), safe="")
        return f'<cookie pagenumber="{fetch.page + 1}" pagingcookie={quoteattr(encoded)} istracking="False" />'


def _check_paging(fetch: Fetch) -> None:
    if fetch.top is not None and (fetch.page > 1 or fetch.count is not None):
        raise bad_fetch("The top attribute can't be specified with paging attribute page")


def _select(fetch: Fetch, compiled: Compiled) -> str:
    outputs = [output.sql for output in compiled.outputs]
    if fetch.aggregate:
        return f"SELECT {', '.join(outputs)}"
    if fetch.distinct:
        return f"SELECT DISTINCT {', '.join(outputs)}"
    keys = [key.sql for key in compiled.keys]
    return f"SELECT {', '.join([*outputs, *keys, f't.{compiled.table.primary_id}', 't.versionnumber'])}"


def _valued(output: Output, value: Any, preferences: Preferences, name_of: NameOf) -> dict[str, Any]:
    column = output.column
    if column is None:
        return {output.key: value}
    shown = column.shown(value)
    said = value_annotations(column, output.key, shown, preferences, name_of) if preferences.annotations else {}
    return {**said, output.key: shown}


def _signed(compiled: Compiled) -> str:
    return f"{compiled.source} {order_clause(compiled.keys)}"
