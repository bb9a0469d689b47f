"""Where settings come from.

Strongest first: environment variables, files named by ``JOBWORKER_..._FILE`` variables (secrets only), a ``.env`` file
with the same two kinds, a TOML file (``jobworker.toml`` or what ``JOBWORKER_CONFIG`` names), the defaults. An unknown
name is a mistake in all of them; `config.mistakes` says so.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.mistakes import sentence, unknown_keys, unknown_variables
from config.names import CONFIG_VARIABLE, PREFIX, setting_names
from config.settings import (
    SECTIONS,
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


class SettingsSource(PydanticBaseSettingsSource):
    """A source that gives all its values at once."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface that nothing calls."""
        raise AssertionError(field, field_name)


class SecretFileSource(SettingsSource):
    """Reads secrets from the files that ``JOBWORKER_..._FILE`` variables name."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        super().__init__(settings_cls)
        self._variables = _upper(variables)

    def __call__(self) -> dict[str, Any]:
        """Read the files.

        Raises:
            SettingsError: For a file that cannot be read or is empty.
        """
        found: dict[str, dict[str, str]] = {}
        for name in setting_names():
            if name.is_secret and (path := self._variables.get(name.file_variable)):
                found.setdefault(name.section, {})[name.field] = _read_secret(name.file_variable, Path(path))
        return found


class VariableSource(SettingsSource):
    """Gives what variables set, without ``JOBWORKER_CONFIG`` and the ``_FILE`` forms that `SecretFileSource` reads.

    pydantic alone takes ``JOBWORKER_AUTH__CLIENT_SECRET_FILE`` for a setting named ``client_secret_file``.
    """

    def __init__(self, settings_cls: type[BaseSettings], variables: EnvSettingsSource) -> None:
        super().__init__(settings_cls)
        self._read = variables

    def __call__(self) -> dict[str, Any]:
        """Give the values, section by section."""
        file_forms = {(name.section, f"{name.field}_file") for name in setting_names() if name.is_secret}
        return {
            section: {field: value for field, value in values.items() if (section, field) not in file_forms}
            for section, values in self._read().items()
            if section in SECTIONS
        }


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
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - `sources` makes them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources, strongest first."""
        return init_settings, *(source for _, source in sources(settings_cls))


def sources(settings_cls: type[BaseSettings] = Settings) -> Iterator[tuple[str, PydanticBaseSettingsSource]]:
    """Give every source but the defaults, strongest first.

    Yields:
        What people call the source, and the source.
    """
    yield "environment", VariableSource(settings_cls, EnvSettingsSource(settings_cls))
    yield "secret file", SecretFileSource(settings_cls, os.environ)
    yield DOTENV_FILE, VariableSource(settings_cls, DotEnvSettingsSource(settings_cls))
    yield f"secret file named in {DOTENV_FILE}", SecretFileSource(settings_cls, _dotenv())
    yield toml_path().name, TomlConfigSettingsSource(settings_cls, toml_path())


def toml_path() -> Path:
    """Name the TOML file that is read.

    Raises:
        SettingsError: When ``JOBWORKER_CONFIG`` names a file that is not there.
    """
    named = _upper(os.environ).get(CONFIG_VARIABLE) or _upper(_dotenv()).get(CONFIG_VARIABLE)
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
    if mistakes := list(_unknown()):
        raise SettingsError(mistakes)
    try:
        return Settings()
    except ValidationError as error:
        findings = error.errors(include_url=False)
        raise SettingsError(list(dict.fromkeys(sentence(details) for details in findings))) from None


def _upper(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Spell names in capitals: pydantic does not look at the case of a variable, so neither does anything else."""
    return {variable.upper(): value for variable, value in variables.items()}


def _unknown() -> Iterator[str]:
    yield from unknown_variables("the environment", os.environ)
    yield from unknown_variables(DOTENV_FILE, _dotenv())
    yield from unknown_keys(toml_path().name, _toml(toml_path()))


def _dotenv() -> dict[str, str | None]:
    path = Path(DOTENV_FILE)
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as lines:
            wrong = [binding.original.line for binding in parse_stream(lines) if binding.error]
    except (OSError, ValueError) as error:
        raise SettingsError([f"{DOTENV_FILE} cannot be read: {error}."]) from None
    if wrong:
        raise SettingsError([f"{DOTENV_FILE} cannot be read: line {line} is not NAME=VALUE." for line in wrong])
    return dotenv_values(path)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return TomlConfigSettingsSource(Settings, path)()
    except (OSError, ValueError) as error:
        raise SettingsError([f"{path.name} cannot be read: {error}."]) from None


def _read_secret(variable: str, path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError([f"{variable} names {str(path)!r}, which cannot be read: {reason}."]) from None
    if not secret:
        raise SettingsError([f"{variable} names {str(path)!r}, which is empty."])
    return secret
