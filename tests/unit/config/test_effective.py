"""What `jobworker config` shows: every setting, where it came from, and no secret."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from config.effective import MASK, effective_settings, format_value
from config.names import known_variables, setting_names
from config.sources import load_settings
from tests.unit.config.conftest import HUSH, SECRET, Place


def test_each_setting_is_shown_with_the_place_it_came_from(place: Place) -> None:
    place.unset(SECRET)
    place.write("jobworker.toml", '[poll]\ninterval = "3m"\noverlap = "3m"\nmax_queued = 3\n')
    place.write(".env", "JOBWORKER_POLL__OVERLAP=2m\nJOBWORKER_POLL__MAX_QUEUED=2\n")
    place.set(JOBWORKER_POLL__MAX_QUEUED="1")
    place.set(**{f"{SECRET}_FILE": str(place.write("secret", HUSH))})

    shown = {each.variable: each for each in effective_settings(load_settings())}

    origins = {variable: (each.value, each.origin) for variable, each in shown.items()}
    assert origins["JOBWORKER_POLL__SWEEP_INTERVAL"] == ("15m", "default")
    assert origins["JOBWORKER_POLL__INTERVAL"] == ("3m", "jobworker.toml")
    assert origins["JOBWORKER_POLL__OVERLAP"] == ("2m", ".env")
    assert origins["JOBWORKER_POLL__MAX_QUEUED"] == ("1", "environment")
    assert origins[SECRET] == (MASK, "secret file")


def test_a_secret_file_named_in_dotenv_is_told_apart(place: Place) -> None:
    place.unset(SECRET)
    place.write(".env", f"{SECRET}_FILE={place.write('secret', HUSH)}\n")

    (shown,) = [each for each in effective_settings(load_settings()) if each.variable == SECRET]

    assert shown.origin == "secret file named in .env"


def test_a_toml_file_is_called_by_its_name(place: Place) -> None:
    place.set(JOBWORKER_CONFIG=str(place.write("mine.toml", "[jobs]\nchunk_size = 7\n")))

    shown = {each.variable: each.origin for each in effective_settings(load_settings())}

    assert shown["JOBWORKER_JOBS__CHUNK_SIZE"] == "mine.toml"


def test_every_setting_is_shown_once_and_no_secret_with_it(place: Place) -> None:
    settings = place.load(JOBWORKER_REDIS__URL=f"redis://user:{HUSH}@localhost:6379/0")

    shown = list(effective_settings(settings))

    assert [each.variable for each in shown] == [name.variable for name in setting_names()]
    assert HUSH not in repr(shown)
    assert {each.variable: each.value for each in shown}["JOBWORKER_REDIS__URL"] == "redis://localhost:6379/0"


def test_what_is_shown_may_be_set_again(place: Place) -> None:
    settings = place.load()
    for each in effective_settings(settings):
        if each.value not in ("", MASK):
            place.set(**{each.variable: each.value})

    assert load_settings() == settings


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (SecretStr("hush"), MASK),
        (timedelta(minutes=90), "1h30m"),
        ((1, 2), "1,2"),
        (True, "true"),
        (5, "5"),
        ("text", "text"),
    ],
)
def test_values_are_written_as_they_would_be_set(value: object, written: str) -> None:
    assert format_value(value) == written


def test_only_secrets_have_a_file_form() -> None:
    forms = {name.file_variable for name in setting_names() if name.is_secret}

    assert forms == {
        "JOBWORKER_AUTH__CLIENT_SECRET_FILE",
        "JOBWORKER_AUTH__CERTIFICATE_PASSWORD_FILE",
        "JOBWORKER_REDIS__URL_FILE",
    }
    assert forms < known_variables().keys()
