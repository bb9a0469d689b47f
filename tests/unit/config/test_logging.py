"""The log: one JSON object a line, and no secret whatever is logged."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from config.logging import MASK, QUIET_LOGGERS, configure_logging

HUSH = "correct-horse-battery-staple"
Lines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in QUIET_LOGGERS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    def written() -> list[str]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.splitlines()

    return written


def only(lines: Lines) -> dict[str, Any]:
    (line,) = lines()
    event: dict[str, Any] = json.loads(line)
    return event


def fail_with(message: str) -> None:
    token = message  # a local variable that a trace with variables would show
    raise RuntimeError(f"no luck with {token}")


def test_an_event_is_one_json_object_on_one_line(lines: Lines) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger("tasks.settle").info("job_settled", status="Failed", reason="a\nb", attempt=2)

    event = only(lines)

    assert datetime.fromisoformat(event.pop("timestamp")).tzinfo == UTC
    assert event == {
        "event": "job_settled",
        "logger": "tasks.settle",
        "level": "info",
        "status": "Failed",
        "reason": "a\nb",
        "attempt": 2,
    }


def test_what_is_bound_to_the_context_is_on_every_line(lines: Lines) -> None:
    configure_logging("INFO", "json")
    with structlog.contextvars.bound_contextvars(job_id="1", task_id="2", correlation_id="3"):
        structlog.get_logger().info("mine")
        logging.getLogger("somebody").warning("theirs %s", "too")

    mine, theirs = map(json.loads, lines())
    assert (mine["job_id"], mine["task_id"], mine["correlation_id"]) == ("1", "2", "3")
    assert (theirs["event"], theirs["job_id"], theirs["logger"]) == ("theirs too", "1", "somebody")


def test_the_level_is_the_least_that_is_written(lines: Lines) -> None:
    configure_logging("WARNING", "json")
    structlog.get_logger().info("not this")
    logging.getLogger("somebody").info("nor this")
    structlog.get_logger().warning("this")

    assert only(lines)["event"] == "this"


@pytest.mark.parametrize("name", QUIET_LOGGERS)
def test_libraries_that_tell_too_much_are_quiet_even_at_debug(lines: Lines, name: str) -> None:
    configure_logging("DEBUG", "json")
    logging.getLogger(name).info("GET https://org.example/secret")
    logging.getLogger(name).warning("loud enough")

    assert only(lines)["event"] == "loud enough"


def test_values_that_json_does_not_know_are_written_as_text(lines: Lines) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger().info("odd", when=datetime(2026, 1, 1, tzinfo=UTC), what={1}, text="grüße")

    event = only(lines)
    assert event["when"] == "2026-01-01 00:00:00+00:00"
    assert event["what"] == "{1}"
    assert event["text"] == "grüße"


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "secret",
    [
        HUSH,
        'with "quotes"',
        "with 'both' \"quotes\"",
        "back\\slash",
        "tab\tnew\nline",
        "grüße",
        'grüße "laut"',
        "h%2Fush",
        "/{}[]:,",
    ],
)
def test_a_secret_is_masked_wherever_it_stands(lines: Lines, form: Any, secret: str) -> None:
    configure_logging("DEBUG", form, [secret, ""])
    log = structlog.get_logger()
    log.debug("as a value", value=secret)
    event = f"in the event {secret}"
    log.debug(event)
    log.debug("nested", value={"list": [secret, (secret,)], "repr": repr(secret)})
    log.debug("as JSON", value=json.dumps([secret]), other=json.dumps([secret], ensure_ascii=False))
    logging.getLogger("somebody").debug("in an argument %s", secret)
    logging.getLogger("somebody").debug("beside", extra={"value": secret})
    with structlog.contextvars.bound_contextvars(value=secret):
        log.debug("in the context")
    try:
        fail_with(secret)
    except RuntimeError:
        log.exception("in an exception")
        logging.getLogger("somebody").exception("in another")

    written = "\n".join(lines())

    assert secret not in written
    assert repr(secret)[1:-1] not in written
    for ascii_only in (True, False):
        inside = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        assert inside not in written
        assert json.dumps(inside, ensure_ascii=False)[1:-1] not in written
    assert written.count(MASK) >= 9


def test_masked_lines_are_still_json(lines: Lines) -> None:
    configure_logging("DEBUG", "json", [HUSH, 'with "quotes"'])
    structlog.get_logger().info(HUSH, value='with "quotes"')

    event = only(lines)

    assert (event["event"], event["value"]) == (MASK, MASK)


def test_a_secret_within_another_leaves_nothing_behind(lines: Lines) -> None:
    configure_logging("INFO", "json", ["hush", "", "hush-and-more"])
    structlog.get_logger().info("said", value="hush-and-more", other="hush")

    event = only(lines)
    assert (event["value"], event["other"]) == (MASK, MASK)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_trace_shows_no_local_variables(lines: Lines, form: Any) -> None:
    configure_logging("DEBUG", form)
    payload = "a packet".upper()  # a trace may show this line, but not what came of it
    try:
        raise ValueError(len(payload))
    except ValueError:
        structlog.get_logger().exception("failed")

    written = "\n".join(lines())
    assert "ValueError" in written
    assert payload not in written


def test_an_exception_is_one_line_with_its_frames(lines: Lines) -> None:
    configure_logging("INFO", "json")
    try:
        fail_with("something")
    except RuntimeError:
        structlog.get_logger().exception("failed")

    (raised,) = only(lines)["exception"]
    assert (raised["exc_type"], raised["exc_value"]) == ("RuntimeError", "no luck with something")
    assert raised["frames"][-1]["name"] == "fail_with"
    assert "locals" not in raised["frames"][-1]


def test_people_read_columns(lines: Lines) -> None:
    configure_logging("INFO", "console")
    structlog.get_logger().info("job_settled", status="Failed")

    (line,) = lines()
    assert "job_settled" in line
    assert "status=Failed" in line
    assert "\x1b" not in line  # no colours where nobody's terminal is


def test_warnings_go_the_same_way(lines: Lines, recwarn: pytest.WarningsRecorder) -> None:
    configure_logging("INFO", "json")
    logging.getLogger("py.warnings").warning("old habits")

    assert only(lines)["logger"] == "py.warnings"
