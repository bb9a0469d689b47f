"""Writes the tables of settings and metrics into the documents, from the code that declares them.

``make docs`` runs it; a test fails when a document has fallen behind. Nothing outside the marked stretches is touched.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticUndefined

from config.effective import format_value
from config.metrics import describe
from config.names import setting_names
from config.settings import SECTIONS

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs/operations.md")


def settings_table() -> Iterator[str]:
    """Draw the table of settings."""
    yield "| variable | default | what it is |"
    yield "| --- | --- | --- |"
    for name in setting_names():
        field = SECTIONS[name.section].model_fields[name.field]
        default = "needed" if field.default is PydanticUndefined else format_value(field.default) or ""
        if name.variable == "JOBWORKER_REDIS__URL":
            default = "redis://127.0.0.1:6379/0"
        shown = f"`{default}`" if default not in ("", "needed") else default
        also = f" Also `{name.file_variable}`." if name.is_secret else ""
        yield f"| `{name.variable}` | {shown} | {name.description}{also} |"


def metrics_table() -> Iterator[str]:
    """Draw the table of metrics."""
    yield "| metric | type | labels | what it is |"
    yield "| --- | --- | --- | --- |"
    for metric in describe():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |"


TABLES = {"settings": settings_table, "metrics": metrics_table}


def with_tables(text: str) -> str:
    """Put the tables between their marks."""
    for name, draw in TABLES.items():
        begin, end = f"<!-- {name}: made by make docs -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        if found:
            text = "".join([before, begin, "\n", "\n".join(draw()), "\n", end, rest.partition(end)[2]])
    return text


def main() -> None:
    """Rewrite the documents in place."""
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(with_tables(path.read_text()))
    sys.stdout.write("documents are up to date\n")


if __name__ == "__main__":
    main()
