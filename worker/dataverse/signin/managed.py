"""Signs in as the managed identity of the Azure machine, container or app that this process runs on: no secret at all.

MSAL finds out which kind of host it is (virtual machine, App Service, Arc, ...) from its environment.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import msal

from worker.dataverse.errors import NeverSentError, SignInError
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.signin.tokens import Issued, SignIn


def managed_identity(client_id: str | None, resource: str, http_client: MsalHttpClient) -> SignIn:
    """Sign in as a managed identity.

    Args:
        client_id: Of a user-assigned identity; None for the system-assigned one.
        resource: The environment's root.
        http_client: Carries MSAL's requests.
    """
    return lambda: _sign_in(client_id, resource, http_client)


def _sign_in(client_id: str | None, resource: str, http_client: MsalHttpClient) -> Issued:
    try:
        result = _ask(client_id, resource, http_client)
    except (httpx.HTTPError, msal.exceptions.MsalError) as error:
        raise NeverSentError(
            f"The managed identity's endpoint cannot be reached ({type(error).__name__}): does this host have one? "
            "JOBWORKER_AUTH__METHOD says so."
        ) from error
    except (ValueError, OSError) as error:
        raise SignInError(
            f"This host's managed identity gives no token ({type(error).__name__}): check JOBWORKER_AUTH__METHOD."
        ) from None  # its text may quote anything
    if "access_token" not in result:
        raise SignInError(f"This host's managed identity was refused: {_advice(client_id)}")
    return Issued(result["access_token"], float(result.get("expires_in", 0)))


def _ask(client_id: str | None, resource: str, http_client: MsalHttpClient) -> Mapping[str, Any]:
    identity = (
        msal.UserAssignedManagedIdentity(client_id=client_id) if client_id else msal.SystemAssignedManagedIdentity()
    )
    client = msal.ManagedIdentityClient(identity, http_client=http_client)
    return client.acquire_token_for_client(resource=resource) or {}


def _advice(client_id: str | None) -> str:
    if client_id:
        return "is JOBWORKER_AUTH__CLIENT_ID the client id of an identity that is assigned to this host?"
    return "has this host a system-assigned identity? Otherwise set JOBWORKER_AUTH__CLIENT_ID."
