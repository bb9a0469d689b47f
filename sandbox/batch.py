"""`$batch`: operations one after another, change sets as one transaction, stopping or going on at the first failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from sandbox.database import Database
from sandbox.errors import DataverseError, bad_query
from sandbox.exchange import Answer, Operation, error_answer
from sandbox.multipart import (
    BatchPart,
    ChangeSet,
    ChangeSetAnswer,
    PartAnswer,
    PartRequest,
    new_boundary,
    parse_batch,
    write_batch,
)
from sandbox.preferences import preferences_of

LONGEST_URL = 65_536

Perform = Callable[[Operation], Answer]

# What a part inherits from the request around it; everything else it has to say itself.
_INHERITED = ("x-ms-client-request-id",)


class BatchRunner:
    """Runs batches.

    Args:
        database: For the transactions around change sets.
        perform: Carries out one operation; refusals come back as answers.
        date: The `Date` header of this moment.
    """

    def __init__(self, database: Database, perform: Perform, date: Callable[[], str]) -> None:
        self._database = database
        self._perform = perform
        self._date = date

    def run(self, operation: Operation) -> Answer:
        """The answer to a batch.

        Raises:
            DataverseError: When the batch itself is malformed; then nothing of it was done.
        """
        if operation.method != "POST":
            raise bad_query("A $batch request has to be a POST.")
        parts = parse_batch(operation.headers.get("content-type", ""), operation.body)
        go_on = preferences_of(operation.headers.get("prefer")).continue_on_error
        answers: list[PartAnswer | ChangeSetAnswer] = []
        status = 200
        with self._database.transaction():
            for part in parts:
                answer = self._answer(part, operation)
                answers.append(answer)
                failure = _failure(answer)
                if failure is not None and not go_on:
                    status = failure
                    break
        boundary = new_boundary("batchresponse")
        headers = [("Content-Type", f"multipart/mixed; boundary={boundary}"), ("OData-Version", "4.0")]
        return Answer(status, write_batch(answers, boundary), headers, "batch")

    def _answer(self, part: BatchPart, operation: Operation) -> PartAnswer | ChangeSetAnswer:
        if isinstance(part, ChangeSet):
            return self._change_set(part, operation)
        return PartAnswer(self._one(part, operation, {}), part.content_id)

    def _change_set(self, part: ChangeSet, operation: Operation) -> PartAnswer | ChangeSetAnswer:
        answers: list[PartAnswer] = []
        references: dict[str, str] = {}
        try:
            with self._database.transaction():
                for request in part.requests:
                    answer = self._one(request, operation, references)
                    answers.append(PartAnswer(answer, request.content_id))
                    if answer.status >= 400:
                        raise _ChangeSetFailedError(answers[-1])
                    self._remember(request, answer, references)
        except _ChangeSetFailedError as failed:
            return failed.part
        return ChangeSetAnswer(tuple(answers))

    def _remember(self, request: PartRequest, answer: Answer, references: dict[str, str]) -> None:
        entity = answer.header("OData-EntityId")
        if entity is not None and request.content_id is not None:
            references[f"${request.content_id}"] = entity.rpartition("/")[2]

    def _one(self, request: PartRequest, around: Operation, references: Mapping[str, str]) -> Answer:
        try:
            path, query = _address(request.url, references)
            inherited = {name: around.headers[name] for name in _INHERITED if name in around.headers}
            inner = replace(
                around,
                method=request.method,
                path=path,
                query=query,
                headers={**inherited, **request.headers},
                body=_trimmed(request.body),
                references=references,
            )
            answer = self._perform(inner)
        except DataverseError as error:
            answer = error_answer(error)
        answer.headers.append(("Date", self._date()))
        return answer


class _ChangeSetFailedError(Exception):
    """A change set is undone because one of its operations was refused."""

    def __init__(self, part: PartAnswer) -> None:
        super().__init__()
        self.part = part


def _failure(answer: PartAnswer | ChangeSetAnswer) -> int | None:
    if isinstance(answer, PartAnswer) and answer.answer.status >= 400:
        return answer.answer.status
    return None


def _trimmed(body: bytes) -> bytes:
    """The line end before the next boundary belongs to the boundary; writers often add one more."""
    return body.strip(b"\r\n")


def _address(url: str, references: Mapping[str, str]) -> tuple[str, str]:
    """Path and query of a part's URL: absolute, from the root, relative, or starting with `$1`."""
    if len(url) > LONGEST_URL:
        raise bad_query(f"The URL of a $batch part is longer than {LONGEST_URL} characters.")
    split = urlsplit(url.replace(" ", "%20"))
    path = unquote(split.path)
    _, found, below = path.partition("/api/data/")
    if found:
        path = below.partition("/")[2]
    path = path.lstrip("/")
    if path.partition("/")[0].partition("(")[0] == "$batch":
        raise bad_query("A $batch request cannot contain another $batch request.")
    for reference, target in references.items():
        if path == reference or path.startswith(reference + "/"):
            path = target + path[len(reference) :]
    return path, split.query
