"""Where settings come from, and what is said when one is wrong.

Strongest first: environment variables, files named by ``JOBWORKER_..._FILE`` (secrets only), a ``.env`` file, a TOML
file (``jobworker.toml`` or what ``JOBWORKER_CONFIG`` names), the defaults. An unknown name is a mistake in all of them.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from config.names import CONFIG_VARIABLE, PREFIX, known_variables, setting_names
from config.settings import (
    AuthSettings,
    DataverseSettings,
    JobsSettings,
    LogSettings,
    MetricsSettings,
    PollSettings,
    RedisSettings,
    WorkSettings,
    optional_section,
)

DOTENV_FILE = ".env"
TOML_FILE = "jobworker.toml"


class SettingsError(Exception):
    """The settings are wrong. Holds one clear sentence a mistake, and no secret."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads secrets from the files that ``JOBWORKER_..._FILE`` variables name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface that nothing calls: this source gives all its values at once."""
        raise AssertionError(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Read the files.

        Raises:
            SettingsError: For a file that cannot be read or is empty.
        """
        found: dict[str, dict[str, str]] = {}
        for name in setting_names():
            if name.is_secret and (path := os.environ.get(name.file_variable)):
                found.setdefault(name.section, {})[name.field] = _read_secret(name.file_variable, Path(path))
        return found


class Settings(BaseSettings):
    """All settings of a process. Made by `load_settings`; frozen."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=DOTENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # compose files and shells set a variable to nothing and mean that it is not set
        extra="ignore",  # unknown names are found, and named, by load_settings
        frozen=True,
        hide_input_in_errors=True,
    )

    dataverse: DataverseSettings = optional_section()
    auth: AuthSettings = optional_section()
    redis: RedisSettings = optional_section()
    poll: PollSettings = optional_section()
    jobs: JobsSettings = optional_section()
    work: WorkSettings = optional_section()
    metrics: MetricsSettings = optional_section()
    log: LogSettings = optional_section()

    def secrets(self) -> list[str]:
        """List every secret these settings hold, for the log to mask."""
        held = (self.auth.client_secret, self.auth.certificate_password, self.redis.url)
        return [secret.get_secret_value() for secret in held if secret is not None] + self.redis.credentials

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - SecretFileSource takes its place
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources, strongest first."""
        toml = TomlConfigSettingsSource(settings_cls, toml_path())
        return init_settings, env_settings, SecretFileSource(settings_cls), dotenv_settings, toml


def toml_path() -> Path:
    """Name the TOML file that is read.

    Raises:
        SettingsError: When ``JOBWORKER_CONFIG`` names a file that is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError([f"{CONFIG_VARIABLE} names {named!r}, and there is no such file."])
    return Path(named or TOML_FILE)


def load_settings() -> Settings:
    """Read and validate the settings from all their sources.

    Returns:
        The settings in force.

    Raises:
        SettingsError: With one sentence a mistake, each naming the setting and the way out.
    """
    mistakes = [*_unknown_in("the environment", os.environ), *_unknown_in(DOTENV_FILE, dotenv_values(DOTENV_FILE))]
    if mistakes:
        raise SettingsError(mistakes)
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError([_sentence(details) for details in error.errors(include_url=False)]) from None
    except (ValueError, OSError) as error:  # a TOML or .env file that cannot be read
        raise SettingsError([f"The settings cannot be read: {error}."]) from None


def _unknown_in(place: str, variables: Mapping[str, object]) -> Iterator[str]:
    known = known_variables()
    for variable in variables:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            close = difflib.get_close_matches(variable.upper(), known, n=1)
            hint = f"did you mean {close[0]}?" if close else "`jobworker config` lists the settings there are."
            yield f"{variable}, set in {place}, is not a setting: {hint}"


def _read_secret(variable: str, path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError([f"{variable} names {str(path)!r}, which cannot be read: {reason}."]) from None
    if not secret:
        raise SettingsError([f"{variable} names {str(path)!r}, which is empty."])
    return secret


def _sentence(details: ErrorDetails) -> str:
    """Put one of pydantic's findings into words. What was given is never repeated unless our own check did so."""
    place = [str(part) for part in details["loc"][:2]]
    name = f"{PREFIX}{'__'.join(place)}".upper()
    match details["type"]:
        case "missing":
            return f"{name} is not set: {_description(place)}"
        case "extra_forbidden":
            return f"{name} is not a setting: `jobworker config` lists the settings there are."
        case "value_error":
            return f"{name}: {details['ctx']['error']}."
        case _:
            return f"{name}: {details['msg'][0].lower()}{details['msg'][1:]}."


def _description(place: list[str]) -> str:
    for name in setting_names():
        if [name.section, name.field] == place:
            return name.description
    return "it is needed."
