"""Whatever setting is named under deploy/, or in the page on deploying, is one that the program knows."""

import re
from pathlib import Path

import pytest

from config.names import known_variables
from tests.tools import ROOT

NAMED = re.compile(r"\bJOBWORKER_[A-Z][A-Z0-9_]*")

TEXTS = [
    *(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".pyc"),
    ROOT / "docs" / "deploying.md",
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(NAMED.findall(path.read_text(encoding="utf-8")))
    assert named <= known_variables().keys()


@pytest.mark.parametrize("name", ["compose", "systemd"])
def test_examples_of_settings_hold_no_secret(name: str) -> None:
    text = (ROOT / "deploy" / name / "jobworker.env.example").read_text(encoding="utf-8")
    known = known_variables()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            setting = known[line.partition("=")[0]]
            assert setting is None or not setting.is_secret
