"""The documents keep up with the code, and the README's commands are the ones that CI runs."""

import re
from pathlib import Path

import pytest

from docs.generate import DOCUMENTS, with_tables

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_tables_are_those_of_the_code(name: str) -> None:
    text = (ROOT / name).read_text()
    assert with_tables(text) == text, "run make docs"


def test_ci_runs_what_a_reader_of_the_readme_runs() -> None:
    script = (ROOT / ".ci/run").read_text()
    readme = (ROOT / "README.md").read_text()
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    commands = [line for line in script.splitlines() if line.startswith("make ")]

    assert commands == ["make lint", "make test"]
    assert "\nmake test\n" in readme
    assert "\nmake demo\n" in readme
    for command in commands:
        assert f"\n{command} " in contributing


def test_every_make_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for named in re.findall(r"`?make ([a-z]+)`?", "\n".join(_code(page.read_text()))):
            assert named in targets, (page.name, named)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_no_link_within_the_project_is_broken(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_test_that_is_named_is_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))

    named = re.findall(r"`(test_[a-z0-9_]+)`", page)

    assert named
    assert [name for name in named if f"def {name}(" not in code] == []
    for path in re.findall(r"`(tests/[a-z_/]+\.py)`", page):
        assert (ROOT / path).is_file(), path


def _code(text: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`(make [a-z]+)`", text)
