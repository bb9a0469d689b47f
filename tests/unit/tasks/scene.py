"""A worker process around the tables in memory, and what tests ask about how a job fared."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import jsonschema
from prometheus_client import CollectorRegistry

from config.metrics import JobMetrics
from tasks.finish import Finisher
from tasks.handlers import Handler, Handlers
from tasks.model import FINAL_STATUSES, Job, JobStatus, Packet
from tasks.response import schema
from tasks.rules import Policy
from tasks.settle import Settler
from tests.unit.tasks.in_memory import InMemoryStore, RecordedHints, TickedLeases
from tests.unit.tasks.table import Change, Table

CHECKER = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())


def read_all(job: Job, packets: Iterator[Packet]) -> Mapping[str, Any]:
    """Handle a job by telling which packets were read."""
    return {"numbers": [packet.sequence_number for packet in packets]}


@dataclass
class HandlerPlan:
    """A handler that does what a test planned for each job."""

    planned: dict[UUID, list[Handler]] = field(default_factory=dict)
    otherwise: Handler = read_all
    handled: list[UUID] = field(default_factory=list)

    def __call__(self, job: Job, packets: Iterator[Packet]) -> Mapping[str, Any] | None:
        self.handled.append(job.id)
        planned = self.planned.get(job.id)
        handler = planned.pop(0) if planned else self.otherwise
        return handler(job, packets)


@dataclass
class Worker:
    """One worker process: its settler and everything that the settler was given."""

    table: Table
    name: str = "worker-1"
    policy: Policy = field(default_factory=Policy)
    handler: HandlerPlan = field(default_factory=HandlerPlan)
    fail_with_action: bool = False
    hints: RecordedHints = field(default_factory=RecordedHints)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.store = InMemoryStore(self.table, self.name)
        self.leases = TickedLeases(self.store, self.policy.lease)
        metrics = JobMetrics(self.registry)
        handlers = Handlers({"default": self.handler})
        finisher = Finisher(self.store, self.hints, self.leases, handlers, self.policy, metrics, self.fail_with_action)
        self.settler = Settler(self.store, self.hints, finisher, self.policy, self.name, metrics)

    def settle(self, *ids: UUID) -> None:
        self.settler.settle(ids)

    def rescue(self, job_id: UUID) -> None:
        self.settler.rescue(job_id)

    def plan(self, job_id: UUID, *handlers: Handler) -> None:
        """Say what the handler does with a job, attempt by attempt."""
        self.handler.planned[job_id] = list(handlers)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def failing(error: BaseException) -> Handler:
    """Make a handler that raises this."""

    def handler(job: Job, packets: Iterator[Packet]) -> None:
        raise error

    return handler


def document(table: Table, job_id: UUID) -> dict[str, Any]:
    """Read a job's response or claim document, which must fit its schema."""
    found: dict[str, Any] = json.loads(table.rows[job_id].response_json or "{}")
    CHECKER.validate(found)
    return found


def ended(table: Table, job_id: UUID) -> tuple[JobStatus, str]:
    """Tell how a job ended: its status and the reason in its response."""
    status = JobStatus(table.rows[job_id].status or 0)
    found = document(table, job_id)
    assert found["status"] == status.label
    return status, found["reason"]


def into(table: Table, job_id: UUID, *statuses: JobStatus) -> list[Change]:
    """List this project's changes of a job into one of these statuses, from another."""
    return [
        each
        for each in table.changes
        if each.job_id == job_id and each.by != "neighbour" and each.before != each.after and each.after in statuses
    ]


def endings(table: Table, job_id: UUID) -> list[Change]:
    """List this project's changes of a job into a final status."""
    return into(table, job_id, *FINAL_STATUSES)
