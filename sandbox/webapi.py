"""The Web API below its root: one operation in, one answer out. HTTP, sign-in, limits and faults lie around it."""

from __future__ import annotations

from sandbox import errors
from sandbox.batch import BatchRunner
from sandbox.database import Actor
from sandbox.environment import Environment
from sandbox.errors import DataverseError
from sandbox.exchange import Answer, Operation, error_answer, json_answer
from sandbox.functions import Functions
from sandbox.kinds import kind_of
from sandbox.metadata.requests import MetadataRequests
from sandbox.resource import Segment, segments
from sandbox.stats import Stats
from sandbox.table_reads import TableReads
from sandbox.table_writes import TableWrites
from sandbox.tables import ENTITY_SETS


class WebApi:
    """Answers operations.

    Args:
        environment: What they are about.
        stats: Where they are counted.
    """

    def __init__(self, environment: Environment, stats: Stats) -> None:
        self._environment = environment
        self._stats = stats
        self._reads = TableReads(environment)
        self._writes = TableWrites(environment)
        self.functions = Functions(environment, self._writes)
        self._metadata = MetadataRequests(environment)
        clock = environment.database.clock
        self._batch = BatchRunner(environment.database, self.perform, clock.date_header)

    def answer(self, operation: Operation) -> Answer:
        """The answer to a request: one operation, or a batch of them."""
        if operation.path != "$batch":
            return self.perform(operation)
        try:
            return self._batch.run(operation)
        except DataverseError as error:
            answer = error_answer(error)
            answer.kind = "batch"
            return answer

    def perform(self, operation: Operation) -> Answer:
        """The answer to one operation; a refusal is an answer too."""
        kind = kind_of(operation.method, operation.path, operation.query)
        try:
            answer = self._route(operation)
        except DataverseError as error:
            answer = error_answer(error)
        answer.kind = kind
        self._stats.operation(kind)
        return answer

    def _route(self, operation: Operation) -> Answer:
        if not operation.path:
            return self._service_document(operation)
        steps = segments(operation.path)
        if steps[0].name in ENTITY_SETS:
            return self._table(operation, steps)
        answer = self._metadata.answer(operation, steps)
        if answer is None:
            actor = Actor(operation.caller.client_id, operation.request_id)
            with self._environment.database.acting(actor), self._environment.database.transaction():
                answer = self.functions.unbound(operation, steps[0])
        if answer is None:
            raise errors.no_such_resource(steps[0].name)
        return answer

    def _table(self, operation: Operation, steps: tuple[Segment, ...]) -> Answer:
        if operation.method == "GET":
            return self._reads.get(operation, steps)
        actor = Actor(operation.caller.client_id, operation.request_id)
        with self._environment.database.acting(actor), self._environment.database.transaction():
            if len(steps) == 2 and "." in steps[1].name:
                return self.functions.bound(operation, steps)
            return self._writes.write(operation, steps)

    def _service_document(self, operation: Operation) -> Answer:
        sets = [{"name": name, "kind": "EntitySet", "url": name} for name in ENTITY_SETS]
        return json_answer({"@odata.context": f"{operation.root}/$metadata", "value": sets})
