"""Structured logs: one event a line on standard error, JSON for machines or columns for people.

Events carry fields, not sentences with values inside. What Celery, kombu and httpx log goes the same way.
"""

import json
import logging
import sys
from collections.abc import Iterable
from typing import Literal

import structlog
from structlog.typing import Processor

MASK = "********"

QUIET_LOGGERS = ("httpx", "httpcore", "msal", "urllib3", "amqp", "kombu", "celery.bootsteps", "celery.utils.functional")
"""Libraries whose DEBUG and INFO lines tell an operator nothing, or too much (addresses, headers)."""


class MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats a record and, as the last line of defence, masks every secret this process knows."""

    def __init__(self, secrets: Iterable[str], processors: list[Processor], foreign: list[Processor]) -> None:
        super().__init__(processors=processors, foreign_pre_chain=foreign)
        # The longest first: a secret that holds another must not leave its rest behind.
        self._secrets = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record.

        Returns:
            One line without any known secret.
        """
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        return line


def _forms(secret: str) -> set[str]:
    """Spell a secret as it may stand in a line: as it is, inside a repr or JSON, and all of that inside a JSON line."""
    inside = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return (inside | {json.dumps(form, ensure_ascii=False)[1:-1] for form in inside}) - {""}


def configure_logging(level: str, form: Literal["json", "console"], secrets: Iterable[str] = ()) -> None:
    """Set up structlog and the standard library's logging for this process.

    Args:
        level: The least that is written: DEBUG, INFO, WARNING or ERROR.
        form: ``json`` or ``console``.
        secrets: Texts that must never be written.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter(secrets, [*_rendering(form)], shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _rendering(form: Literal["json", "console"]) -> Iterable[Processor]:
    yield structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "console":
        plain = structlog.dev.plain_traceback
        yield structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        return
    # Without local variables: they hold tokens, secrets and packets.
    without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    yield structlog.processors.ExceptionRenderer(without_locals)
    yield structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
