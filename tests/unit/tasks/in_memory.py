"""The settle flow's ports in memory: a job store over `Table`, hints that are remembered, leases renewed on demand.

The store keeps what the real one promises: a write with another ETag is refused; where an answer is lost, before or
after the write was done, the row is read back and recognised; nothing is repeated blindly. Tests act in between: as a
neighbour through the table, as bad luck through `InMemoryStore.script`, at any step through `InMemoryStore.before`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from tasks.claims import Standing, standing
from tasks.model import Claim, Job, JobStatus, Packet, PacketCount
from tasks.ports import ClaimRequest, Held, Look, NotClaimed, Settled, Settlement
from tasks.response import read_claim, read_settled_by, write_claim
from tests.unit.tasks.table import RowChanged, RowGone, Table

ROUNDS = 6
"""How often the store sends a write while the row is still ours."""

LEASE = timedelta(minutes=5)


class StoreError(Exception):
    """Dataverse could not be reached at all."""


class Luck(Enum):
    """What may become of one request."""

    FAILS = auto()  # it never arrives
    ANSWER_LOST = auto()  # it arrives, is carried out, and nobody hears of it
    REFUSED = auto()  # it is refused for good, as for a missing privilege


class Fate(Enum):
    """What became of one write."""

    DONE = auto()
    LOST = auto()
    GONE = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Write:
    """One guarded write, and how to recognise it once it is done."""

    step: str
    job_id: UUID
    claim: Claim
    status: JobStatus | None
    response_json: str
    settles: bool = False

    def is_done(self, row: Job, etag: str) -> bool:
        if self.settles:
            return standing(row, self.claim, etag) is Standing.SETTLED
        return standing(row, self.claim, etag) is Standing.HELD and row.claim == self.claim

    def may_be_tried_on(self, row: Job, etag: str) -> bool:
        wanted = Standing.UNTOUCHED if self.step == "claim" else Standing.HELD
        return standing(row, self.claim, etag) is wanted


@dataclass
class InMemoryStore:
    """Implements `tasks.ports.JobStore` for one worker process."""

    table: Table
    name: str = "store"
    before: Callable[[str], None] = lambda _: None
    """Called before each step that reaches Dataverse, with the step's name: anything may happen there."""
    asked: list[str] = field(default_factory=list)
    marked: list[tuple[UUID, str]] = field(default_factory=list)
    _luck: dict[str, deque[Luck | None]] = field(default_factory=lambda: defaultdict(deque))

    def script(self, step: str, *lucks: Luck | None) -> None:
        """Say what becomes of the next requests of one kind; None is good luck."""
        self._luck[step].extend(lucks)

    def look(self, ids: Sequence[UUID]) -> Look:
        self._read("look")
        jobs = {job_id: self._job(job_id) for job_id in ids if job_id in self.table.rows}
        counts = {job_id: self._count(job_id) for job_id in jobs if self.table.packets[job_id]}
        return Look(jobs, counts, self.table.now)

    def conflicting(self, ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        self._read("conflicting")
        return {job_id: any(len(payloads) > 1 for payloads in self._payloads(job_id).values()) for job_id in ids}

    def sequence_numbers(self, ids: Sequence[UUID]) -> Mapping[UUID, Iterator[int]]:
        self._read("sequence_numbers")
        return {job_id: iter(sorted(self._numbers(job_id))) for job_id in ids}

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[Held | NotClaimed]:
        return [self._claim(request) for request in requests]

    def renew(self, held: Sequence[Held], until: Sequence[datetime]) -> Sequence[Held | None]:
        return [self._renew(one, at) for one, at in zip(held, until, strict=True)]

    def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        return [self._settle(one) for one in settlements]

    def packets(self, job_id: UUID) -> Iterator[Packet]:
        self._read("packets")
        for packet, _ in sorted(self.table.packets.get(job_id, ()), key=lambda each: each[0].sequence_number or 0):
            yield packet

    def mark_failed(self, job_id: UUID, message: str) -> None:
        self.before("mark_failed")
        self.marked.append((job_id, message))

    def now(self) -> datetime:
        return self.table.now

    def _claim(self, request: ClaimRequest) -> Held | NotClaimed:
        job, claim = request.job, request.claim
        fate, etag = self._write(Write("claim", job.id, claim, JobStatus.PROCESSING, write_claim(claim)), job.etag)
        if fate is Fate.DONE:
            return Held(job, claim, etag)
        return {Fate.LOST: NotClaimed.LOST, Fate.GONE: NotClaimed.GONE}.get(fate, NotClaimed.ERROR)

    def _renew(self, one: Held, at: datetime) -> Held | None:
        claim = replace(one.claim, lease_expires_at=at)
        fate, etag = self._write(Write("renew", one.job.id, claim, None, write_claim(claim)), one.etag)
        return replace(one, claim=claim, etag=etag) if fate is Fate.DONE else None

    def _settle(self, one: Settlement) -> Settled:
        write = Write("settle", one.held.job.id, one.held.claim, one.status, one.document, settles=True)
        fate, _ = self._write(write, one.held.etag)
        return {Fate.DONE: Settled.DONE, Fate.LOST: Settled.LOST, Fate.GONE: Settled.GONE}.get(fate, Settled.NOT_YET)

    def _read(self, step: str) -> None:
        self.asked.append(step)
        self.before(step)
        if self._next_luck(step) is not None:
            raise StoreError(step)

    def _write(self, write: Write, etag: str) -> tuple[Fate, str]:
        """Write until the outcome is known; a first claim that meets a 412 has lost."""
        for number in range(ROUNDS):
            fate, new_etag = self._send(write, etag)
            if fate is not None and not (fate is Fate.LOST and (number or write.step != "claim")):
                return fate, new_etag
            fate, etag = self._read_back(write, etag)
            if fate is not None:
                return fate, etag
        return Fate.UNKNOWN, ""

    def _send(self, write: Write, etag: str) -> tuple[Fate | None, str]:
        """Send one write; no fate where its answer is missing."""
        self.asked.append(write.step)
        self.before(write.step)
        luck = self._next_luck(write.step)
        if luck is Luck.REFUSED:
            return Fate.UNKNOWN, ""
        if luck is Luck.FAILS:
            return None, ""
        try:
            self.table.update(write.job_id, etag, write.status, write.response_json, by=self.name)
        except (RowGone, RowChanged) as answer:
            fate = Fate.GONE if isinstance(answer, RowGone) else Fate.LOST
            return (None, "") if luck is Luck.ANSWER_LOST else (fate, "")
        return (None, "") if luck is Luck.ANSWER_LOST else (Fate.DONE, self.table.rows[write.job_id].etag)

    def _read_back(self, write: Write, etag: str) -> tuple[Fate | None, str]:
        """Find out what became of a write; no fate, but an ETag to try again with, where it may be sent again."""
        self.asked.append("read_back")
        self.before("read_back")
        if self._next_luck("read_back") is not None:
            return None, etag
        if write.job_id not in self.table.rows:
            return Fate.GONE, ""
        row = self._job(write.job_id)
        if write.is_done(row, etag):
            return Fate.DONE, row.etag
        return (None, row.etag) if write.may_be_tried_on(row, etag) else (Fate.LOST, "")

    def _next_luck(self, step: str) -> Luck | None:
        return self._luck[step].popleft() if self._luck[step] else None

    def _job(self, job_id: UUID) -> Job:
        row = self.table.rows[job_id]
        return Job(
            id=row.id,
            etag=row.etag,
            name=None,
            status=JobStatus(row.status) if row.status in set(JobStatus) else None,
            is_active=row.is_active,
            type=row.type,
            expected_packets=row.expected,
            regarding_entity=row.regarding,
            regarding_entity_id=None,
            created_on=row.created_on,
            modified_on=row.modified_on,
            claim=read_claim(row.response_json),
            settled_by=read_settled_by(row.response_json),
        )

    def _count(self, job_id: UUID) -> PacketCount:
        rows, numbers = self.table.packets[job_id], self._numbers(job_id)
        return PacketCount(
            rows=len(rows),
            numbered=len(numbers),
            distinct=len(set(numbers)),
            lowest=min(numbers, default=None),
            highest=max(numbers, default=None),
            newest=max(created_on for _, created_on in rows),
        )

    def _numbers(self, job_id: UUID) -> list[int]:
        found = (packet.sequence_number for packet, _ in self.table.packets[job_id])
        return [number for number in found if number is not None]

    def _payloads(self, job_id: UUID) -> Mapping[int, set[tuple[str | None, str | None]]]:
        found: dict[int, set[tuple[str | None, str | None]]] = defaultdict(set)
        for packet, _ in self.table.packets[job_id]:
            if packet.sequence_number is not None:
                found[packet.sequence_number].add((packet.changes_json, packet.full_json))
        return found


@dataclass
class RecordedHints:
    """Implements `tasks.ports.Hints` by remembering what it was told."""

    looks: dict[UUID, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    released: list[UUID] = field(default_factory=list)
    forgotten: list[UUID] = field(default_factory=list)
    rescues: list[UUID] = field(default_factory=list)

    def look_again(self, job_id: UUID, at: datetime) -> None:
        self.looks[job_id].append(at)

    def release(self, ids: Sequence[UUID]) -> None:
        self.released.extend(ids)

    def forget(self, ids: Sequence[UUID]) -> None:
        self.forgotten.extend(ids)

    def rescue(self, job_id: UUID) -> None:
        self.rescues.append(job_id)


@dataclass
class TickedLeases:
    """Implements `tasks.ports.Leases`; renews when a test says that the time has come."""

    store: InMemoryStore
    lease: timedelta = LEASE
    _held: list[Held | None] = field(default_factory=list)
    _is_keeping: bool = False

    @contextmanager
    def keep(self, held: Sequence[Held]) -> Iterator["TickedLeases"]:
        self._held, self._is_keeping = list(held), True
        try:
            yield self
        finally:
            self._is_keeping = False

    def current(self) -> Sequence[Held | None]:
        return tuple(self._held)

    def tick(self) -> None:
        """Renew what is held, as the keeper's thread does at a third of the lease."""
        for position, one in enumerate(self._held):
            if self._is_keeping and one is not None:
                (self._held[position],) = self.store.renew([one], [self.store.now() + self.lease])
