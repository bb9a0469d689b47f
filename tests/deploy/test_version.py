"""The version that is deployed is the version that is built."""

import re
import tomllib

import pytest

from tests.tools import ROOT

DEPLOYED = {
    "deploy/container/Containerfile": r"-t jobworker:(\S+)",
    "deploy/compose/compose.yaml": r"IMAGE:-jobworker:([^}]+)}",
    "deploy/kubernetes/base/kustomization.yaml": r"newTag: (\S+)",
    "deploy/kubernetes/example/kustomization.yaml": r"newTag: (\S+)",
    "docs/deploying.md": r"/?jobworker:(\d\S*)",
}


@pytest.mark.parametrize(("path", "pattern"), DEPLOYED.items(), ids=DEPLOYED)
def test_every_tag_is_the_version_of_the_project(path: str, pattern: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tags = set(re.findall(pattern, (ROOT / path).read_text(encoding="utf-8")))
    assert tags == {project["version"]}
