"""Signing in: secrets, certificates, federated tokens, what Entra ID answers, and what a token is good for."""

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import msal
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox.certificates import issue_certificates
from sandbox.entra.federation import WorkloadIssuer
from sandbox.tables import TENANT_ID
from tests.unit.sandbox.inprocess import START, Driver, Reply

ORIGIN = "https://localhost:8443"
AUTHORITY = f"{ORIGIN}/{TENANT_ID}"
ENDPOINT = f"{AUTHORITY}/oauth2/v2.0/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def sign_in(driver: Driver, tenant: str = TENANT_ID, **changes: str | None) -> Reply:
    form: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "client_id": driver.sandbox.worker.client_id,
        "client_secret": driver.sandbox.worker.secret,
        "scope": f"{ORIGIN}/.default",
        **changes,
    }
    body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
    return driver.send("POST", f"/{tenant}/oauth2/v2.0/token", body)


def asserted(driver: Driver, assertion: str) -> Reply:
    return sign_in(driver, client_secret=None, client_assertion=assertion, client_assertion_type=ASSERTION_TYPE)


def number(reply: Reply) -> int:
    assert reply.document["error_description"].startswith(f"AADSTS{reply.document['error_codes'][0]}: ")
    return int(reply.document["error_codes"][0])


def who_am_i(driver: Driver, token: str) -> Reply:
    return driver.send("GET", "/api/data/v9.2/WhoAmI", b"", {"Authorization": f"Bearer {token}"})


class InProcessHttp:
    """What MSAL speaks HTTP through."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def _answer(
        self, method: str, url: str, data: Any = None, params: Any = None, headers: Any = None, **_: Any
    ) -> Any:
        target = f"{url.removeprefix(ORIGIN)}?{urlencode(params or {})}"
        reply = self._driver.send(method, target, urlencode(data or {}).encode(), headers)

        class Answer:
            status_code = reply.status
            text = reply.body.decode()
            headers = reply.headers

            def raise_for_status(self) -> None:
                assert reply.status < 400

        return Answer()

    def get(self, url: str, **more: Any) -> Any:
        return self._answer("GET", url, **more)

    def post(self, url: str, **more: Any) -> Any:
        return self._answer("POST", url, **more)

    def close(self) -> None:
        pass


def msal_token(driver: Driver, credential: Any) -> dict[str, Any]:
    application = msal.ConfidentialClientApplication(
        driver.sandbox.worker.client_id,
        authority=AUTHORITY,
        client_credential=credential,
        instance_discovery=False,
        http_client=InProcessHttp(driver),
    )
    return dict(application.acquire_token_for_client([f"{ORIGIN}/.default"]))


def test_msal_signs_in_with_a_secret(driver: Driver) -> None:
    token = msal_token(driver, driver.sandbox.worker.secret)
    assert who_am_i(driver, token["access_token"]).status == 200


def test_msal_signs_in_with_a_certificate(driver: Driver, tmp_path: Path) -> None:
    # MSAL dates its assertions by the machine's clock.
    driver.wall[0] = time.time()
    made = issue_certificates(tmp_path)
    driver.sandbox.applications.add_certificate(driver.sandbox.worker, made.client_certificate)
    pem = made.client_file.read_text()
    for thumbprint in (SHA1(), SHA256()):  # noqa: S303 - MSAL knows both
        credential = {"private_key": pem, "thumbprint": made.client_certificate.fingerprint(thumbprint).hex()}
        token = msal_token(driver, credential)
        assert who_am_i(driver, token["access_token"]).status == 200, token


def test_msal_signs_in_with_a_federated_token(driver: Driver) -> None:
    issuer = WorkloadIssuer(ORIGIN, driver.sandbox.database.clock)
    driver.sandbox.applications.add_federated(driver.sandbox.worker, issuer.credential())
    token = msal_token(driver, {"client_assertion": issuer.token})
    assert who_am_i(driver, token["access_token"]).status == 200


def test_msal_signs_in_with_a_managed_identity(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{ORIGIN}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", driver.sandbox.identity.header)
    driver.wall[0] = time.time()
    client = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=InProcessHttp(driver))
    token = client.acquire_token_for_client(resource=ORIGIN)
    assert who_am_i(driver, token["access_token"]).document["UserId"]


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [
        (None, f"resource={ORIGIN}", 401),
        ("right", "resource=https://elsewhere.example", 400),
        ("right", f"resource={ORIGIN}&client_id=somebody", 400),
        ("right", f"resource={ORIGIN}", 200),
    ],
)
def test_a_managed_identity_is_kept_from_others(driver: Driver, header: str | None, query: str, status: int) -> None:
    headers = {"X-IDENTITY-HEADER": driver.sandbox.identity.header} if header else {}
    assert driver.send("GET", f"/msi/token?{query}", b"", headers).status == status


def test_a_token_is_told_with_its_lifetime(driver: Driver) -> None:
    document = sign_in(driver).document
    assert (document["token_type"], document["expires_in"]) == ("Bearer", 3599)
    claims = jwt.decode(document["access_token"], options={"verify_signature": False})
    assert claims["aud"] == ORIGIN
    assert claims["exp"] == START + 3599


@pytest.mark.parametrize(
    ("changes", "status", "aadsts"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": None}, 401, 7000216),
        ({"client_id": "11111111-2222-3333-4444-555555555555"}, 400, 700016),
        ({"client_id": None}, 400, 900144),
        ({"scope": None}, 400, 900144),
        ({"grant_type": "password"}, 400, 70003),
        ({"scope": f"{ORIGIN}/user_impersonation"}, 400, 1002012),
        ({"scope": "https://elsewhere.example/.default"}, 400, 500011),
        ({"client_assertion": "x", "client_assertion_type": "y"}, 400, 900144),
        ({"client_assertion": "x", "client_assertion_type": ASSERTION_TYPE}, 401, 50027),
    ],
)
def test_a_refused_sign_in(driver: Driver, changes: dict[str, str | None], status: int, aadsts: int) -> None:
    reply = sign_in(driver, TENANT_ID, **changes)
    assert (reply.status, number(reply)) == (status, aadsts)


def test_an_unknown_tenant(driver: Driver) -> None:
    assert number(sign_in(driver, tenant="nobody")) == 90002
    assert driver.send("GET", "/nobody/v2.0/.well-known/openid-configuration").status == 400


def test_a_secret_is_never_repeated(driver: Driver) -> None:
    assert b"almost-the-secret" not in sign_in(driver, client_secret="almost-the-secret").body
    assert driver.sandbox.worker.secret not in repr(driver.sandbox.worker)


def test_the_discovery_document_leads_back_here(driver: Driver) -> None:
    document = driver.send("GET", f"/{TENANT_ID}/v2.0/.well-known/openid-configuration").document
    assert document["token_endpoint"] == ENDPOINT
    keys = driver.send("GET", document["jwks_uri"].removeprefix(ORIGIN)).document
    token = sign_in(driver).document["access_token"]
    key = jwt.PyJWK.from_dict(keys["keys"][0])
    claims = jwt.decode(token, key, ["RS256"], audience=ORIGIN, options={"verify_exp": False, "verify_iat": False})
    assert claims["iss"] == document["issuer"]


def test_a_token_for_something_else_is_of_no_use_here(driver: Driver) -> None:
    token = sign_in(driver, scope="https://graph.microsoft.com/.default").document["access_token"]
    assert who_am_i(driver, token).status == 401


@pytest.mark.parametrize("scope", [f"{ORIGIN}//.default", "https://127.0.0.1:8443/.default"])
def test_the_environment_has_more_than_one_address(driver: Driver, scope: str) -> None:
    assert who_am_i(driver, sign_in(driver, scope=scope).document["access_token"]).status == 200


def test_without_a_token_there_is_a_challenge(driver: Driver) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer nonsense"}):
        reply = driver.send("GET", "/api/data/v9.2/WhoAmI", b"", headers)
        assert reply.status == 401
        assert f"authorization_uri={AUTHORITY}/oauth2/authorize" in reply.headers["www-authenticate"]


def test_tokens_expire_on_the_sandboxs_clock(driver: Driver) -> None:
    assert driver.get("WhoAmI").status == 200
    driver.control("clock", {"advance": 3598})
    assert driver.get("WhoAmI").status == 200
    driver.control("clock", {"advance": 2})
    assert driver.get("WhoAmI").status == 401


def test_somebody_elses_token_is_refused(driver: Driver) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"aud": ORIGIN, "appid": driver.sandbox.worker.client_id, "exp": START + 3600}
    assert who_am_i(driver, jwt.encode(claims, key, "RS256")).status == 401
    assert who_am_i(driver, jwt.encode(claims, "", "none")).status == 401


def test_an_application_without_a_user_may_not_come_in(driver: Driver) -> None:
    stranger = driver.sandbox.applications.register("stranger", with_user=False)
    driver.sign_in(stranger)
    reply = driver.get("WhoAmI")
    assert (reply.status, reply.code) == (403, "0x80072560")


def certificate_assertion(driver: Driver, tmp_path: Path, register: bool = True, **changes: Any) -> str:
    made = issue_certificates(tmp_path)
    if register:
        driver.sandbox.applications.add_certificate(driver.sandbox.worker, made.client_certificate)
    client = driver.sandbox.worker.client_id
    claims = {"aud": ENDPOINT, "iss": client, "sub": client, "nbf": START, "exp": START + 600, **changes}
    key = load_pem_private_key(made.client_file.read_bytes(), None)
    thumbprint = jwt.utils.base64url_encode(made.client_certificate.fingerprint(SHA256())).decode()
    return jwt.encode(claims, key, "RS256", {"x5t#S256": thumbprint})  # type: ignore[arg-type]


def test_a_certificate_that_is_not_registered(driver: Driver, tmp_path: Path) -> None:
    assert number(asserted(driver, certificate_assertion(driver, tmp_path, register=False))) == 700027


def test_an_assertion_signed_by_another_key(driver: Driver, tmp_path: Path) -> None:
    good = certificate_assertion(driver, tmp_path)
    header = jwt.get_unverified_header(good)
    claims = jwt.decode(good, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert number(asserted(driver, jwt.encode(claims, key, "RS256", {"x5t#S256": header["x5t#S256"]}))) == 700027
    assert asserted(driver, good).status == 200


@pytest.mark.parametrize(
    ("changes", "aadsts"),
    [
        ({"exp": START - 1000}, 700024),
        ({"nbf": START + 1000}, 700024),
        ({"exp": None}, 700024),
        ({"aud": "https://elsewhere.example"}, 700023),
        ({"iss": "somebody"}, 700027),
    ],
)
def test_an_assertion_that_is_not_good(driver: Driver, tmp_path: Path, changes: dict[str, Any], aadsts: int) -> None:
    assert number(asserted(driver, certificate_assertion(driver, tmp_path, **changes))) == aadsts


def test_a_federated_token_of_nobody_we_know(driver: Driver) -> None:
    issuer = WorkloadIssuer(ORIGIN, driver.sandbox.database.clock)
    assert number(asserted(driver, issuer.token())) == 700213
    driver.sandbox.applications.add_federated(driver.sandbox.worker, issuer.credential())
    assert number(asserted(driver, issuer.token("api://elsewhere"))) == 700213
    assert number(asserted(driver, WorkloadIssuer(ORIGIN, driver.sandbox.database.clock).token())) == 700213
    assert asserted(driver, issuer.token()).status == 200


def test_sign_ins_are_counted_apart(driver: Driver) -> None:
    asyncio.run(driver.exchange("POST", f"/{TENANT_ID}/oauth2/v2.0/token", b""))
    stats = driver.control("stats")
    assert (stats["token_requests"], stats["requests"]) == (1, 0)
