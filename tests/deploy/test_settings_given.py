"""What each deployment gives to a process, variables and secret files, makes settings that the program accepts."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from config.names import PREFIX
from config.sources import Settings, load_settings
from tests.deploy.commands import output_of_success
from tests.tools import ROOT

DEPLOY = ROOT / "deploy"
SECRETS = {"client_secret": "correct-horse", "redis_url": "redis://:battery@valkey:6379/0"}


def pairs(text: str) -> dict[str, str]:
    """Read the lines NAME=VALUE of a text."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE))


def from_compose() -> dict[str, str]:
    folder = DEPLOY / "compose"
    service = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))["services"]["worker"]
    return {**pairs((folder / "jobworker.env.example").read_text(encoding="utf-8")), **service["environment"]}


def from_kubernetes() -> dict[str, str]:
    rendered = yaml.safe_load_all(output_of_success("kubectl", "kustomize", DEPLOY / "kubernetes" / "example"))
    (settings,) = [manifest["data"] for manifest in rendered if manifest["kind"] == "ConfigMap"]
    return dict(settings)


def from_systemd() -> dict[str, str]:
    folder = DEPLOY / "systemd"
    unit = (folder / "jobworker-worker@.service").read_text(encoding="utf-8").replace("%i", "9465")
    example = (folder / "jobworker.env.example").read_text(encoding="utf-8")
    return pairs(example) | pairs("\n".join(re.findall(r"^Environment=(.*)$", unit, flags=re.MULTILINE)))


@pytest.mark.parametrize("given", [from_compose, from_kubernetes, from_systemd])
def test_the_program_accepts_what_it_is_given(
    given: Callable[[], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_from(given(), tmp_path, monkeypatch)
    assert settings.auth.client_secret is not None
    assert settings.auth.client_secret.get_secret_value() == SECRETS["client_secret"]
    assert settings.redis.url.get_secret_value() == SECRETS["redis_url"]


def settings_from(given: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load settings from these variables alone, with secrets where a file is expected."""
    for name, value in given.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, in_folder(value, folder) if name.endswith("_FILE") else value)
    monkeypatch.chdir(folder)
    return load_settings()


def in_folder(path: str, folder: Path) -> str:
    name = Path(path).name
    (folder / name).write_text(SECRETS[name] + "\n", encoding="utf-8")
    return str(folder / name)
