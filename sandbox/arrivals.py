"""Jobs and packets that a scenario lets arrive later, and jobs it sets to Ready then."""

# ruff: noqa: S608 - names in SQL are the schema's own; values are always bound

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from sandbox.database import SEED, Database
from sandbox.seed.scenario import JOB_COLUMNS, PACKET_COLUMNS
from sandbox.tables import DETAIL, JOB, READY, WAITING

_AT_ONCE = 200
_TICK = 0.05


class Arrivals:
    """What is still to come.

    Args:
        database: Where it is noted, and where it goes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending = self._count() > 0

    def announce(self) -> None:
        """Something was added."""
        self._pending = True

    def _count(self) -> int:
        return int(self._database.value("SELECT count(*) FROM arrival"))

    def packets_due(self) -> int:
        """Packets still to come."""
        if not self._pending:
            return 0
        return int(self._database.value("SELECT count(*) FROM arrival WHERE what = 'packet'"))

    async def run(self) -> None:
        """Let things arrive, for ever."""
        while True:
            if self._pending and self.deliver() == _AT_ONCE:
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_TICK)

    def deliver(self) -> int:
        """Let arrive what is due, up to a portion; returns how much it was."""
        now = self._database.clock.now()
        due = self._database.rows(
            "SELECT rowid, what, job_id, values_json FROM arrival WHERE due <= ? ORDER BY due LIMIT ?", (now, _AT_ONCE)
        )
        if not due:
            self._pending = self._count() > 0
            return 0
        with self._database.acting(SEED), self._database.transaction():
            for number, what, job_id, values in due:
                self._database.execute("DELETE FROM arrival WHERE rowid = ?", (number,))
                self._arrive(what, job_id, json.loads(values))
        return len(due)

    def _arrive(self, what: str, job_id: str, values: Any) -> None:
        match what:
            case "job":
                self._add_job(*values)
            case "packet":
                self._add_packet(job_id, *values)
            case _:
                self._make_ready(job_id, values)

    def _add_job(self, *described: Any) -> None:
        now, user = self._database.clock.seconds(), described[-1]
        row = (*described[:-1], now, now, user, user, user, self._database.next_version())
        names, marks = ", ".join(JOB_COLUMNS), ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO {JOB} ({names}, versionnumber) VALUES ({marks})", row)

    def _add_packet(
        self, job_id: str, sequence: int | None, changes: str | None, full: str | None, active: bool
    ) -> None:
        now = self._database.clock.seconds()
        user = self._database.value(f"SELECT createdby FROM {JOB} WHERE msdyn_integrationjobid = ?", (job_id,))
        state, reason = (0, 1) if active else (1, 2)
        key, name = str(uuid.uuid4()), f"Packet {sequence}"
        payload = (sequence, changes, full, state, reason)
        row = (key, name, job_id, *payload, now, now, user, user, user, self._database.next_version())
        names, marks = ", ".join(PACKET_COLUMNS), ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO {DETAIL} ({names}, versionnumber) VALUES ({marks})", row)

    def _make_ready(self, job_id: str, expected: int | None) -> None:
        """As the client would: only if the job is still waiting."""
        self._database.wrote_status = True
        self._database.execute(
            f"UPDATE {JOB} SET msdyn_status = ?, msdyn_numberofpackets = ?, modifiedon = ?, versionnumber = ? "
            "WHERE msdyn_integrationjobid = ? AND msdyn_status = ?",
            (READY, expected, self._database.clock.seconds(), self._database.next_version(), job_id, WAITING),
        )
