"""The settings in force, as `jobworker config` shows them: secrets masked, each with the place it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from config.durations import format_duration
from config.names import setting_names
from config.sources import Settings, sources

MASK = "********"


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting: its variable, its value fit to be shown, the place it came from, what it is for."""

    variable: str
    value: str
    origin: str
    description: str


def effective_settings(settings: Settings) -> Iterator[EffectiveSetting]:
    """Describe every setting in force, in the order of the sections.

    Yields:
        One setting at a time.
    """
    origins = [(place, source()) for place, source in sources()]
    for name in setting_names():
        section = getattr(settings, name.section)
        value = section.address if name.variable == "JOBWORKER_REDIS__URL" else getattr(section, name.field)
        origin = next((place for place, values in origins if name.field in values.get(name.section, {})), "default")
        yield EffectiveSetting(name.variable, format_value(value), origin, name.description)


def format_value(value: object) -> str:
    """Write a value as it would be set; a secret is masked, a missing value is empty."""
    match value:
        case None:
            return ""
        case SecretStr():
            return MASK
        case timedelta():
            return format_duration(value)
        case tuple():
            return ",".join(map(str, value))
        case bool():
            return str(value).lower()
        case _:
            return str(value)
