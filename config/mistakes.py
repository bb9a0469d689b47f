"""Puts into words what is wrong with settings: one clear sentence a mistake, which never repeats a value by itself."""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from pydantic_core import ErrorDetails

from config.names import PREFIX, known_variables, setting_names
from config.settings import SECTIONS

LOOK_IT_UP = "`jobworker config` lists the settings there are."


def unknown_variables(place: str, variables: Iterable[str]) -> Iterator[str]:
    """Find the variables that look like settings and are none.

    Args:
        place: Where they are set.
        variables: The names of all variables that are set there.

    Yields:
        A sentence for each, with the name that was probably meant.
    """
    known = known_variables()
    for variable in variables:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            yield _unknown(variable, place, variable.upper(), known)


def unknown_keys(place: str, table: Mapping[str, object]) -> Iterator[str]:
    """Find the sections and keys of a TOML file that are no settings.

    Args:
        place: The name of the file.
        table: What the file holds.

    Yields:
        A sentence for each, with the name that was probably meant.
    """
    for section, keys in table.items():
        if section not in SECTIONS:
            yield _unknown(section, place, section, SECTIONS)
        elif not isinstance(keys, Mapping):
            yield f"{section}, set in {place}, is a section: write [{section}] and its settings below it."
        else:
            known = [f"{section}.{field}" for field in SECTIONS[section].model_fields]
            for name in (f"{section}.{key}" for key in keys):
                if name not in known:
                    yield _unknown(name, place, name, known)


def sentence(details: ErrorDetails) -> str:
    """Put one of pydantic's findings into words. What was given is never repeated unless our own check did so."""
    place = [str(part) for part in details["loc"][:2]]
    name = f"{PREFIX}{'__'.join(place)}".upper()
    match details["type"]:
        case "missing":
            return f"{name} is not set: {_description(place)}"
        case "value_error":
            return f"{name}: {details['ctx']['error']}."
        case _:
            return f"{name}: {details['msg'][0].lower()}{details['msg'][1:]}."


def _unknown(name: str, place: str, meant: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(meant, known, n=1)
    return f"{name}, set in {place}, is not a setting: {f'did you mean {close[0]}?' if close else LOOK_IT_UP}"


def _description(place: list[str]) -> str:
    for name in setting_names():
        if [name.section, name.field] == place:
            return name.description
    return "it is needed."
