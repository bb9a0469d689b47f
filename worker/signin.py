"""Chooses how to sign in, as the settings say."""

import os
from collections.abc import Mapping
from typing import assert_never
from urllib.parse import urlsplit

from config.settings import AuthSettings
from config.sources import Settings
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.signin import (
    PUBLIC_CLOUD,
    Application,
    Tokens,
    client_certificate,
    client_secret,
    managed_identity,
    workload_identity,
)
from worker.dataverse.signin.tokens import SignIn
from worker.dataverse.transport import tls_context


def tokens_for(settings: Settings, environment: Mapping[str, str] = os.environ) -> Tokens:
    """Make the token source of a process; it signs in when it is first asked.

    Args:
        settings: The settings in force.
        environment: In which a cluster says where its identity's token is.
    """
    return Tokens(_way_in(settings, environment))


def authority_of(auth: AuthSettings) -> str:
    """Give the sign-in service with the tenant at its end; the setting may have it there already."""
    if auth.authority is None:
        return f"{PUBLIC_CLOUD}/{auth.tenant_id}"
    has_tenant = bool(urlsplit(auth.authority).path.strip("/"))
    return auth.authority if has_tenant else f"{auth.authority}/{auth.tenant_id}"


def _way_in(settings: Settings, environment: Mapping[str, str]) -> SignIn:
    """Choose by the method; that a method has what it needs, the settings have made sure of."""
    auth, url = settings.auth, settings.dataverse.url
    http_client = MsalHttpClient(tls_context(settings.dataverse.ca_file))
    if auth.method == "managed_identity":
        return managed_identity(auth.client_id, url, http_client)
    application = Application(authority_of(auth), auth.client_id or "", f"{url}/.default", http_client)
    match auth.method:
        case "client_secret":
            assert auth.client_secret is not None  # noqa: S101 - validated
            return client_secret(application, auth.client_secret.get_secret_value())
        case "client_certificate":
            assert auth.certificate_file is not None  # noqa: S101 - validated
            password = auth.certificate_password
            return client_certificate(
                application, auth.certificate_file, password.get_secret_value() if password else None
            )
        case "workload_identity":
            return workload_identity(application, auth.federated_token_file, environment)
        case never:
            assert_never(never)
