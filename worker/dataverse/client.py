"""The Web API of one Dataverse environment as a few verbs. It knows tables and rows, and no job."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from httpx import Response

from config.metrics import DataverseMetrics
from worker.dataverse.answers import BatchAnswer, Page, Part
from worker.dataverse.batch import Operation, decode_batch, encode_batch, read
from worker.dataverse.errors import DataverseError, OutcomeUnknownError, UnavailableError
from worker.dataverse.fetchxml import Fetch
from worker.dataverse.links import below_root
from worker.dataverse.odata import MAX_URL_LENGTH, Query, row_path
from worker.dataverse.retrying import READS, WRITES, Patience, read_again, send_again
from worker.dataverse.transport import Request, Transport

MAX_PAGE = 5_000
PAGING_ANNOTATIONS = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords"


class DataverseClient:
    """Reads and writes. Reads are tried again, with growing pauses; a write only if it never left this machine."""

    def __init__(
        self, transport: Transport, metrics: DataverseMetrics, reads: Patience = READS, writes: Patience = WRITES
    ) -> None:
        """Make it.

        Args:
            transport: Sends requests.
            metrics: Where operations are counted.
            reads: How long to keep asking.
            writes: How long to try to get a write on its way.
        """
        self._transport = transport
        self._metrics = metrics
        self._reads = reads
        self._writes = writes

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def now(self) -> datetime:
        """Give Dataverse's clock; this machine's until Dataverse has answered for the first time."""
        return self._transport.server_time() or datetime.now(UTC)

    def who_am_i(self) -> UUID:
        """Ask who is signed in.

        Returns:
            The id of the application user.
        """
        part, _ = self._read(read("WhoAmI"), "who_am_i")
        return UUID(part.value["UserId"])

    def ask(self, one: Operation, *, operation: str) -> Part:
        """Read one thing.

        Raises:
            DataverseError: As the answer says.
        """
        part, _ = self._read(one, operation)
        return part

    def pages(self, query: Query, *, operation: str, page_size: int = MAX_PAGE) -> Iterator[Page]:
        """Read a table page by page, following each next link exactly as it was given.

        Args:
            query: What to read.
            operation: What for, as a metric label.
            page_size: Rows a page.

        Returns:
            Each page as it is read; nothing is kept.
        """
        return self.following(query.path, operation=operation, page_size=page_size)

    def following(self, link: str, *, operation: str, page_size: int = MAX_PAGE) -> Iterator[Page]:
        """Go on from a next link, with the page size that it was given for.

        Yields:
            Each page as it is read; nothing is kept.
        """
        path: str | None = link
        while path is not None:
            part, date = self._read(read(below_root(path, self._transport.root), page_size=page_size), operation)
            yield Page(part.rows, date)
            path = part.next_link

    def groups(self, fetch: Fetch, *, operation: str) -> Iterator[Page]:
        """Read the groups of an aggregate, all of them: an answer holds 5,000 at the most.

        Raises:
            AggregateLimitError: When more than 50,000 rows would be aggregated.
            DataverseError: As the answer says.
        """
        cookie: str | None = None
        for page in count(1):
            wanted = read(fetch.path(page, cookie), annotations=PAGING_ANNOTATIONS)
            part, date = self._read(wanted, operation)
            yield Page(part.rows, date)
            if not part.value.get("@Microsoft.Dynamics.CRM.morerecords"):
                return
            cookie = _paging_cookie(part.value.get("@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"))

    def batch(self, operations: Sequence[Operation], *, operation: str) -> BatchAnswer:
        """Send operations in one request, each independent of the others.

        Args:
            operations: At most 1,000.
            operation: What for, as a metric label.

        Returns:
            The answers in order, errors as values.

        Raises:
            OutcomeUnknownError: When the answer to a batch that writes was lost, as a whole.
            DataverseError: When the batch as a whole was refused or a batch of reads cannot be had.
        """
        if any(one.is_write for one in operations):
            return send_again(lambda: self._send_batch(operations, operation, writes=True), self._writes)
        return read_again(lambda: self._send_batch(operations, operation, writes=False), self._reads)

    def action(self, entity_set: str, row_id: UUID, name: str, body: Mapping[str, Any], *, operation: str) -> None:
        """Call an action bound to a row.

        Raises:
            DataverseError: As the answer says.
        """
        path = f"{row_path(entity_set, row_id)}/{name}"
        send_again(lambda: self._send(Operation("POST", path, {}, body), operation), self._writes)

    def _read(self, one: Operation, operation: str) -> tuple[Part, datetime]:
        if len(self._transport.root) + len(one.path) > MAX_URL_LENGTH:
            return self._read_in_batch(one, operation)
        part = read_again(lambda: _part(self._send(one, operation)), self._reads)
        return part, self.now()

    def _read_in_batch(self, one: Operation, operation: str) -> tuple[Part, datetime]:
        """Read at an address that is too long to be asked for by itself."""
        answer = self.batch([one], operation=operation)
        (part,) = answer.parts
        if isinstance(part, DataverseError):
            raise part
        return part, answer.date

    def _send(self, one: Operation, operation: str) -> Response:
        content = one.content
        headers = dict(one.headers) if content is None else {**one.headers, "Content-Type": "application/json"}
        status = "none"
        try:
            response = self._transport.send(Request(one.method, one.path, operation, one.is_write, headers, content))
            status = str(response.status_code)
        except DataverseError as error:
            status = str(error.status or "none")
            raise
        finally:
            self._metrics.operations.labels(operation, status).inc()
        return response

    def _send_batch(self, operations: Sequence[Operation], operation: str, *, writes: bool) -> BatchAnswer:
        content_type, content = encode_batch(operations, self._transport.root_path)
        headers = {"Content-Type": content_type, "Prefer": "odata.continue-on-error"}
        response = self._transport.send(Request("POST", "$batch", operation, writes, headers, content))
        try:
            parts = decode_batch(response.headers.get("content-type", ""), response.content)
            if len(parts) != len(operations):
                raise UnavailableError(f"{len(parts)} answers came to {len(operations)} operations of a $batch")
        except UnavailableError as error:
            if writes:
                raise OutcomeUnknownError(str(error)) from error
            raise
        for part in parts:
            self._metrics.operations.labels(operation, str(part.status or "none")).inc()
        return BatchAnswer(parts, self.now())


def _paging_cookie(annotation: str | None) -> str | None:
    """Take the cookie, which is encoded twice, out of its annotation; aggregates may come without one."""
    found = re.search(r'pagingcookie="([^"]*)"', annotation or "")
    return unquote(unquote(found[1])) or None if found else None


def _part(response: Response) -> Part:
    try:
        value = response.json() if response.content else {}
    except ValueError as error:
        raise UnavailableError("Dataverse's answer is no JSON", status=response.status_code) from error
    if not isinstance(value, Mapping):
        raise UnavailableError("Dataverse's answer is not a JSON object", status=response.status_code)
    return Part(response.status_code, value, response.headers.get("etag"))
