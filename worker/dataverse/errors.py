"""What can go wrong with Dataverse: one small tree, each leaf saying what a caller would decide on."""

from http import HTTPStatus

AGGREGATE_LIMIT = "0x8004e023"
ROW_GONE = "0x80040217"


class DataverseError(Exception):
    """Dataverse could not be asked, or refused. The message is fit for an operator and holds no secret.

    Attributes:
        status: The HTTP status, None where there was no answer.
        code: Dataverse's error code, such as ``0x80040217``; may be empty.
        retry_after: Seconds that Dataverse asks to wait; 0 where it does not say.
    """

    transient = False
    """Whether the same request may succeed later."""

    outcome_known = True
    """Whether it is certain that nothing was written."""

    retry_after = 0.0

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BadRequestError(DataverseError):
    """400, 405, 413 and the like: the request is wrong, and is never sent again."""


class AggregateLimitError(BadRequestError):
    """More than 50,000 rows were to be aggregated: narrow the query and ask again."""


class UnauthorizedError(DataverseError):
    """401: the token is not accepted, not even a fresh one: the application is no user of the environment."""


class ForbiddenError(DataverseError):
    """403: the application user lacks a privilege; the message says which."""


class RowGoneError(DataverseError):
    """404 on a row: it was deleted."""


class ResourceMissingError(DataverseError):
    """404 on a table, function or action: the URL is wrong or the solution is not installed."""


class PreconditionFailedError(DataverseError):
    """412: the row has changed since its ETag was read, or a key is taken."""


class ThrottledError(DataverseError):
    """429: a service protection limit was hit and patience ran out."""

    transient = True

    def __init__(self, message: str, *, status: int | None = 429, code: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after = retry_after


class UnavailableError(DataverseError):
    """Dataverse did not answer, or answered 5xx; nothing was written."""

    transient = True


class NeverSentError(UnavailableError):
    """Not a byte of the request left this machine: even a write may be sent again."""


class OutcomeUnknownError(DataverseError):
    """The answer to a write was lost: it may or may not have been done. Read the row back before anything else."""

    transient = True
    outcome_known = False


class StoppedError(DataverseError):
    """This process is told to stop, and no longer waits for Dataverse to let it send."""

    transient = True


class UnexpectedAnswerError(DataverseError):
    """The answer leads elsewhere, which a Dataverse environment's own Web API never does; it is not followed."""


class SignInError(DataverseError):
    """Microsoft Entra ID gave no token; the message names the setting that is wrong."""


def error_for(status: int, code: str, message: str, *, retry_after: float = 0.0) -> DataverseError:
    """Choose the error for an answer, by its status first and its code second.

    Args:
        status: The HTTP status, 400 or above.
        code: Dataverse's code, in any case, perhaps empty.
        message: Dataverse's message.
        retry_after: Seconds, for 429.
    """
    code = code.lower()
    said = f"Dataverse answered {status} {code}: {message}" if code else f"Dataverse answered {status}: {message}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return UnauthorizedError(said, status=status, code=code)
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(said, status=status, code=code)
        case HTTPStatus.NOT_FOUND:
            kind = ResourceMissingError if code not in ("", ROW_GONE) else RowGoneError
            return kind(said, status=status, code=code)
        case HTTPStatus.PRECONDITION_FAILED:
            return PreconditionFailedError(said, status=status, code=code)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return ThrottledError(said, status=status, code=code, retry_after=retry_after)
        case _ if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return UnavailableError(said, status=status, code=code)
        case _ if code == AGGREGATE_LIMIT:
            return AggregateLimitError(said, status=status, code=code)
        case _:
            return BadRequestError(said, status=status, code=code)
