"""Settings from nothing but what a test gives: no variable, no file of the machine's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.sources import Settings, SettingsError, load_settings

SECRET = "JOBWORKER_AUTH__CLIENT_SECRET"
HUSH = "correct-horse-battery-staple"
NEEDED = {
    "JOBWORKER_DATAVERSE__URL": "https://org.crm.dynamics.com",
    "JOBWORKER_AUTH__TENANT_ID": "tenant",
    "JOBWORKER_AUTH__CLIENT_ID": "client",
    SECRET: HUSH,
}


@dataclass(frozen=True)
class Place:
    """An empty folder and an environment with what is needed and no more."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def unset(self, *names: str) -> None:
        for name in names:
            self.monkeypatch.delenv(name)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def load(self, **variables: str) -> Settings:
        self.set(**variables)
        return load_settings()

    def mistakes(self, **variables: str) -> list[str]:
        self.set(**variables)
        with pytest.raises(SettingsError) as raised:
            load_settings()
        assert str(raised.value) == "\n".join(raised.value.mistakes)
        return raised.value.mistakes


def clear(monkeypatch: pytest.MonkeyPatch, needed: Mapping[str, str]) -> None:
    for name in os.environ:
        if name.upper().startswith("JOBWORKER_"):
            monkeypatch.delenv(name)
    for name, value in needed.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    clear(monkeypatch, NEEDED)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, monkeypatch)
