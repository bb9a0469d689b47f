"""Letting faults happen to a request: what `sandbox.faults` decided, before and after the work is done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox import errors
from sandbox.errors import DataverseError
from sandbox.exchange import Answer, Operation, error_answer
from sandbox.faults import FaultRule, Faults, Moment, Subject, is_write
from sandbox.limits import REQUESTS, Protection
from sandbox.stats import Stats


class ConnectionResetByFaultError(Exception):
    """The answer to this request is a reset connection."""


@dataclass(slots=True)
class Mishaps:
    """What befalls one request.

    Args:
        rules: The rules that struck.
        protection: Notes the waits that are named.
        stats: Counts what is refused.
        unauthorized: The answer to an expired token.
    """

    rules: Sequence[FaultRule]
    protection: Protection
    stats: Stats
    unauthorized: Answer

    @property
    def truncate(self) -> bool:
        """Whether the answer is cut short."""
        return any(rule.kind == "truncate" for rule in self.rules)

    async def happen(self, moment: Moment, client_id: str) -> Answer | None:
        """Let happen what belongs to this moment; returns what is answered in the place of the truth, if anything.

        Raises:
            ConnectionResetByFaultError: When the connection is to be reset.
        """
        for rule in self.rules:
            if _moment_of(rule) == moment:
                answer = await self._happen(rule, client_id)
                if answer is not None:
                    return answer
        return None

    async def _happen(self, rule: FaultRule, client_id: str) -> Answer | None:
        match rule.kind:
            case "latency":
                await asyncio.sleep(rule.seconds or 0.0)
            case "throttle":
                return self._throttled(rule, client_id)
            case "server_error":
                return _server_error(rule)
            case "expired_token":
                return self.unauthorized
            case "reset_before" | "reset_after":
                raise ConnectionResetByFaultError
            case "truncate":
                pass
        return None

    def _throttled(self, rule: FaultRule, client_id: str) -> Answer:
        seconds = max(1, round(rule.seconds or 1))
        self.protection.name_wait(client_id, seconds)
        self.stats.throttle(REQUESTS)
        return error_answer(DataverseError(429, REQUESTS, self.protection.message(REQUESTS), retry_after=seconds))


def mishaps_of(
    faults: Faults, operation: Operation, kind: str, protection: Protection, stats: Stats, unauthorized: Answer
) -> Mishaps:
    """What befalls a request under the rules in force."""
    rules: Sequence[FaultRule] = ()
    if faults.active:
        writes = is_write(kind, operation.body)
        caller = operation.caller.client_id
        rules = faults.strike(Subject(kind, operation.method, operation.path, caller, writes))
    return Mishaps(rules, protection, stats, unauthorized)


def _moment_of(rule: FaultRule) -> Moment:
    return "after" if rule.kind == "reset_after" else rule.moment


def _server_error(rule: FaultRule) -> Answer:
    """500 comes as JSON; the others come from in front of the service, as a page."""
    retry = [] if rule.seconds is None else [("Retry-After", str(round(rule.seconds)))]
    if rule.status == 500:
        answer = error_answer(errors.unexpected())
        answer.headers += retry
        return answer
    page = b"<html><body><h1>Service Unavailable</h1></body></html>"
    return Answer(rule.status, page, [("Content-Type", "text/html"), *retry])
