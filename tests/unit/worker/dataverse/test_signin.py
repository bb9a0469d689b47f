"""Signing in through MSAL against a small Entra ID over HTTPS: each way, each refusal, and never a secret in sight."""

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.unit.worker.dataverse.entra import (
    TENANT,
    TOKEN,
    FakeEntra,
    ec_identity,
    part_of_jwt,
    refusal,
    rsa_identity,
    written,
)
from tests.unit.worker.dataverse.server import Answer, Hangup, ScriptedServer
from worker.dataverse.errors import NeverSentError, SignInError
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.signin import (
    Application,
    client_certificate,
    client_secret,
    managed_identity,
    workload_identity,
)
from worker.dataverse.signin.tokens import SignIn
from worker.dataverse.transport import tls_context

SECRET = "S3cr3t~value.of-the_application"
CLIENT = "3b9c1d7e-0000-4000-8000-00000000000b"
RESOURCE = "https://org.crm.dynamics.com"
SCOPE = f"{RESOURCE}/.default"


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is no Azure host, and has authorities of its own that must not count."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture
def http_client(ca_file: Path) -> Iterator[MsalHttpClient]:
    client = MsalHttpClient(tls_context(ca_file))
    yield client
    client.close()


@pytest.fixture
def entra(server: ScriptedServer) -> FakeEntra:
    return FakeEntra(server, [])


@pytest.fixture
def application(entra: FakeEntra, http_client: MsalHttpClient) -> Application:
    return Application(entra.authority, CLIENT, SCOPE, http_client)


# Each way to sign in


def test_a_secret_signs_in(application: Application, entra: FakeEntra) -> None:
    issued = client_secret(application, SECRET)()
    assert issued.text.startswith(TOKEN)
    assert issued.lasts == 3600
    (form,) = entra.forms()
    assert form["grant_type"] == "client_credentials"
    assert form["client_id"] == CLIENT
    assert form["client_secret"] == SECRET
    assert form["scope"] == SCOPE


@pytest.mark.parametrize("password", [None, "open sesame"], ids=["open", "encrypted"])
@pytest.mark.parametrize("form", ["key first", "certificate first", "with chain", "pfx"])
def test_a_certificate_signs_in(
    application: Application, entra: FakeEntra, tmp_path: Path, form: str, password: str | None
) -> None:
    ours, other = rsa_identity(), rsa_identity()
    parts = {
        "key first": [ours.key_pem(password), ours.certificate_pem()],
        "certificate first": [ours.certificate_pem(), ours.key_pem(password)],
        "with chain": [other.certificate_pem(), ours.certificate_pem(), ours.key_pem(password)],
        "pfx": [ours.pfx(password)],
    }
    file = written(tmp_path, *parts[form])
    assert client_certificate(application, file, password)().text.startswith(TOKEN)
    (sent,) = entra.forms()
    assert "client_secret" not in sent
    header, claims = part_of_jwt(sent["client_assertion"], 0), part_of_jwt(sent["client_assertion"], 1)
    assert base64.urlsafe_b64decode(header["x5t#S256"]) == ours.thumbprint()
    assert claims["iss"] == claims["sub"] == CLIENT


def test_a_renewed_certificate_is_read_anew(application: Application, entra: FakeEntra, tmp_path: Path) -> None:
    first, second = rsa_identity(), rsa_identity()
    sign_in = client_certificate(application, written(tmp_path, first.key_pem(), first.certificate_pem()), None)
    sign_in()
    written(tmp_path, second.key_pem(), second.certificate_pem())
    sign_in()
    used = [part_of_jwt(form["client_assertion"], 0)["x5t#S256"] for form in entra.forms()]
    assert used[0] != used[1]


def test_a_federated_token_signs_in_and_is_read_anew(
    application: Application, entra: FakeEntra, tmp_path: Path
) -> None:
    sign_in = workload_identity(application, written(tmp_path, b"first.federated.token\n"), {})
    sign_in()
    written(tmp_path, b"second.federated.token")
    sign_in()
    assert [form["client_assertion"] for form in entra.forms()] == ["first.federated.token", "second.federated.token"]


@pytest.mark.parametrize("client_id", [None, CLIENT], ids=["system", "user assigned"])
def test_a_managed_identity_signs_in(
    entra: FakeEntra, http_client: MsalHttpClient, monkeypatch: pytest.MonkeyPatch, client_id: str | None
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.server.url)
    issued = managed_identity(client_id, RESOURCE, http_client)()
    assert issued.text.startswith(TOKEN)
    (received,) = entra.server.received
    assert received.headers["Metadata"] == "true"
    assert "resource=https%3A%2F%2Forg.crm.dynamics.com" in received.path
    assert (f"client_id={CLIENT}" in received.path) is (client_id is not None)


def test_no_other_host_is_asked(application: Application, entra: FakeEntra) -> None:
    client_secret(application, SECRET)()
    paths = [received.path for received in entra.server.received]
    assert paths == [f"/{TENANT}/v2.0/.well-known/openid-configuration", f"/{TENANT}/oauth2/v2.0/token"]


# Refusals


@pytest.mark.parametrize(
    ("number", "setting"),
    [
        (7000215, "JOBWORKER_AUTH__CLIENT_SECRET"),
        (7000222, "JOBWORKER_AUTH__CLIENT_SECRET"),
        (7000216, "JOBWORKER_AUTH__METHOD"),
        (700016, "JOBWORKER_AUTH__CLIENT_ID"),
        (7000112, "JOBWORKER_AUTH__CLIENT_ID"),
        (90002, "JOBWORKER_AUTH__TENANT_ID"),
        (900023, "JOBWORKER_AUTH__TENANT_ID"),
        (500011, "JOBWORKER_DATAVERSE__URL"),
        (700027, "JOBWORKER_AUTH__CERTIFICATE_FILE"),
        (700213, "JOBWORKER_AUTH__FEDERATED_TOKEN_FILE"),
        (700024, "clock"),
        (999999, "JOBWORKER_AUTH__"),
    ],
)
def test_a_refusal_names_the_setting_at_fault_and_repeats_nothing(
    application: Application, entra: FakeEntra, number: int, setting: str
) -> None:
    entra.answers.append(refusal(number, said=f"You sent '{SECRET}'."))
    with pytest.raises(SignInError, match=setting) as caught:
        client_secret(application, SECRET)()
    assert caught.value.code == f"AADSTS{number}"
    assert f"AADSTS{number}" in str(caught.value)
    assert not caught.value.transient
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_tenant_is_named_even_when_discovery_finds_out(
    server: ScriptedServer, http_client: MsalHttpClient
) -> None:
    server.will_answer(refusal(90002, status=400))
    application = Application(f"{server.url}/{TENANT}", CLIENT, SCOPE, http_client)
    with pytest.raises(SignInError, match="JOBWORKER_AUTH__TENANT_ID"):
        client_secret(application, SECRET)()


@pytest.mark.parametrize("authority", ["https://localhost:1", "http://localhost:1/tenant", "nonsense"])
def test_an_authority_that_is_none_is_named(http_client: MsalHttpClient, authority: str) -> None:
    with pytest.raises((SignInError, NeverSentError), match="JOBWORKER_AUTH__AUTHORITY"):
        client_secret(Application(authority, CLIENT, SCOPE, http_client), SECRET)()


@pytest.mark.parametrize(
    "reply",
    [
        Hangup(),
        Answer(503, b"<html>later</html>"),
        Answer(429, {"error": "throttled"}, {"Retry-After": "60"}),
        Answer(200, f'{{"access_token": "{TOKEN}'.encode()),
        Answer(200, b""),
    ],
    ids=["hangup", "503", "429", "cut", "empty"],
)
def test_a_service_without_an_answer_is_no_refusal(
    server: ScriptedServer, http_client: MsalHttpClient, caplog: pytest.LogCaptureFixture, reply: Answer | Hangup
) -> None:
    caplog.set_level(logging.DEBUG)
    entra = FakeEntra(server, [])
    server.will_answer(entra.reply, reply)
    application = Application(entra.authority, CLIENT, SCOPE, http_client)
    with pytest.raises(NeverSentError) as caught:
        client_secret(application, SECRET)()
    assert caught.value.transient
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    server.will_answer(entra.reply)
    assert client_secret(application, SECRET)().text  # nothing of the failure is remembered


def test_a_temporary_refusal_is_no_refusal(application: Application, entra: FakeEntra) -> None:
    entra.answers.append(refusal(90033))
    with pytest.raises(NeverSentError):
        client_secret(application, SECRET)()


def test_a_certificate_of_a_stranger_is_not_accepted(
    application: Application, entra: FakeEntra, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    distrusting = MsalHttpClient(tls_context(stranger))
    with pytest.raises(NeverSentError, match="ConnectError"):
        client_secret(Application(entra.authority, CLIENT, SCOPE, distrusting), SECRET)()
    distrusting.close()
    assert entra.server.received == []


# Files


def test_every_mistake_with_a_certificate_file_names_its_setting(application: Application, tmp_path: Path) -> None:
    ours, other, curve = rsa_identity(), rsa_identity(), ec_identity()
    mistakes: list[tuple[list[bytes], str | None, str]] = [
        ([ours.certificate_pem()], None, "no private key"),
        ([ours.key_pem()], None, "CERTIFICATE_FILE"),
        ([other.certificate_pem(), ours.key_pem()], None, "belongs to its private key"),
        ([ours.certificate_pem(), ours.key_pem("right")], "wrong", "CERTIFICATE_PASSWORD"),
        ([ours.certificate_pem(), ours.key_pem("right")], None, "CERTIFICATE_PASSWORD"),
        ([ours.certificate_pem(), ours.key_pem()], "needless", "CERTIFICATE_PASSWORD"),
        ([ours.pfx("right")], "wrong", "CERTIFICATE_PASSWORD"),
        ([curve.certificate_pem(), curve.key_pem()], None, "not RSA"),
        ([b"-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n"], None, "CERTIFICATE_FILE"),
        ([b"\x00rubbish"], None, "CERTIFICATE_FILE"),
        ([b""], None, "CERTIFICATE_FILE"),
    ]
    for parts, password, said in mistakes:
        with pytest.raises(SignInError, match=said) as caught:
            client_certificate(application, written(tmp_path, *parts), password)()
        assert "JOBWORKER_AUTH__CERTIFICATE" in str(caught.value)


@pytest.mark.parametrize(
    ("sign_in", "setting"),
    [
        (lambda application, file: client_certificate(application, file, None), "JOBWORKER_AUTH__CERTIFICATE_FILE"),
        (lambda application, file: workload_identity(application, file, {}), "JOBWORKER_AUTH__FEDERATED_TOKEN_FILE"),
    ],
    ids=["certificate", "federated token"],
)
def test_a_file_that_is_not_there_is_named(
    application: Application, tmp_path: Path, sign_in: Callable[[Application, Path], SignIn], setting: str
) -> None:
    with pytest.raises(SignInError, match=setting) as caught:
        sign_in(application, tmp_path / "absent")()
    assert str(tmp_path / "absent") in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"], ids=["empty", "blank", "no text"])
def test_a_federated_token_file_without_a_token_is_named(
    application: Application, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(SignInError, match="JOBWORKER_AUTH__FEDERATED_TOKEN_FILE"):
        workload_identity(application, written(tmp_path, content), {})()


def test_the_federated_token_is_where_the_operator_says_else_where_the_cluster_says(
    application: Application, entra: FakeEntra, tmp_path: Path
) -> None:
    ours = written(tmp_path, b"the.operators.token")
    environment = {"AZURE_FEDERATED_TOKEN_FILE": str(_beside(tmp_path, "the.clusters.token"))}
    workload_identity(application, ours, environment)()
    workload_identity(application, None, environment)()
    assert [form["client_assertion"] for form in entra.forms()] == ["the.operators.token", "the.clusters.token"]
    with pytest.raises(SignInError, match="JOBWORKER_AUTH__FEDERATED_TOKEN_FILE"):
        workload_identity(application, None, {})()


# Managed identity


@pytest.mark.parametrize(
    ("client_id", "said"),
    [(None, "system-assigned"), (CLIENT, "JOBWORKER_AUTH__CLIENT_ID the client id")],
    ids=["system", "user"],
)
def test_a_refused_managed_identity_says_what_to_check(
    entra: FakeEntra, http_client: MsalHttpClient, monkeypatch: pytest.MonkeyPatch, client_id: str | None, said: str
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.server.url)
    entra.answers.append(Answer(400, {"error": "invalid_request", "error_description": "Identity not found"}))
    with pytest.raises(SignInError, match=said):
        managed_identity(client_id, RESOURCE, http_client)()


@pytest.mark.parametrize("status", [410, 429, 500])
def test_a_managed_identity_endpoint_that_is_busy_is_asked_again_later(
    entra: FakeEntra, http_client: MsalHttpClient, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.server.url)
    entra.answers.append(Answer(status))
    sign_in = managed_identity(None, RESOURCE, http_client)
    with pytest.raises(NeverSentError):
        sign_in()
    assert sign_in().text


def test_a_host_without_a_managed_identity_is_said_to_be_one(
    http_client: MsalHttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    with pytest.raises(NeverSentError, match="JOBWORKER_AUTH__METHOD"):
        managed_identity(None, RESOURCE, http_client)()


# Secrets


def test_no_secret_and_no_token_is_logged_or_shown_at_any_level(
    application: Application, entra: FakeEntra, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # the root's, so msal's, httpx's and httpcore's as well
    ours = rsa_identity()
    password = "the password of the key"
    key = ours.key_pem(password)
    federated = "header.federated-claims.signature"
    ways = [
        client_secret(application, SECRET),
        client_certificate(application, written(tmp_path, key, ours.certificate_pem()), password),
        workload_identity(application, _beside(tmp_path, federated), {}),
    ]
    issued = [sign_in() for sign_in in ways]
    assertion = entra.forms()[1]["client_assertion"]
    shown = caplog.text + repr(issued) + repr(ways) + repr(application)
    assert "httpx" in {record.name for record in caplog.records}
    for secret in (SECRET, TOKEN, federated, assertion, password, "PRIVATE KEY"):
        assert secret not in shown


def _beside(folder: Path, token: str) -> Path:
    path = folder / "federated"
    path.write_text(token)
    return path
