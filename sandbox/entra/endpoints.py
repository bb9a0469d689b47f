"""The addresses of Entra ID that a client-credentials sign-in asks for, as HTTP endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.clock import Clock
from sandbox.entra import errors
from sandbox.entra.applications import Application, Applications
from sandbox.entra.assertions import ASSERTION_TYPE, AssertionVerifier
from sandbox.entra.errors import SignInError
from sandbox.entra.tokens import AccessTokens
from sandbox.stats import Stats

OTHER_RESOURCES = frozenset({"https://graph.microsoft.com", "https://management.azure.com"})
"""Resources of the tenant besides the environment: a token for them is real and yet of no use to the Web API."""


@dataclass(slots=True)
class Entra:
    """The tenant.

    Args:
        clock: The sandbox's time.
        applications: Its registrations.
        tokens: Issues access tokens.
        stats: Counts sign-ins.
        tenant_id: Its id.
        authority: Its address, with the tenant.
        audiences: The addresses under which the environment is known.
    """

    clock: Clock
    applications: Applications
    tokens: AccessTokens
    stats: Stats
    tenant_id: str
    authority: str
    audiences: frozenset[str]
    _verifier: AssertionVerifier = field(init=False)

    def __post_init__(self) -> None:
        self._verifier = AssertionVerifier(self.clock.now)

    def routes(self) -> list[Route]:
        """The endpoints."""
        return [
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._discovery),
            Route("/{tenant}/.well-known/openid-configuration", self._discovery),
            Route("/{tenant}/discovery/v2.0/keys", self._keys),
            Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
        ]

    def _answer(self, content: object, status: int = 200) -> Response:
        headers = {"Cache-Control": "no-store, no-cache", "Date": self.clock.date_header()}
        return JSONResponse(content, status, headers)

    async def _discovery(self, request: Request) -> Response:
        tenant = request.path_params["tenant"]
        if tenant != self.tenant_id:
            return self._answer(errors.unknown_tenant(tenant).document(self.clock.now()), 400)
        authority = f"{request.url.scheme}://{request.url.netloc}/{tenant}"
        return self._answer(
            {
                "issuer": f"{authority}/v2.0",
                "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
                "token_endpoint": f"{authority}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{authority}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{authority}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "cloud_instance_name": "localhost",
                "tenant_region_scope": None,
            }
        )

    async def _keys(self, _request: Request) -> Response:
        return self._answer(self.tokens.key_set())

    async def _token(self, request: Request) -> Response:
        self.stats.token()
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        endpoint = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
        try:
            token, seconds = self._sign_in(request.path_params["tenant"], form, endpoint)
        except SignInError as error:
            return self._answer(error.document(self.clock.now()), error.status)
        return self._answer(
            {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
        )

    def _sign_in(self, tenant: str, form: Mapping[str, str], endpoint: str) -> tuple[str, int]:
        if tenant != self.tenant_id:
            raise errors.unknown_tenant(tenant)
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                raise errors.missing_parameter(name)
        if form["grant_type"] != "client_credentials":
            raise errors.unsupported_grant(form["grant_type"])
        application = self.applications.find(form["client_id"])
        if application is None:
            raise errors.unknown_application(form["client_id"])
        self._authenticate(application, form, endpoint)
        return self.tokens.issue(application, self._audience(form["scope"]))

    def _authenticate(self, application: Application, form: Mapping[str, str], endpoint: str) -> None:
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise errors.missing_parameter("client_assertion_type")
            self._verifier.verify(application, form["client_assertion"], endpoint)
        elif form.get("client_secret"):
            if not application.accepts(form["client_secret"]):
                raise errors.wrong_secret(application.client_id)
        else:
            raise errors.no_credential()

    def _audience(self, scope: str) -> str:
        """The resource that a scope is about. MSAL adds scopes of its own; they do not matter here."""
        wanted = [each for each in scope.split() if each not in {"openid", "profile", "offline_access"}]
        if len(wanted) != 1 or not wanted[0].endswith("/.default"):
            raise errors.bad_scope(scope)
        resource = wanted[0].removesuffix("/.default")
        if resource.rstrip("/") not in self.audiences | OTHER_RESOURCES:
            raise errors.unknown_resource(resource)
        return resource
