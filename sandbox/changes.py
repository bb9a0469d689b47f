"""Change tracking: all rows once with a delta link, later only what changed or was deleted since."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.environment import Environment
from sandbox.errors import bad_query
from sandbox.odata.options import Options
from sandbox.odata.projection import projection
from sandbox.odata.reading import link, link_pairs
from sandbox.preferences import Preferences
from sandbox.tables import Table

TOKEN_LIFETIME = 7 * 24 * 3600
_REFUSED = ("filter", "orderby", "expand", "top", "apply")


class ChangeTracking:
    """Answers reads under `Prefer: odata.track-changes`, and the delta links that such reads gave.

    A page is cut by row version: what changes while a client pages comes again under the delta link, never less.

    Args:
        environment: What to read from.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def page(
        self, table: Table, options: Options, preferences: Preferences, *, root: str, path: str, query: str
    ) -> dict[str, Any]:
        """One page of rows, or of changes.

        Raises:
            DataverseError: Where tracking is off, or the query does not go with it, or the token is too old.
        """
        self._require(table, options)
        signed = f"changes of {table.name}"
        since, seen, until, given = self._place(options, signed)
        size = preferences.rows
        changes = self._changes(table, options, preferences, (since, seen, until), size + 1, root)
        pairs = [pair for pair in link_pairs(query) if pair[0] != "$deltatoken"]
        shown = projection(table.name, options.select)
        selected = f"({shown.selected})" if shown.selected else ""
        suffix = "/$delta" if options.deltatoken is not None or since else ""
        document: dict[str, Any] = {
            "@odata.context": f"{root}/$metadata#{table.entity_set}{selected}{suffix}",
            "value": [change for _, change in changes[:size]],
        }
        if len(changes) > size:
            token = self._environment.signer.write([since, changes[size - 1][0], until, given], signed)
            document["@odata.nextLink"] = link(root, path, [*pairs, ("$skiptoken", token)])
        else:
            token = self._environment.signer.write([until, until, 0, given], signed)
            document["@odata.deltaLink"] = link(root, path, [*pairs, ("$deltatoken", token)])
        return document

    def _require(self, table: Table, options: Options) -> None:
        if not self._environment.rows.switches[table.name].change_tracking:
            raise bad_query(f"Entity: {table.name} isn't enabled for change tracking.")
        plain = replace(options, select=None, skiptoken=None, deltatoken=None, count=False)
        refused = [f"${name}" for name in _REFUSED if getattr(plain, name) is not None]
        if refused:
            raise bad_query(
                f'The "{", ".join(refused)}" query parameter isn\'t supported when change tracking is enabled.'
            )

    def _place(self, options: Options, signed: str) -> tuple[int, int, int, int]:
        """Since which version, from which one on, up to which one, and when the token was given."""
        database = self._environment.database
        now = database.clock.seconds()
        token = options.skiptoken or options.deltatoken
        if token is None:
            return 0, 0, database.version, now
        since, seen, until, given = self._environment.signer.read(token, signed)
        if now - given > TOKEN_LIFETIME:
            raise bad_query("The delta token has expired. Retrieve all rows again.")
        return since, seen, until or database.version, given if until else now

    def _changes(
        self,
        table: Table,
        options: Options,
        preferences: Preferences,
        place: tuple[int, int, int],
        limit: int,
        root: str,
    ) -> list[tuple[int, dict[str, Any]]]:
        since, seen, until = place
        shown = projection(table.name, options.select)
        rows = self._environment.database.rows(
            f"SELECT {shown.sql('t')}, t.versionnumber FROM {table.name} t "
            "WHERE t.versionnumber > ? AND t.versionnumber <= ? ORDER BY t.versionnumber LIMIT ?",
            (seen, until, limit),
        )
        shaped = self._environment.reader.shape(rows, shown, preferences)
        changes = [(values[-1], row) for values, row in zip(rows, shaped, strict=True)]
        if since:
            changes += self._deleted(table, seen, until, limit, root)
            changes.sort(key=lambda change: change[0])
        return changes[:limit]

    def _deleted(self, table: Table, seen: int, until: int, limit: int, root: str) -> list[tuple[int, dict[str, Any]]]:
        rows = self._environment.database.rows(
            "SELECT versionnumber, id FROM tombstone WHERE table_name = ? AND versionnumber > ? AND versionnumber <= ? "
            "ORDER BY versionnumber LIMIT ?",
            (table.name, seen, until, limit),
        )
        context = f"{root}/$metadata#{table.entity_set}/$deletedEntity"
        return [(version, {"@odata.context": context, "id": key, "reason": "deleted"}) for version, key in rows]
