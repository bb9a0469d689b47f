"""Chooses how to sign in, as the settings say."""

from urllib.parse import urlsplit

from config.settings import AuthSettings
from config.sources import Settings
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.signin import PUBLIC_CLOUD, Tokens, client_credentials
from worker.dataverse.transport import tls_context


def tokens_for(settings: Settings) -> Tokens:
    """Make the token source of a process; it signs in when it is first asked.

    Args:
        settings: The settings in force.
    """
    auth = settings.auth
    scope = f"{settings.dataverse.url}/.default"
    http_client = MsalHttpClient(tls_context(settings.dataverse.ca_file))
    secret = auth.client_secret.get_secret_value() if auth.client_secret else None
    return Tokens(client_credentials(authority_of(auth), auth.client_id or "", secret, scope, http_client))


def authority_of(auth: AuthSettings) -> str:
    """Give the sign-in service with the tenant at its end; the setting may have it there already."""
    if auth.authority is None:
        return f"{PUBLIC_CLOUD}/{auth.tenant_id}"
    has_tenant = bool(urlsplit(auth.authority).path.strip("/"))
    return auth.authority if has_tenant else f"{auth.authority}/{auth.tenant_id}"
