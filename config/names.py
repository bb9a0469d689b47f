"""The names of the settings as environment variables. Pure: reads no environment."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from pydantic import SecretStr

from config.settings import SECTIONS

PREFIX = "JOBWORKER_"
CONFIG_VARIABLE = "JOBWORKER_CONFIG"
"""Names the TOML file to read instead of ``jobworker.toml``."""


@dataclass(frozen=True, slots=True)
class SettingName:
    """One setting: its place, its variable, and what it is for."""

    section: str
    field: str
    is_secret: bool
    description: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it, such as ``JOBWORKER_POLL__INTERVAL``."""
        return f"{PREFIX}{self.section}__{self.field}".upper()

    @property
    def file_variable(self) -> str:
        """The variable that names a file holding it, as orchestrators mount secrets."""
        return f"{self.variable}_FILE"


def setting_names() -> Iterator[SettingName]:
    """List every setting, in the order of the sections.

    Yields:
        One name a setting.
    """
    for section, model in SECTIONS.items():
        for field, info in model.model_fields.items():
            is_secret = SecretStr in (info.annotation, *get_args(info.annotation))
            yield SettingName(section, field, is_secret, info.description or "")


def known_variables() -> dict[str, SettingName | None]:
    """Map every variable that means something to its setting, ``_FILE`` forms of secrets included."""
    known: dict[str, SettingName | None] = {CONFIG_VARIABLE: None}
    for name in setting_names():
        known[name.variable] = name
        if name.is_secret:
            known[name.file_variable] = name
    return known
