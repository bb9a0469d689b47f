"""The two tables through the store: what is seen, claimed, renewed and settled, and what becomes of lost answers."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tasks.claims import first_claim, next_claim
from tasks.model import ClaimVerdict, Handle, Job, JobStatus, PacketCount, Reason
from tasks.ports import ClaimRequest, Held, NotClaimed, Settled, Settlement
from tasks.response import MAX_LENGTH, MissingPackets, Response, write_response
from tests.integration.neighbour import FAILED, PROCESSING, SUCCEEDED, WAITING, Neighbour
from tests.integration.test_dataverse_client import Sandbox, running, sandbox
from worker.store.jobs import DataverseJobStore
from worker.store.questions import PollQuestions

__all__ = ["running", "sandbox"]

LEASE = timedelta(minutes=5)
LOST_ANSWERS = [
    {"kind": "reset_before", "next": 1},
    {"kind": "reset_after", "next": 1},
    {"kind": "truncate", "next": 1},
    {"kind": "server_error", "status": 503, "next": 1},
    {"kind": "server_error", "status": 500, "moment": "after", "next": 1},
]


@pytest.fixture
def store(sandbox: Sandbox) -> DataverseJobStore:
    return DataverseJobStore(sandbox.client())


@pytest.fixture
def questions(sandbox: Sandbox) -> PollQuestions:
    return PollQuestions(sandbox.client())


@pytest.fixture
def neighbour(sandbox: Sandbox) -> Iterator[Neighbour]:
    made = Neighbour(sandbox.ready)
    yield made
    made.close()


def created(neighbour: Neighbour, packets: Sequence[int | None] = (1,), **columns: Any) -> UUID:
    """Create a job with packets of these numbers."""
    job = neighbour.create_job(**columns)
    for number in packets:
        neighbour.create_packet(job, number)
    return UUID(job)


def request_for(store: DataverseJobStore, job_id: UUID, worker: str = "one") -> ClaimRequest:
    """Read a job and make up the claim on it."""
    look = store.look([job_id])
    job = look.jobs[job_id]
    return ClaimRequest(job, first_claim(job, Handle(Reason.COMPLETE), worker, look.now, LEASE))


def held(store: DataverseJobStore, job_id: UUID) -> Held:
    """Claim a job."""
    (outcome,) = store.claim([request_for(store, job_id)])
    assert isinstance(outcome, Held)
    return outcome


def settlement(one: Held, document: str | None = None) -> Settlement:
    """Make up how a claim is settled."""
    response = Response(
        status=JobStatus.SUCCEEDED,
        reason=Reason.COMPLETE,
        expected_packets=1,
        received_packets=1,
        duplicate_packets=0,
        missing=MissingPackets(),
        attempt=one.claim.attempt,
        worker=one.claim.worker,
        started_at=one.job.created_on,
        finished_at=one.job.created_on,
    )
    return Settlement(one, JobStatus.SUCCEEDED, Reason.COMPLETE, document or write_response(response))


def changes(sandbox: Sandbox, job_id: UUID) -> list[tuple[str | None, str | None]]:
    """List a job's changes of status, as the audit has them."""
    audit = sandbox.control.get("audit?limit=5000")["changes"]
    mine = [change for change in audit if change["job_id"] == str(job_id)]
    return [(c["old_status"], c["new_status"]) for c in mine if c["old_status"] != c["new_status"]]


def jobs_there(sandbox: Sandbox) -> int:
    return sum(sandbox.control.get("overview")["jobs_by_status"].values())


# Looking


def test_a_chunk_is_seen_with_its_packets_in_one_request(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour
) -> None:
    jobs = [created(neighbour, numbers) for numbers in ([], [1, 2, 2, None], [0, 5])]
    gone = uuid4()
    store.look(jobs)  # signs in
    before = sandbox.control.get("stats")

    look = store.look([*jobs, gone])

    after = sandbox.control.get("stats")
    assert after["requests"] - before["requests"] == 1
    assert look.jobs.keys() == set(jobs)
    assert look.count(jobs[0]) == PacketCount()
    second, third = look.count(jobs[1]), look.count(jobs[2])
    assert (second.rows, second.numbered, second.distinct, second.lowest, second.highest) == (4, 3, 2, 1, 2)
    assert (third.rows, third.distinct, third.lowest, third.highest) == (2, 2, 0, 5)
    assert third.newest is not None
    assert look.now - timedelta(minutes=1) < third.newest <= look.now + timedelta(seconds=1)


def test_packets_that_are_not_active_do_not_count(store: DataverseJobStore, neighbour: Neighbour) -> None:
    job = created(neighbour, [1])
    neighbour.create_packet(str(job), 2, statecode=1)

    assert store.look([job]).count(job).rows == 1
    assert [packet.sequence_number for packet in store.packets(job)] == [1]


def test_a_row_of_nulls_is_read_as_it_is(store: DataverseJobStore, neighbour: Neighbour) -> None:
    nulls = dict.fromkeys(["msdyn_status", "msdyn_type", "msdyn_numberofpackets", "msdyn_regardingentity"])
    job_id = created(neighbour, [], **nulls)

    job = store.look([job_id]).jobs[job_id]

    assert (job.status, job.type, job.expected_packets, job.regarding_entity, job.name) == (None,) * 5
    assert job.is_active


def test_packets_come_by_number_with_their_copies_side_by_side(store: DataverseJobStore, neighbour: Neighbour) -> None:
    job = created(neighbour, [3, 1, 2, 1])

    assert [packet.sequence_number for packet in store.packets(job)] == [1, 1, 2, 3]
    assert {each: list(numbers) for each, numbers in store.sequence_numbers([job]).items()} == {job: [1, 1, 2, 3]}


@pytest.mark.parametrize(
    ("copies", "conflict"),
    [
        (({"msdyn_fulljson": "a"}, {"msdyn_fulljson": "a"}), False),
        (({"msdyn_fulljson": "a"}, {"msdyn_fulljson": "A"}), True),  # Dataverse's own comparison ignores case
        (({"msdyn_fulljson": "a "}, {"msdyn_fulljson": "a"}), True),
        (({"msdyn_fulljson": None}, {"msdyn_fulljson": None}), False),
        (({"msdyn_fulljson": None}, {"msdyn_fulljson": "a"}), True),
        (({"msdyn_changesjson": "x"}, {"msdyn_changesjson": "y"}), True),
    ],
)
def test_copies_are_compared_as_exact_text(
    store: DataverseJobStore, neighbour: Neighbour, copies: tuple[dict[str, Any], ...], conflict: bool
) -> None:
    job = created(neighbour, [2])
    for columns in copies:
        neighbour.create_packet(str(job), 1, **columns)

    assert store.conflicting([job]) == {job: conflict}


# Claiming


def test_claims_of_a_chunk_are_one_request_and_one_that_is_lost_takes_no_other_along(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour
) -> None:
    jobs = [created(neighbour) for _ in range(4)]
    requests = [request_for(store, job) for job in jobs]
    neighbour.update_job(str(jobs[1]), msdyn_name="edited")
    neighbour.delete_job(str(jobs[2]))
    before = sandbox.control.get("stats")["requests"]

    first, second, third, fourth = store.claim(requests)

    assert sandbox.control.get("stats")["requests"] - before == 1
    assert (second, third) == (NotClaimed.LOST, NotClaimed.GONE)
    for outcome, job in ((first, jobs[0]), (fourth, jobs[3])):
        assert isinstance(outcome, Held)
        row = store.rows([job])[job]
        assert (row.status, row.claim, row.etag) == (JobStatus.PROCESSING, outcome.claim, outcome.etag)
    assert jobs_there(sandbox) == 3


def test_of_two_workers_one_wins(sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour) -> None:
    job = created(neighbour)
    one, other = request_for(store, job, "one"), request_for(store, job, "other")

    assert isinstance(store.claim([one])[0], Held)
    assert store.claim([other]) == [NotClaimed.LOST]
    assert changes(sandbox, job) == [(None, "Waiting"), ("Waiting", "Processing")]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: f"{fault['kind']}-{fault.get('moment', '')}")
def test_a_claim_whose_answer_is_lost_is_won_once_all_the_same(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour, fault: dict[str, Any]
) -> None:
    jobs = [created(neighbour) for _ in range(3)]
    requests = [request_for(store, job) for job in jobs]
    sandbox.faults({**fault, "writes_only": True})

    outcomes = store.claim(requests)

    for job, outcome in zip(jobs, outcomes, strict=True):
        assert isinstance(outcome, Held)
        assert store.rows([job])[job].etag == outcome.etag
        assert changes(sandbox, job) == [(None, "Waiting"), ("Waiting", "Processing")]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: f"{fault['kind']}-{fault.get('moment', '')}")
def test_no_lost_answer_makes_a_row_that_was_deleted(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour, fault: dict[str, Any]
) -> None:
    job = created(neighbour)
    request = request_for(store, job)
    neighbour.delete_job(str(job))
    sandbox.faults({**fault, "writes_only": True})

    assert store.claim([request]) == [NotClaimed.GONE]
    assert jobs_there(sandbox) == 0


# Renewing


def test_a_renewal_moves_the_end_and_is_no_attempt(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour
) -> None:
    one = held(store, created(neighbour))
    until = (one.claim.lease_expires_at + LEASE).replace(microsecond=0)

    (renewed,) = store.renew([one], [until])

    assert renewed is not None
    assert (renewed.claim.lease_expires_at, renewed.claim.attempt) == (until, 1)
    assert store.rows([one.job.id])[one.job.id].claim == renewed.claim
    assert changes(sandbox, one.job.id)[1:] == [("Waiting", "Processing")]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: f"{fault['kind']}-{fault.get('moment', '')}")
def test_a_renewal_whose_answer_is_lost_is_found_out(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour, fault: dict[str, Any]
) -> None:
    one = held(store, created(neighbour))
    sandbox.faults({**fault, "writes_only": True})

    (renewed,) = store.renew([one], [one.claim.lease_expires_at + LEASE])

    assert renewed is not None
    assert store.rows([one.job.id])[one.job.id].etag == renewed.etag
    written = [each for each in sandbox.control.get("audit")["changes"] if each["job_id"] == str(one.job.id)]
    assert len(written) == 3  # created, claimed, renewed: once


def test_a_claim_that_was_taken_over_is_renewed_and_settled_no_more(
    store: DataverseJobStore, neighbour: Neighbour
) -> None:
    one = held(store, created(neighbour))
    row = store.rows([one.job.id])[one.job.id]
    (successor,) = store.claim([ClaimRequest(row, next_claim(one.claim, "other", store.now(), LEASE, 3))])
    assert isinstance(successor, Held)

    assert store.renew([one], [store.now() + LEASE]) == [None]
    assert store.settle([settlement(one)]) == [Settled.LOST]

    now = store.rows([one.job.id])[one.job.id]
    assert (now.claim, now.etag) == (successor.claim, successor.etag)


# Settling


def test_a_settlement_is_status_and_document_in_one_write(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour
) -> None:
    done = settlement(held(store, created(neighbour)))
    one = done.held

    assert store.settle([done]) == [Settled.DONE]

    row = neighbour.job(str(one.job.id))
    assert (row["msdyn_status"], row["msdyn_responsejson"]) == (SUCCEEDED, done.document)
    assert changes(sandbox, one.job.id)[2:] == [("Processing", "Succeeded")]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: f"{fault['kind']}-{fault.get('moment', '')}")
def test_a_settlement_whose_answer_is_lost_is_done_once(
    sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour, fault: dict[str, Any]
) -> None:
    claims = [held(store, created(neighbour)) for _ in range(3)]
    sandbox.faults({**fault, "writes_only": True})

    assert store.settle([settlement(one) for one in claims]) == [Settled.DONE] * 3

    for one in claims:
        assert changes(sandbox, one.job.id)[1:] == [("Waiting", "Processing"), ("Processing", "Succeeded")]


def test_an_edit_of_another_column_does_not_cost_the_claim(store: DataverseJobStore, neighbour: Neighbour) -> None:
    one = held(store, created(neighbour))
    neighbour.update_job(str(one.job.id), msdyn_name="edited")

    assert store.settle([settlement(one)]) == [Settled.DONE]
    assert neighbour.job(str(one.job.id))["msdyn_name"] == "edited"


@pytest.mark.parametrize(
    "columns",
    [
        {"msdyn_status": FAILED, "msdyn_responsejson": "ended by hand"},
        {"msdyn_status": WAITING},
        {"msdyn_responsejson": "not a claim"},
        {"msdyn_responsejson": None},
    ],
)
def test_a_job_that_is_not_ours_any_more_is_left_as_it_is(
    store: DataverseJobStore, neighbour: Neighbour, columns: dict[str, Any]
) -> None:
    one = held(store, created(neighbour))
    neighbour.update_job(str(one.job.id), **columns)
    left = neighbour.job(str(one.job.id))

    assert store.settle([settlement(one)]) == [Settled.LOST]
    assert neighbour.job(str(one.job.id)) == left


def test_a_job_that_was_deleted_is_gone(sandbox: Sandbox, store: DataverseJobStore, neighbour: Neighbour) -> None:
    one = held(store, created(neighbour))
    neighbour.delete_job(str(one.job.id))

    assert store.settle([settlement(one)]) == [Settled.GONE]
    assert jobs_there(sandbox) == 0


def test_the_longest_response_fits_and_one_that_is_longer_is_not_written(
    store: DataverseJobStore, neighbour: Neighbour
) -> None:
    one, other = held(store, created(neighbour)), held(store, created(neighbour))
    text = "🚀" * (MAX_LENGTH // 2)  # each of them two UTF-16 units

    assert store.settle([settlement(one, text), settlement(other, text + "x")]) == [Settled.DONE, Settled.NOT_YET]
    assert neighbour.job(str(one.job.id))["msdyn_responsejson"] == text
    assert neighbour.job(str(other.job.id))["msdyn_status"] == PROCESSING


# The poller's questions


def test_what_changed_since_is_found_and_nothing_else(
    sandbox: Sandbox, questions: PollQuestions, neighbour: Neighbour
) -> None:
    old, edited, ended = (created(neighbour) for _ in range(3))
    sandbox.control.post("clock", {"advance": 60})
    since = _now(questions) - timedelta(seconds=10)
    neighbour.update_job(str(edited), msdyn_name="edited")
    neighbour.update_job(str(ended), msdyn_status=SUCCEEDED)
    fresh = created(neighbour)

    assert _ids(page.jobs for page in questions.changed_since(since)) == {edited, fresh}
    assert _ids(page.jobs for page in questions.open_jobs()) == {old, edited, fresh}


def test_jobs_that_got_packets_since_are_found_with_their_number(
    sandbox: Sandbox, questions: PollQuestions, neighbour: Neighbour
) -> None:
    before, during, ended = (created(neighbour) for _ in range(3))
    sandbox.control.post("clock", {"advance": 60})
    since = _now(questions) - timedelta(seconds=10)
    for number in (2, 3):
        neighbour.create_packet(str(during), number)
    neighbour.create_packet(str(ended), 2)
    neighbour.update_job(str(ended), msdyn_status=FAILED)

    (arrivals,) = questions.arrived_since(since)

    assert arrivals.packets == {during: 2}
    assert before not in arrivals.packets


def test_processing_rows_are_found_and_their_claims_told_apart(
    store: DataverseJobStore, questions: PollQuestions, neighbour: Neighbour
) -> None:
    ours = held(store, created(neighbour))
    foreign = created(neighbour, msdyn_status=PROCESSING, msdyn_responsejson="somebody else's")

    found = _ids(page.jobs for page in questions.processing_jobs())
    claims = {job.id: job.claim for job in questions.with_claims(sorted(found)).jobs}

    assert claims == {ours.job.id: ours.claim, foreign: None}
    assert ours.claim.verdict is ClaimVerdict.HANDLE


def _now(questions: PollQuestions) -> Any:
    """Ask Dataverse for anything, and give its clock."""
    list(questions.processing_jobs())
    return questions.now()


def _ids(pages: Iterator[Sequence[Job]]) -> set[UUID]:
    return {job.id for jobs in pages for job in jobs}
