"""Whatever happens between any two steps of two workers: no job leaves its end, none ends twice, each one ends."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from structlog.testing import capture_logs

from tasks.handlers import PermanentError
from tasks.model import FINAL_STATUSES, MS_PROJECT_CLIENT, OPEN_STATUSES, Claim, Job, JobStatus, Packet
from tasks.response import read_claim, read_settled_by
from tests.unit.tasks.in_memory import LEASE, Luck, StoreError
from tests.unit.tasks.scene import Worker, document, read_all
from tests.unit.tasks.stepping import Process
from tests.unit.tasks.table import Change, Table

SPANS = [timedelta(seconds=1), timedelta(seconds=10), LEASE / 2, LEASE, timedelta(hours=1), timedelta(hours=24)]
HUSH = "content-that-no-log-may-show"
WORKERS = st.sampled_from([0, 1])
STEPS = st.integers(0, 8)
PLANS = st.lists(st.sampled_from(["ok", "fail", "fail", "reject", "soft limit"]), max_size=4)


class Referee:
    """Watches every change of every row."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._seen = 0
        self._claims: dict[UUID, Claim | None] = {}

    def look(self) -> None:
        for change in self._table.changes[self._seen :]:
            self._judge(change, self._claims.get(change.job_id))
            self._claims[change.job_id] = read_claim(change.response_json)
        self._seen = len(self._table.changes)

    def _judge(self, change: Change, standing: Claim | None) -> None:
        if change.by == "neighbour":
            return
        assert change.before not in FINAL_STATUSES, "a final status was left"
        if change.after in FINAL_STATUSES:
            assert change.before == JobStatus.PROCESSING
            assert standing is not None, "a job was ended that nobody of ours held"
            assert read_settled_by(change.response_json) == (standing.worker, standing.attempt)
            assert change.by == standing.worker
        else:
            assert change.after == JobStatus.PROCESSING
            self._judge_claim(change, standing)

    def _judge_claim(self, change: Change, standing: Claim | None) -> None:
        made = read_claim(change.response_json)
        assert made is not None
        assert made.worker == change.by
        if change.before in OPEN_STATUSES:
            assert made.attempt == 1
            return
        assert standing is not None, "what somebody else processes was touched"
        if not made.is_by(standing):
            assert made.attempt == standing.attempt + 1, "two claims of one attempt"
            assert standing.lease_expires_at <= change.at, "a claim was taken over before it expired"


class Interleavings(RuleBasedStateMachine):
    """Two workers, a neighbour, packets, bad luck and time."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.referee = Referee(self.table)
        self.plans: dict[UUID, list[str]] = {}
        self.started = 0
        self._logs = capture_logs()
        self.logged = self._logs.__enter__()
        self.processes = [self._new_process(), self._new_process()]

    def _new_process(self) -> Process:
        self.started += 1
        worker = Worker(self.table, f"worker-{self.started}")
        process = Process(worker)

        def handle(job: Job, packets: Iterator[Packet]) -> Mapping[str, Any]:
            process.stand_still("handler")
            plan = self.plans.get(job.id)
            match plan.pop(0) if plan else "":
                case "fail":
                    raise ValueError(HUSH)
                case "reject":
                    raise PermanentError("no")
                case "soft limit":
                    raise SoftTimeLimitExceeded
                case _:
                    pass
            return read_all(job, packets)

        worker.handler.otherwise = handle
        return process

    @initialize(target=jobs, plans=st.lists(PLANS, min_size=2, max_size=3))
    def complete_jobs_are_there(self, plans: list[list[str]]) -> Any:
        return multiple(*(self._create(JobStatus.WAITING, 2, MS_PROJECT_CLIENT, [1, 2], plan) for plan in plans))

    @rule(
        target=jobs,
        status=st.sampled_from([JobStatus.WAITING, JobStatus.WAITING, JobStatus.READY, JobStatus.PROCESSING, None]),
        expected=st.sampled_from([0, 1, 2, 2, 3, None]),
        kind=st.sampled_from([MS_PROJECT_CLIENT, MS_PROJECT_CLIENT, MS_PROJECT_CLIENT, None]),
        arrived=st.integers(0, 3),
        plan=PLANS,
    )
    def a_job_is_created(
        self, status: JobStatus | None, expected: int | None, kind: int | None, arrived: int, plan: list[str]
    ) -> UUID:
        return self._create(status, expected, kind, list(range(1, arrived + 1)), plan)

    def _create(
        self, status: JobStatus | None, expected: int | None, kind: int | None, packets: list[int], plan: list[str]
    ) -> UUID:
        job_id = self.table.create(status=status, expected=expected, kind=kind, packets=packets)
        self.plans[job_id] = list(plan)
        return job_id

    @rule(job_id=jobs, number=st.sampled_from([0, 1, 1, 2, 2, 3, None]), payload=st.sampled_from(["{}", HUSH]))
    def a_packet_arrives(self, job_id: UUID, number: int | None, payload: str) -> None:
        self.table.add_packet(job_id, number, payload)

    @rule(span=st.sampled_from(SPANS))
    def time_passes(self, span: timedelta) -> None:
        self.table.pass_time(span)

    @rule(which=WORKERS, steps=STEPS)
    def a_chunk_of_all_jobs_is_delivered(self, which: int, steps: int) -> None:
        ids = list(self.table.rows)
        self._deliver(which, steps, lambda worker: worker.settle(*ids))

    @rule(which=WORKERS, ids=st.lists(jobs, min_size=1, max_size=3, unique=True), steps=STEPS)
    def a_chunk_is_delivered(self, which: int, ids: list[UUID], steps: int) -> None:
        self._deliver(which, steps, lambda worker: worker.settle(*ids))

    @rule(which=WORKERS, job_id=jobs, steps=STEPS)
    def a_rescue_is_delivered(self, which: int, job_id: UUID, steps: int) -> None:
        self._deliver(which, steps, lambda worker: worker.rescue(job_id))

    def _deliver(self, which: int, steps: int, work: Callable[[Worker], None]) -> None:
        process = self.processes[which]
        if not process.is_busy:
            process.start(lambda: work(process.worker))
        for _ in range(steps):
            process.step()

    @rule(which=WORKERS)
    def a_worker_is_killed(self, which: int) -> None:
        self.processes[which].kill()
        self.processes[which] = self._new_process()

    @rule(which=WORKERS)
    def a_worker_renews_its_leases(self, which: int) -> None:
        self.processes[which].worker.leases.tick()

    @rule(
        which=WORKERS,
        step=st.sampled_from(["look", "claim", "claim", "settle", "settle", "renew", "packets", "sequence_numbers"]),
        luck=st.sampled_from(Luck),
        read_back_fails=st.booleans(),
    )
    def bad_luck_lies_ahead(self, which: int, step: str, luck: Luck, read_back_fails: bool) -> None:
        store = self.processes[which].worker.store
        store.script(step, luck)
        if read_back_fails:
            store.script("read_back", Luck.FAILS)

    @rule(
        job_id=jobs,
        columns=st.sampled_from([{"regarding": "another_table"}, {"is_active": False}])
        | st.fixed_dictionaries({"status": st.sampled_from([*JobStatus, None])}, optional={"response_json": st.none()}),
    )
    def a_neighbour_edits_a_job(self, job_id: UUID, columns: dict[str, object]) -> None:
        if "status" not in columns or self.table.status(job_id) not in FINAL_STATUSES:
            self.table.edit(job_id, **columns)

    @rule(job_id=consumes(jobs))
    def a_job_is_deleted(self, job_id: UUID) -> None:
        self.table.delete(job_id)

    @invariant()
    def every_change_is_allowed(self) -> None:
        self.referee.look()

    def teardown(self) -> None:
        try:
            for process in self.processes:
                process.finish()
                assert all(isinstance(error, StoreError) for error in process.errors), process.errors
            self._leave_the_machinery_running()
            self.referee.look()
            self._see_that_every_job_ended()
            assert HUSH not in repr(self.logged)
        finally:
            self._logs.__exit__(None, None, None)

    def _leave_the_machinery_running(self) -> None:
        worker = self._new_process().worker
        self.table.pass_time(timedelta(hours=25))
        for _ in range(worker.policy.max_attempts + 3):
            worker.settle(*self.table.rows)
            for job_id in worker.hints.rescues:
                worker.rescue(job_id)
            worker.hints.rescues.clear()
            self.table.pass_time(LEASE)

    def _see_that_every_job_ended(self) -> None:
        for job_id, row in self.table.rows.items():
            if row.status in FINAL_STATUSES:
                if read_settled_by(row.response_json):
                    document(self.table, job_id)
                continue
            assert row.status not in OPEN_STATUSES, "an open job was left behind"
            assert row.status is None or read_claim(row.response_json) is None, "a claim of ours was left behind"


class TestInterleavings(Interleavings.TestCase):  # type: ignore[misc, valid-type]
    """Runs the machine. A failure is told as it was found: making it smaller would take minutes."""

    settings = settings(
        max_examples=150, stateful_step_count=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
    )
