"""Fault rules: which requests go wrong, how, and how often. The going wrong itself is in `sandbox.gateway`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from sandbox.kinds import WRITES

FaultKind = Literal["latency", "throttle", "server_error", "reset_before", "reset_after", "truncate", "expired_token"]
Moment = Literal["before", "after"]
FAULT_KINDS: tuple[str, ...] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule looks at.

    Args:
        kind: The kind of operation.
        method: The HTTP verb.
        path: The URL's path.
        caller: The client id.
        writes: Whether it changes anything; for a batch, whether anything in it does.
    """

    kind: str
    method: str
    path: str
    caller: str
    writes: bool


@dataclass(slots=True)
class FaultRule:
    """One rule.

    Args:
        kind: What happens.
        share: Which share of the matching requests it happens to; all of them without share and next.
        next: To how many of the next matching requests it happens, instead of a share.
        operation: Only for this kind of operation, such as "batch", "retrieve", "create", or for "read" or "write".
        method: Only for this verb.
        path: Only where the path contains this.
        caller: Only for this client id.
        writes_only: Only where something would be changed.
        seconds: The delay of a latency; the Retry-After of a throttle or a server error.
        status: The status of a server error.
        moment: Whether a latency or a server error comes before the work is done or after it.
        fired: How often it happened.
    """

    kind: FaultKind
    share: float | None = None
    next: int | None = None
    operation: str | None = None
    method: str | None = None
    path: str | None = None
    caller: str | None = None
    writes_only: bool = False
    seconds: float | None = None
    status: int = 503
    moment: Moment = "before"
    fired: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; there are {', '.join(FAULT_KINDS)}")
        if self.share is not None and not 0 <= self.share <= 1:
            raise ValueError("share has to lie between 0 and 1")
        if self.moment not in get_args(Moment):
            raise ValueError("moment has to be 'before' or 'after'")
        if not 400 <= self.status <= 599:
            raise ValueError("status has to be an error status")

    def matches(self, subject: Subject) -> bool:
        """Whether the rule is about this request."""
        return (
            self._matches_operation(subject)
            and (self.method is None or self.method.upper() == subject.method)
            and (self.path is None or self.path in subject.path)
            and (self.caller is None or self.caller == subject.caller)
            and (subject.writes or not self.writes_only)
        )

    def _matches_operation(self, subject: Subject) -> bool:
        match self.operation:
            case None:
                return subject.kind != "token"
            case "write":
                return subject.writes
            case "read":
                return not subject.writes and subject.kind != "token"
            case kind:
                return kind == subject.kind

    def strikes(self, chance: float) -> bool:
        """Whether it happens to the matching request at hand."""
        if self.next is not None:
            hit = self.next > 0
            self.next -= int(hit)
        else:
            hit = self.share is None or chance < self.share
        self.fired += int(hit)
        return hit

    def report(self) -> dict[str, Any]:
        """The rule and how often it fired."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Faults:
    """The rules in force. They are looked at in order; latencies add up, of the others the first one strikes."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._random = random.Random(0)  # noqa: S311 - reproducible on purpose

    def replace(self, rules: Sequence[FaultRule], seed: int = 0) -> None:
        """Put these rules in the place of all others."""
        self._rules = list(rules)
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose

    def strike(self, subject: Subject) -> list[FaultRule]:
        """The rules that this request falls under: any number of latencies, and at most one other."""
        struck: list[FaultRule] = []
        for rule in self._rules:
            done = rule.kind != "latency" and any(each.kind != "latency" for each in struck)
            if not done and rule.matches(subject) and rule.strikes(self._random.random()):
                struck.append(rule)
        return struck

    @property
    def active(self) -> bool:
        """Whether there is any rule."""
        return bool(self._rules)

    def report(self) -> list[dict[str, Any]]:
        """All rules with how often each fired."""
        return [rule.report() for rule in self._rules]


def is_write(kind: str, body: bytes) -> bool:
    """Whether a request changes anything: a write, or a batch with a write in it."""
    if kind == "batch":
        return any(verb in body for verb in (b"\nPATCH ", b"\nPOST ", b"\nPUT ", b"\nDELETE "))
    return kind in WRITES
