"""The npm client dynamics-web-api, unmodified, judges the sandbox. Needs Node; its cases stand in node/cases.mjs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.sandbox_process import Raw, running

FOLDER = Path(__file__).parent / "node"
NAMES = re.findall(r'^  async "(.+?)"\(\)', (FOLDER / "cases.mjs").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str | None]:
    """Run all cases once against a sandbox of their own: by name, what went wrong."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node and npm are not installed; they run the npm client dynamics-web-api")
    if not (FOLDER / "node_modules" / "dynamics-web-api").is_dir():
        subprocess.run([npm, "ci", "--silent"], cwd=FOLDER, check=True, timeout=110)
    with running() as raw:
        return _run(node, raw)


def _run(node: str, raw: Raw) -> dict[str, str | None]:
    environment = {
        "PATH": os.environ["PATH"],
        "URL_OF_DATAVERSE": raw.details["url"],
        "TOKEN": raw.sign_in(),
        "NODE_EXTRA_CA_CERTS": raw.details["ca_file"],
    }
    done = subprocess.run(
        [node, "cases.mjs"], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["error"] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_the_npm_client(outcomes: dict[str, str | None], name: str) -> None:
    assert outcomes[name] is None, outcomes[name]
