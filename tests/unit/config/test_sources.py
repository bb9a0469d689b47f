"""Where settings come from: precedence, secret files, and what is said of names that mean nothing."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.mistakes import LOOK_IT_UP, unknown_keys, unknown_variables
from config.names import known_variables, setting_names
from config.sources import Settings, load_settings
from tests.unit.config.conftest import HUSH, NEEDED, SECRET, Place

INTERVAL = "JOBWORKER_POLL__INTERVAL"


def a_minute(number: int) -> timedelta:
    return timedelta(minutes=number)


def secret_of(settings: Settings) -> str:
    assert settings.auth.client_secret is not None
    return settings.auth.client_secret.get_secret_value()


def test_each_source_gives_way_to_the_one_before(place: Place) -> None:
    assert place.load().poll.interval == timedelta(seconds=5)
    place.write("jobworker.toml", '[poll]\ninterval = "3m"\n')
    assert load_settings().poll.interval == a_minute(3)
    place.write(".env", f"{INTERVAL}=2m\n")
    assert load_settings().poll.interval == a_minute(2)
    assert place.load(**{INTERVAL: "1m"}).poll.interval == a_minute(1)


def test_sources_add_up_within_a_section(place: Place) -> None:
    place.write("jobworker.toml", '[poll]\ninterval = "3m"\noverlap = "3m"\nmax_queued = 3\n')
    place.write(".env", f"{INTERVAL}=2m\nJOBWORKER_POLL__OVERLAP=2m\n")

    poll = place.load(**{INTERVAL: "1m"}).poll

    assert (poll.interval, poll.overlap, poll.max_queued) == (a_minute(1), a_minute(2), 3)


def test_secrets_are_taken_from_variable_then_file_then_dotenv_then_its_file_then_toml(place: Place) -> None:
    place.unset(SECRET)
    place.write("jobworker.toml", '[auth]\nclient_secret = "of the toml file"\n')
    assert secret_of(load_settings()) == "of the toml file"
    place.write(".env", f"{SECRET}_FILE={place.write('theirs', 'of the file named in .env')}\n")
    assert secret_of(load_settings()) == "of the file named in .env"
    place.write(".env", f"{SECRET}_FILE={place.folder / 'theirs'}\n{SECRET}=of .env\n")
    assert secret_of(load_settings()) == "of .env"
    assert secret_of(place.load(**{f"{SECRET}_FILE": str(place.write("mine", "of the file\n"))})) == "of the file"
    assert secret_of(place.load(**{SECRET: "of the variable"})) == "of the variable"


@pytest.mark.parametrize("variable", [name.file_variable for name in setting_names() if name.is_secret])
def test_every_secret_may_stand_in_a_file(place: Place, variable: str) -> None:
    place.unset(SECRET)
    place.set(JOBWORKER_AUTH__METHOD="managed_identity")
    file = place.write("secret", "redis://:from-a-file@localhost:6379/0\n")

    settings = place.load(**{variable: str(file)})

    assert "redis://:from-a-file@localhost:6379/0" in settings.secrets()


def test_names_are_read_whatever_their_case(place: Place) -> None:
    place.unset(SECRET)
    place.write("other.toml", "[poll]\nmax_queued = 7\n")
    file = str(place.write("secret", "hush"))

    settings = place.load(
        jobworker_poll__interval="1m", jobworker_auth__client_secret_file=file, jobworker_config="other.toml"
    )

    assert settings.poll.interval == a_minute(1)
    assert secret_of(settings) == "hush"
    assert settings.poll.max_queued == 7


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_the_toml_file_may_be_named(place: Place, where: str) -> None:
    file = place.write("other.toml", "[poll]\nmax_queued = 7\n")
    place.write("jobworker.toml", "[poll]\nmax_queued = 8\n")
    if where == ".env":
        place.write(".env", f"JOBWORKER_CONFIG={file}\n")
    else:
        place.set(JOBWORKER_CONFIG=str(file))

    assert load_settings().poll.max_queued == 7


def test_a_variable_set_to_nothing_is_not_set(place: Place) -> None:
    settings = place.load(**{INTERVAL: "", "JOBWORKER_METRICS__PORT": "", f"{SECRET}_FILE": "", "JOBWORKER_CONFIG": ""})

    assert settings.poll.interval == timedelta(seconds=5)
    assert settings.metrics.port is None
    assert secret_of(settings) == HUSH


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("JOBWORKER_POL__INTERVAL", "JOBWORKER_POLL__INTERVAL"),
        ("JOBWORKER_POLL_INTERVAL", "JOBWORKER_POLL__INTERVAL"),
        ("JOBWORKER_POLL__INTERVAL__X", "JOBWORKER_POLL__INTERVAL"),
        ("JOBWORKER_AUTH__CLIENT_SECRETS", "JOBWORKER_AUTH__CLIENT_SECRET"),
        ("JOBWORKER_AUTH__TENANT_ID_FILE", "JOBWORKER_AUTH__TENANT_ID"),
        ("jobworker_redis__ur", "JOBWORKER_REDIS__URL"),
        ("JOBWORKER_CONFIGURATION", "JOBWORKER_CONFIG"),
    ],
)
@pytest.mark.parametrize("where", ["the environment", ".env"])
def test_a_variable_that_is_no_setting_is_named_with_what_was_meant(
    place: Place, variable: str, meant: str, where: str
) -> None:
    if where == ".env":
        place.write(".env", f"{variable}=a-value\n")
    else:
        place.set(**{variable: "a-value"})

    (mistake,) = place.mistakes()

    assert mistake == f"{variable}, set in {where}, is not a setting: did you mean {meant}?"


def test_a_variable_like_nothing_is_told_where_to_look(place: Place) -> None:
    (mistake,) = place.mistakes(JOBWORKER_QQQQQQQQQQQQQQQQQQQQQQQQQQQQ="a-value")

    assert mistake.endswith(LOOK_IT_UP)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[pol]\ninterval = '5s'\n", "pol, set in jobworker.toml, is not a setting: did you mean poll?"),
        ("[poll]\nintervall = '5s'\n", "poll.intervall, set in jobworker.toml, is not a setting: did you mean poll."),
        ("[auth]\nclient_secret_file = 'x'\n", "did you mean auth.client_secret?"),
        ("interval = '5s'\n", "interval, set in jobworker.toml, is not a setting"),
        ("poll = 5\n", "poll, set in jobworker.toml, is a section: write [poll] and its settings below it."),
    ],
)
def test_a_name_in_the_toml_file_that_is_no_setting_is_named(place: Place, toml: str, said: str) -> None:
    place.write("jobworker.toml", toml)

    (mistake,) = place.mistakes()

    assert said in mistake


def test_every_mistake_is_told_at_once(place: Place) -> None:
    place.write(".env", "JOBWORKER_B=1\n")
    place.write("jobworker.toml", "[c]\n")
    assert len(place.mistakes(JOBWORKER_A="1")) == 3

    place.unset("JOBWORKER_A")
    place.write(".env", "")
    place.write("jobworker.toml", "")
    wrong = {"JOBWORKER_LOG__LEVEL": "LOUD", INTERVAL: "5", "JOBWORKER_METRICS__PORT": "x"}
    assert [mistake.partition(":")[0] for mistake in place.mistakes(**wrong)] == [
        INTERVAL,
        "JOBWORKER_METRICS__PORT",
        "JOBWORKER_LOG__LEVEL",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("jobworker.toml", "[poll\n", "jobworker.toml cannot be read: Expected ']'"),
        ("jobworker.toml", "[auth]\nclient_secret = hush-hush\n", "(at line 2, column 17)"),
        ("jobworker.toml", b"\xff\xfe", "jobworker.toml cannot be read: "),
        (".env", b"JOBWORKER_LOG__LEVEL=\xff\n", ".env cannot be read: "),
        (".env", "A=1\nJOBWORKER_LOG__LEVEL 'hush-hush'\n", ".env cannot be read: line 2 is not NAME=VALUE."),
    ],
)
def test_a_file_that_cannot_be_read_is_named(place: Place, name: str, content: str | bytes, said: str) -> None:
    place.write(name, content)

    (mistake,) = place.mistakes()

    assert said in mistake
    assert "hush-hush" not in mistake


def test_a_toml_file_that_is_not_there_is_named(place: Place) -> None:
    assert place.mistakes(JOBWORKER_CONFIG="gone.toml") == [
        "JOBWORKER_CONFIG names 'gone.toml', and there is no such file."
    ]
    assert "no such file" in place.mistakes(JOBWORKER_CONFIG=str(place.folder))[0]


def test_a_secret_file_that_cannot_be_read_is_named(place: Place) -> None:
    variable = f"{SECRET}_FILE"
    cases: Mapping[str, str] = {
        "gone": "cannot be read: No such file or directory",
        ".": "cannot be read: Is a directory",
        "empty": "is empty",
        "binary": "cannot be read: it is not UTF-8 text",
    }
    place.write("empty", " \n")
    place.write("binary", b"\xff\xfe")
    for path, said in cases.items():
        assert place.mistakes(**{variable: path}) == [f"{variable} names {path!r}, which {said}."]


def test_what_is_needed_and_not_set_is_told_with_what_it_is_for(place: Place) -> None:
    place.unset(*NEEDED)

    mistakes = place.mistakes()

    assert any(each.startswith("JOBWORKER_DATAVERSE__URL is not set: Root of the Dataverse env") for each in mistakes)
    assert any("also needs JOBWORKER_AUTH__TENANT_ID, JOBWORKER_AUTH__CLIENT_ID, " in each for each in mistakes)


@given(st.text(max_size=30))
def test_any_name_with_the_prefix_is_a_setting_or_a_mistake(rest: str) -> None:
    variable = f"JOBWORKER_{rest}"

    assert (variable.upper() in known_variables()) == (not list(unknown_variables("here", [variable])))


@given(st.dictionaries(st.text(max_size=8), st.dictionaries(st.text(max_size=8), st.integers()) | st.integers()))
def test_any_table_is_read_without_an_error(table: dict[str, object]) -> None:
    for mistake in unknown_keys("here", table):
        assert "set in here" in mistake


def test_variables_of_others_are_nobodys_business() -> None:
    assert not list(unknown_variables("here", ["PATH", "JOBWORKE", "XJOBWORKER_POL"]))
