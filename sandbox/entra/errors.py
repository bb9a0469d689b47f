"""What Entra ID answers when it refuses a sign-in: OAuth error, AADSTS number and sentence."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any


class SignInError(Exception):
    """A refusal of the token endpoint.

    Args:
        status: The HTTP status.
        error: The OAuth error.
        number: The AADSTS number.
        message: The sentence behind the number.
    """

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.number = number
        self.message = message

    def document(self, now: float) -> dict[str, Any]:
        """The body of the answer."""
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.message} "
            f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }


def unknown_tenant(tenant: str) -> SignInError:
    """The authority names a tenant that is not there."""
    return SignInError(
        400,
        "invalid_request",
        90002,
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud.",
    )


def missing_parameter(name: str) -> SignInError:
    """A parameter is missing in the form."""
    return SignInError(
        400,
        "invalid_request",
        900144,
        f"The request body must contain the following parameter: '{name}'.",
    )


def unsupported_grant(grant: str) -> SignInError:
    """Another grant than client credentials."""
    return SignInError(400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'.")


def unknown_application(client_id: str) -> SignInError:
    """The client id belongs to no application."""
    return SignInError(
        400,
        "unauthorized_client",
        700016,
        f"Application with identifier '{client_id}' was not found in the directory 'Sandbox'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    )


def wrong_secret(client_id: str) -> SignInError:
    """The client secret is not the application's."""
    return SignInError(
        401,
        "invalid_client",
        7000215,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        f"the client secret ID, for a secret added to app '{client_id}'.",
    )


def no_credential() -> SignInError:
    """Neither a secret nor an assertion."""
    return SignInError(
        401,
        "invalid_client",
        7000216,
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    )


def bad_scope(scope: str) -> SignInError:
    """A scope that does not end in `/.default`."""
    return SignInError(
        400,
        "invalid_scope",
        1002012,
        f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    )


def unknown_resource(resource: str) -> SignInError:
    """A scope for something that is not in the tenant."""
    return SignInError(
        400,
        "invalid_resource",
        500011,
        f"The resource principal named {resource} was not found in the tenant named Sandbox. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    )


def unknown_certificate(client_id: str) -> SignInError:
    """An assertion signed by a certificate that is not registered, or not signed by it at all."""
    return SignInError(
        401,
        "invalid_client",
        700027,
        "The certificate with identifier used to sign the client assertion is not registered on application, or the "
        f"signature does not verify. [Reason - The key was not found., app '{client_id}'.]",
    )


def assertion_expired() -> SignInError:
    """An assertion outside its time range."""
    return SignInError(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")


def assertion_audience(audience: object) -> SignInError:
    """An assertion made for somebody else."""
    return SignInError(
        401,
        "invalid_client",
        700023,
        f"Client assertion audience claim '{audience}' does not match Realm issuer.",
    )


def malformed_assertion() -> SignInError:
    """An assertion that is no signed token."""
    return SignInError(401, "invalid_client", 50027, "JWT token is invalid or malformed.")


def no_federated_identity(issuer: object, subject: object, audience: object) -> SignInError:
    """No federated credential fits the assertion."""
    return SignInError(
        401,
        "invalid_client",
        700213,
        f"No matching federated identity record found for presented assertion subject '{subject}'. Issuer '{issuer}', "
        f"audience '{audience}'.",
    )
