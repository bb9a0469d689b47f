"""The examples in docs/sandbox.md run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from sandbox.seed.kinds import KINDS
from tests.conformance.sandbox_process import Raw, clean_environment

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox.md"


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def environment(raw: Raw) -> dict[str, str]:
    details = raw.details
    return {
        **{name: value for name, value in clean_environment().items() if name != "REQUESTS_CA_BUNDLE"},
        "JOBWORKER_DATAVERSE__URL": details["url"],
        "JOBWORKER_DATAVERSE__CA_FILE": details["ca_file"],
        "JOBWORKER_AUTH__AUTHORITY": details["authority"],
        "JOBWORKER_AUTH__TENANT_ID": details["tenant_id"],
        "JOBWORKER_AUTH__CLIENT_ID": details["client_id"],
        "JOBWORKER_AUTH__CLIENT_SECRET": details["client_secret"],
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def run(raw: Raw, *command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment(raw))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_shell_examples(raw: Raw) -> None:
    raw.job(msdyn_name="ready", msdyn_status=192350001)
    query, faults = examples("sh")
    assert '"msdyn_name":"ready"' in run(raw, "sh", "-c", query)
    assert '"kind":"reset_after"' in run(raw, "sh", "-c", faults)


def test_the_sdk_example(raw: Raw) -> None:
    (example,) = examples("python")
    assert run(raw, sys.executable, "-W", "ignore", "-c", example).strip() == "192350001"
    (change,) = (each for each in raw.control("audit")["changes"] if each["kind"] == "update")
    assert change["new_status"] == "Ready"


def test_every_kind_of_job_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in KINDS if f"`{name}`" not in text] == []
