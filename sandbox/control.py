"""The control surface below `/sandbox/`: scenarios, judgement, clock, limits, faults.

For peers on this machine only; it is no part of what is imitated.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.arrivals import Arrivals
from sandbox.audit import Audit, label_of
from sandbox.clock import iso_instant
from sandbox.database import Snapshot
from sandbox.entra.applications import NEIGHBOUR, Applications
from sandbox.environment import Environment
from sandbox.faults import FaultRule, Faults
from sandbox.judgement import judge
from sandbox.limits import LimitSizes, Protection
from sandbox.seed.load import Loaded, load
from sandbox.seed.scenario import Scenario
from sandbox.stats import Stats
from sandbox.webapi import WebApi

Handler = Callable[[dict[str, Any]], Any]
_MOST_CHANGES = 10_000


@dataclass(slots=True)
class Control:
    """The endpoints of the control surface.

    Args:
        environment: The rows, the privileges, the switches of the tables.
        applications: The tenant's registrations.
        arrivals: Packets still to arrive.
        protection: The limits.
        faults: The fault rules.
        stats: The counters.
        web_api: Whose action can be uninstalled.
        sizes: The limits to go back to on a reset.
    """

    environment: Environment
    applications: Applications
    arrivals: Arrivals
    protection: Protection
    faults: Faults
    stats: Stats
    web_api: WebApi
    sizes: LimitSizes

    def routes(self) -> list[Route]:
        """The endpoints."""
        reads: dict[str, Handler] = {
            "/expected": self._expected,
            "/overview": self._overview,
            "/audit": self._audit,
            "/stats": self._stats,
            "/faults": self._faults_report,
        }
        changes: dict[str, Handler] = {
            "/clock": self._clock,
            "/reset": self._reset,
            "/limits": self._limits,
            "/faults": self._set_faults,
            "/privileges": self._privileges,
            "/tables": self._tables,
            "/action": self._action,
        }
        return [
            Route("/seed", _guarded(self._seed), methods=["POST"]),
            Route("/judgement", _guarded(self._judgement), methods=["GET"]),
            *(Route(path, _guarded(_answering(handler, _query)), methods=["GET"]) for path, handler in reads.items()),
            *(Route(path, _guarded(_answering(handler, _body)), methods=["POST"]) for path, handler in changes.items()),
        ]

    async def _seed(self, request: Request) -> Response:
        given = await _body(request)
        known = {"jobs", "arrive_over", "age", "kinds", "random_seed"}
        _only(given, known)
        scenario = Scenario(
            jobs=int(given["jobs"]),
            arrive_over=float(given.get("arrive_over", 0)),
            age=float(given.get("age", 0)),
            weights={str(name): float(weight) for name, weight in (given.get("kinds") or {}).items()},
            random_seed=int(given.get("random_seed", 0)),
        )
        loaded = Loaded()
        for progress in load(self.environment.database, scenario, self._seeder()):
            loaded = progress
            await asyncio.sleep(0)
        self.arrivals.announce()
        return JSONResponse({"jobs": loaded.jobs, "packets": loaded.packets})

    def _seeder(self) -> int:
        neighbour = self.environment.database.value(
            "SELECT rowid FROM systemuser WHERE fullname = ?", (f"# {NEIGHBOUR}",)
        )
        return int(neighbour)

    def _expected(self, _given: dict[str, Any]) -> Any:
        return {"jobs": Audit(self.environment.database).expected()}

    def _overview(self, _given: dict[str, Any]) -> Any:
        tally = dict(self.environment.database.rows("SELECT what, n FROM tally"))
        statuses = {what.removeprefix("job:"): count for what, count in tally.items() if what.startswith("job:")}
        by_status = {
            str(label_of(int(status) if status else None)): count for status, count in statuses.items() if count
        }
        return {
            "jobs_by_status": by_status,
            "packets": tally.get("detail", 0),
            "packets_due": self.arrivals.packets_due(),
            "now": iso_instant(self.environment.database.clock.now()),
        }

    def _audit(self, given: dict[str, Any]) -> Any:
        limit = min(int(given.get("limit", 1000)), _MOST_CHANGES)
        return {"changes": Audit(self.environment.database).changes(int(given.get("after", 0)), limit)}

    async def _judgement(self, _request: Request) -> Response:
        with contextlib.closing(Snapshot(self.environment.database.path)) as snapshot:
            return JSONResponse(await asyncio.to_thread(judge, snapshot))

    def _stats(self, _given: dict[str, Any]) -> Any:
        return self.stats.report()

    def _clock(self, given: dict[str, Any]) -> Any:
        _only(given, {"advance"})
        self.environment.database.clock.advance(float(given["advance"]))
        return {"now": iso_instant(self.environment.database.clock.now())}

    def _reset(self, _given: dict[str, Any]) -> Any:
        self.environment.database.clear()
        self.applications.restore_users()
        self.environment.database.clock.reset()
        self.environment.privileges.denied.clear()
        self.environment.rows.reset_switches()
        self.web_api.functions.action_installed = True
        self.protection.sizes = self.sizes
        self.protection.clear()
        self.faults.replace([])
        self.stats.clear()
        return {}

    def _limits(self, given: dict[str, Any]) -> Any:
        _only(given, {each.name for each in fields(LimitSizes)})
        self.protection.sizes = replace(self.protection.sizes, **given)
        self.protection.clear()
        return {each.name: getattr(self.protection.sizes, each.name) for each in fields(LimitSizes)}

    def _set_faults(self, given: dict[str, Any]) -> Any:
        _only(given, {"rules", "random_seed"})
        rules = [FaultRule(**rule) for rule in given["rules"]]
        self.faults.replace(rules, int(given.get("random_seed", 0)))
        return {"rules": self.faults.report()}

    def _faults_report(self, _given: dict[str, Any]) -> Any:
        return {"rules": self.faults.report()}

    def _privileges(self, given: dict[str, Any]) -> Any:
        _only(given, {"client_id", "denied"})
        self.environment.privileges.denied[str(given["client_id"])] = frozenset(given["denied"])
        return {key: sorted(names) for key, names in self.environment.privileges.denied.items()}

    def _tables(self, given: dict[str, Any]) -> Any:
        _only(given, {"table", "optimistic_concurrency", "change_tracking"})
        switches = {name: bool(value) for name, value in given.items() if name != "table"}
        rows = self.environment.rows
        rows.switches[given["table"]] = replace(rows.switches[given["table"]], **switches)
        return {name: {each.name: getattr(it, each.name) for each in fields(it)} for name, it in rows.switches.items()}

    def _action(self, given: dict[str, Any]) -> Any:
        _only(given, {"installed"})
        self.web_api.functions.action_installed = bool(given["installed"])
        return {"installed": self.web_api.functions.action_installed}


def _only(given: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; there are {', '.join(sorted(known))}")


async def _query(request: Request) -> dict[str, Any]:
    return dict(request.query_params)


async def _body(request: Request) -> dict[str, Any]:
    document = json.loads(await request.body() or b"{}")
    if not isinstance(document, dict):
        raise ValueError("a JSON object was expected")  # noqa: TRY004 - what was sent is wrong, not a type in here
    return document


def _answering(
    handler: Handler, read: Callable[[Request], Awaitable[dict[str, Any]]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return JSONResponse(handler(await read(request)))

    return answer


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Peers on this machine only; what they send wrongly is said to them."""

    async def guarded(request: Request) -> Response:
        if request.client is not None and not _is_loopback(request.client.host):
            return JSONResponse({"error": "the control surface answers peers on this machine only"}, 403)
        try:
            return await endpoint(request)
        except (KeyError, TypeError, ValueError) as error:
            said = f"missing key {error}" if isinstance(error, KeyError) else str(error)
            return JSONResponse({"error": said}, 400)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "testclient"
