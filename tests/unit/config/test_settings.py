"""What each setting accepts, and what is said when it does not."""

from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from config.names import setting_names
from config.settings import (
    SECTIONS,
    AuthMethod,
    AuthSettings,
    DataverseSettings,
    JobsSettings,
    RedisSettings,
    is_loopback,
)
from tests.unit.config.conftest import HUSH, NEEDED, Place

DEFAULTS = {
    "JOBWORKER_DATAVERSE__API_VERSION": "v9.2",
    "JOBWORKER_JOBS__CHUNK_SIZE": 10,
    "JOBWORKER_JOBS__PACKET_IDLE_TIMEOUT": timedelta(hours=1),
    "JOBWORKER_JOBS__DEADLINE": timedelta(hours=24),
    "JOBWORKER_JOBS__READY_GRACE": timedelta(minutes=5),
    "JOBWORKER_JOBS__LEASE": timedelta(minutes=5),
    "JOBWORKER_JOBS__MAX_ATTEMPTS": 3,
    "JOBWORKER_JOBS__TYPES": (192_350_000,),
    "JOBWORKER_JOBS__FAIL_WITH_ACTION": False,
    "JOBWORKER_METRICS__HOST": "127.0.0.1",
    "JOBWORKER_LOG__FORMAT": "json",
}
"""What the design promises of settings that nobody sets."""


def test_every_setting_says_what_it_is_for() -> None:
    for name in setting_names():
        assert name.description.endswith("."), name.variable


def test_only_the_environments_address_has_no_default() -> None:
    needed = [
        name.variable
        for name in setting_names()
        if SECTIONS[name.section].model_fields[name.field].get_default() is PydanticUndefined
    ]

    assert needed == ["JOBWORKER_DATAVERSE__URL"]


def test_defaults_are_those_that_the_rules_speak_of(place: Place) -> None:
    settings = place.load()
    of = {name.variable: getattr(getattr(settings, name.section), name.field) for name in setting_names()}

    assert {variable: of[variable] for variable in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", list(setting_names()), ids=lambda name: name.variable)
def test_a_value_that_no_setting_accepts_is_said_in_one_sentence(place: Place, name: object) -> None:
    variable: str = name.variable  # type: ignore[attr-defined]
    accepts_any_text = variable.endswith(("_FILE", "_ID", "_SECRET", "_PASSWORD", "__HOST"))
    if accepts_any_text:
        place.set(JOBWORKER_AUTH__METHOD="managed_identity")
        place.load(**{variable: "no://such:thing"})
        return

    (mistake,) = place.mistakes(**{variable: "no://such:thing"})

    assert mistake.startswith(f"{variable}: ")
    assert mistake.endswith(".")
    assert "\n" not in mistake


@pytest.mark.parametrize("setting", ["JOBWORKER_DATAVERSE__URL", "JOBWORKER_AUTH__AUTHORITY"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://org.example", "plain http, which would send tokens in the clear: write https://"),
        ("http://10.0.0.1", "plain http"),
        ("http://localhost.example", "plain http"),
        ("org.example", "is not the address of a service: write it as https://"),
        ("ftp://org.example", "is not the address of a service"),
        ("https://", "is not the address of a service"),
        ("https://org.example:port", "is not a URL"),
        ("https://org.example:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://org.example?x=1", "nothing secret"),
        ("https://org.example#x", "nothing secret"),
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused(place: Place, setting: str, url: str, said: str) -> None:
    (mistake,) = place.mistakes(**{setting: url})

    assert mistake.startswith(f"{setting}: ")
    assert said in mistake


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://127.0.0.1", "http://127.1.2.3:1", "http://[::1]:8000", "https://o.example"]
)
def test_plain_http_is_for_this_machine_alone(url: str) -> None:
    assert DataverseSettings(url=f"{url}/").url == url
    assert AuthSettings(method="managed_identity", authority=url).authority == url


def test_the_environments_address_is_its_root(place: Place) -> None:
    (mistake,) = place.mistakes(JOBWORKER_DATAVERSE__URL="https://org.crm.dynamics.com/api/data/v9.2")

    assert "has a path: give the environment's root alone" in mistake


@pytest.mark.parametrize("host", [None, "", "example.org", "10.0.0.1", "0.0.0.0", "::", "localhost."])  # noqa: S104
def test_only_this_machine_is_loopback(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://localhost", "must begin with redis://, rediss:// (TLS) or unix://"),
        ("localhost:6379", "must begin with redis://"),
        ("unix://", "must name the socket"),
        ("redis://host:port/0", "is not a URL"),
        ("redis://:hush/hush@host:6379/0", "is not a URL"),
        ("redis://:6379/hush@host:6379/0", "percent-encode"),
        ("redis://:6379?hush@host:6379/0", "percent-encode"),
        ("redis://:6379#hush@host:6379/0", "percent-encode"),
        ("redis://host:6379/0?password=hush", "takes no options"),
        ("rediss://host:6379/0?ssl_cert_reqs=none", "takes no options"),
        ("redis://host:6379?db=1", "takes no options"),
        ("unix:///run/redis.sock?password=hush", "takes no options"),
        ("unix:///run/redis.sock?db=x", "takes no options"),
        ("redis://host:6379/first", "must end with the number of a database"),
        ("redis://:hush@ho\u2100st/0", "is not a URL"),  # its error in the standard library quotes the password
    ],
)
def test_a_redis_address_that_makes_no_sense_is_refused_without_its_password(place: Place, url: str, said: str) -> None:
    (mistake,) = place.mistakes(JOBWORKER_REDIS__URL=url)

    assert said in mistake
    assert "hush" not in mistake


@pytest.mark.parametrize(
    ("url", "address", "credentials"),
    [
        ("redis://host:6379/0", "redis://host:6379/0", []),
        ("redis://host", "redis://host", []),
        ("redis://:hush@host/0", "redis://host/0", ["hush", "hush"]),
        ("rediss://user:h%2Fush@host:6380/1", "rediss://host:6380/1", ["h%2Fush", "h/ush"]),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3", []),
        ("unix://:hush@/run/redis.sock", "unix:///run/redis.sock", ["hush", "hush"]),
    ],
)
def test_a_redis_address_is_shown_without_its_credentials(url: str, address: str, credentials: list[str]) -> None:
    settings = RedisSettings(url=SecretStr(url))

    assert settings.address == address
    assert settings.credentials == credentials


@given(st.text(max_size=40), st.text("hus/?#@:%[]", min_size=4, max_size=12), st.sampled_from(["redis", "unix", "htp"]))
def test_no_error_of_an_address_repeats_a_password(host: str, password: str, scheme: str) -> None:
    url = f"{scheme}://:SECRET{password}SECRET@{host}"
    with pytest.raises(ValidationError) as raised:
        DataverseSettings(url=url)
    assert "SECRET" not in str(raised.value)
    try:
        settings = RedisSettings(url=SecretStr(url))
    except ValidationError as error:
        said = str(error)
    else:
        said = f"{settings!r} {settings.address}"
    assert "SECRET" not in said


NEEDED_BY_METHOD: dict[AuthMethod, list[str]] = {
    "client_secret": ["TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"],
    "client_certificate": ["TENANT_ID", "CLIENT_ID", "CERTIFICATE_FILE"],
    "workload_identity": ["TENANT_ID", "CLIENT_ID"],
    "managed_identity": [],
}


@pytest.mark.parametrize("method", get_args(AuthMethod))
def test_a_way_to_sign_in_names_what_it_needs(place: Place, method: AuthMethod) -> None:
    place.unset(*(name for name in NEEDED if name.startswith("JOBWORKER_AUTH__")))
    place.set(JOBWORKER_AUTH__METHOD=method)
    needed = [f"JOBWORKER_AUTH__{name}" for name in NEEDED_BY_METHOD[method]]
    if needed:
        assert place.mistakes() == [f"JOBWORKER_AUTH: the method {method} also needs {', '.join(needed)}."]
    place.set(**dict.fromkeys(needed, "given"))

    assert place.load().auth.method == method


@pytest.mark.parametrize(
    ("written", "types"), [("1", (1,)), ("1,2", (1, 2)), (" 1 , 2 ,", (1, 2)), ("[1, 2]", (1, 2)), ([1, 2], (1, 2))]
)
def test_types_are_read_as_a_list(written: object, types: tuple[int, ...]) -> None:
    assert JobsSettings.model_validate({"types": written}).types == types


@pytest.mark.parametrize("written", ["", "one", "1;2", [], "1.5"])
def test_types_that_are_no_numbers_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        JobsSettings.model_validate({"types": written})


def test_what_is_wrong_twice_is_said_once(place: Place) -> None:
    assert len(place.mistakes(JOBWORKER_JOBS__TYPES="one,two")) == 1
    assert place.mistakes(JOBWORKER_JOBS__TYPES=",") == [
        "JOBWORKER_JOBS__TYPES: names no type: write 192350000, or several with commas between them."
    ]


def test_no_secret_is_shown_by_accident(place: Place) -> None:
    settings = place.load(JOBWORKER_REDIS__URL=f"redis://:{HUSH}@localhost:6379/0")

    assert HUSH not in f"{settings!r} {settings!s} {settings.auth!r} {settings.redis!r} {settings.model_dump_json()}"
    assert settings.secrets() == [HUSH, f"redis://:{HUSH}@localhost:6379/0", HUSH, HUSH]


def test_no_secret_stands_in_an_error(place: Place) -> None:
    place.write("jobworker.toml", f'[auth]\nclient_secret = ["{HUSH}"]\n')
    place.unset("JOBWORKER_AUTH__CLIENT_SECRET")

    mistakes = place.mistakes(JOBWORKER_REDIS__URL=f"amqp://:{HUSH}@localhost", JOBWORKER_LOG__LEVEL="LOUD")

    assert len(mistakes) == 3
    assert HUSH not in "\n".join(mistakes)


def test_settings_stay_as_they_were_loaded(place: Place) -> None:
    settings = place.load()

    with pytest.raises(ValidationError, match="frozen"):
        settings.poll = settings.poll  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.jobs.chunk_size = 1  # type: ignore[misc]
