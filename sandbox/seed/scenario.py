"""A scenario as database rows: made in portions, so that a million jobs need no more memory than a thousand."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.seed.kinds import KINDS, Blueprint, JobKind, Packet
from sandbox.tables import READY

PORTION = 1000
_BURST = 0.25
"""Within which share of the whole time the packets of one job arrive."""
_ENTITIES = ("msdyn_project", "msdyn_projecttask", "msdyn_resourceassignment")
_NAMES = (
    "Plan {n}",
    "O'Brien & Söhne, {n}",
    'He said "go" {n}',
    "<Umbau> 100 % {n}",
    "Проект {n}",
    "計画 {n}",
    "İstanbul ß {n}",
    "a+b=c?d#e/{n}\\x",
    "Naïve 🚀 {n}",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to seed.

    Args:
        jobs: How many jobs.
        arrive_over: Seconds over which jobs of some kinds come in with their packets; 0 puts all of them there at once.
        age: Seconds over which the rows' createdon lies back.
        weights: Kinds and their shares; empty for all kinds with their own.
        random_seed: Makes it repeatable.
    """

    jobs: int
    arrive_over: float = 0.0
    age: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    random_seed: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(KINDS))
        if unknown:
            raise ValueError(f"unknown kind of job {unknown[0]!r}; there are {', '.join(KINDS)}")
        if self.jobs < 0 or self.arrive_over < 0 or self.age < 0 or any(each < 0 for each in self.weights.values()):
            raise ValueError("jobs, arrive_over, age and weights cannot be negative")
        if self.weights and not any(self.weights.values()):
            raise ValueError("at least one kind needs a weight above 0")


@dataclass(slots=True)
class Portion:
    """Rows of some of a scenario's jobs.

    Args:
        jobs: Job rows, in the order of `JOB_COLUMNS`.
        packets: Packet rows, in the order of `PACKET_COLUMNS`.
        expected: Job id, kind, status, reason.
        arrivals: Instant, what, job id, values as JSON.
    """

    jobs: list[tuple[Any, ...]] = field(default_factory=list)
    packets: list[tuple[Any, ...]] = field(default_factory=list)
    expected: list[tuple[Any, ...]] = field(default_factory=list)
    arrivals: list[tuple[float, str, str, str]] = field(default_factory=list)

    @property
    def job_count(self) -> int:
        """Jobs, those still to arrive included."""
        return len(self.expected)

    @property
    def packet_count(self) -> int:
        """Packets, those still to arrive included."""
        return len(self.packets) + sum(1 for arrival in self.arrivals if arrival[1] == "packet")


JOB_COLUMNS = (
    "msdyn_integrationjobid", "msdyn_name", "msdyn_numberofpackets", "msdyn_regardingentity", "msdyn_regardingentityid",
    "msdyn_status", "msdyn_type", "statecode", "statuscode", "createdon", "modifiedon", "createdby", "modifiedby",
    "ownerid",
)  # fmt: skip
PACKET_COLUMNS = (
    "msdyn_integrationjobdetailid", "msdyn_name", "msdyn_integrationjobheader", "msdyn_sequencenumber",
    "msdyn_changesjson", "msdyn_fulljson", "statecode", "statuscode", "createdon", "modifiedon", "createdby",
    "modifiedby", "ownerid",
)  # fmt: skip


class ScenarioWriter:
    """Makes the rows of a scenario.

    Args:
        scenario: What to make.
        now: The sandbox's time.
        user: The row number of the user who created it all.
        already: How many jobs were seeded before, so that the same scenario twice makes different rows.
    """

    def __init__(self, scenario: Scenario, now: float, user: int, already: int = 0) -> None:
        self._scenario = scenario
        self._now = now
        self._user = user
        self._random = random.Random(f"{scenario.random_seed} after {already}")  # noqa: S311 - repeatable on purpose
        weights = scenario.weights or {kind.name: kind.weight for kind in KINDS.values()}
        self._kinds = [KINDS[name] for name in weights]
        self._weights = list(itertools.accumulate(weights.values()))
        self._wanted = [KINDS[name] for name, weight in weights.items() if weight > 0]

    def portions(self) -> Iterator[Portion]:
        """All rows, some jobs at a time. The first jobs are one of each kind, so that small scenarios have them all."""
        done = 0
        while done < self._scenario.jobs:
            portion = Portion()
            for number in range(done, min(done + PORTION, self._scenario.jobs)):
                self._add(portion, number)
            done += portion.job_count
            yield portion

    def _kind(self, number: int) -> JobKind:
        if number < len(self._wanted):
            return self._wanted[number]
        return self._random.choices(self._kinds, cum_weights=self._weights)[0]

    def _id(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def _add(self, portion: Portion, number: int) -> None:
        kind = self._kind(number)
        plan = kind.build(self._random)
        job_id = self._id()
        created = int(self._now - self._random.random() * self._scenario.age)
        streamed = kind.arrives and self._scenario.arrive_over > 0
        status, expected = _at_first(plan, streamed=streamed)
        name = self._random.choice(_NAMES).format(n=number)
        entity, regarding = self._random.choice(_ENTITIES), self._regarding(number)
        state, reason = (0, 1) if plan.active else (1, 2)
        user = self._user
        described = (job_id, name, expected, entity, regarding, status, plan.type, state, reason)
        portion.expected.append((job_id, kind.name, kind.status, kind.reason))
        if streamed:
            self._stream(portion, described, plan)
        else:
            portion.jobs.append((*described, created, created, user, user, user))
            portion.packets += [self._packet_row(job_id, packet, created) for packet in plan.packets]

    def _regarding(self, number: int) -> str:
        """Mostly a Guid; but the column is a text and holds anything."""
        return f"it's “{number}” & ünïcode" if number % 50 == 7 else self._id()

    def _packet_row(self, job_id: str, packet: Packet, created: int) -> tuple[Any, ...]:
        state, reason = (0, 1) if packet.active else (1, 2)
        name, user = f"Packet {packet.sequence}", self._user
        body = (packet.sequence, packet.changes, packet.full)
        return (self._id(), name, job_id, *body, state, reason, created, created, user, user, user)

    def _stream(self, portion: Portion, described: tuple[Any, ...], plan: Blueprint) -> None:
        """The job, then its packets one by one in any order, then, where it is so, the word that all are there.

        A client opens a job when it is about to send: job and packets lie close together, somewhere in the time given.
        """
        over, job_id = self._scenario.arrive_over, described[0]
        start = self._now + self._random.random() * over * (1 - _BURST)
        instants = sorted(start + self._random.random() * over * _BURST for _ in plan.packets)
        portion.arrivals.append((start, "job", job_id, json.dumps([*described, self._user])))
        packets = self._random.sample(plan.packets, len(plan.packets))
        for instant, packet in zip(instants, packets, strict=True):
            body = json.dumps([packet.sequence, packet.changes, packet.full, packet.active])
            portion.arrivals.append((instant, "packet", job_id, body))
        if plan.later is not None:
            last = max([*instants, start])
            portion.arrivals.append((last + 0.001, "ready", job_id, json.dumps(plan.expected)))


def _at_first(plan: Blueprint, *, streamed: bool) -> tuple[int, int | None]:
    """Status and expected count of the row before its packets come; when all is there at once, as it is after them."""
    if plan.later is None:
        return plan.status, plan.expected
    if not streamed:
        return READY, plan.expected
    return plan.status, None if plan.later == "count and ready" else plan.expected
