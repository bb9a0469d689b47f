"""The address where a program on Azure App Service gets tokens for its managed identity, without any credential.

To use it, give a process `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, as the platform would.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.clock import Clock
from sandbox.entra.applications import Application
from sandbox.entra.tokens import AccessTokens
from sandbox.stats import Stats

PATH = "/msi/token"


@dataclass(slots=True)
class ManagedIdentity:
    """The managed identity of whatever runs on this machine.

    Args:
        application: Who it is.
        tokens: Issues its tokens.
        audiences: What it gets tokens for.
        clock: The sandbox's time.
        stats: Counts sign-ins.
        header: The value that keeps other programs out.
    """

    application: Application
    tokens: AccessTokens
    audiences: frozenset[str]
    clock: Clock
    stats: Stats
    header: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def routes(self) -> list[Route]:
        """The endpoint."""
        return [Route(PATH, self._token)]

    async def _token(self, request: Request) -> Response:
        self.stats.token()
        given = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(given.encode(), self.header.encode()):
            return self._refusal(401, "The X-IDENTITY-HEADER is missing or wrong.")
        resource = request.query_params.get("resource", "").removesuffix("/.default")
        if resource.rstrip("/") not in self.audiences:
            return self._refusal(400, f"The resource '{resource}' was not found.")
        wanted = request.query_params.get("client_id", self.application.client_id)
        if wanted != self.application.client_id:
            return self._refusal(400, f"No User Assigned or Delegated Managed Identity found for '{wanted}'.")
        token, seconds = self.tokens.issue(self.application, resource)
        document = {
            "access_token": token,
            "client_id": self.application.client_id,
            "expires_on": str(self.clock.seconds() + seconds),
            "resource": resource,
            "token_type": "Bearer",
        }
        return JSONResponse(document, headers={"Date": self.clock.date_header()})

    def _refusal(self, status: int, message: str) -> Response:
        return JSONResponse({"statusCode": status, "message": message}, status)
