"""The ways in which an application shows Entra ID who it is: a secret, a certificate, another issuer's token.

Each sign-in makes a new MSAL application, for two reasons: MSAL answers repeated failures from memory, and files may
have been replaced since the last time. It is asked once an hour, so that this costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msal

from worker.dataverse.errors import NeverSentError, SignInError
from worker.dataverse.msal_http import MsalHttpClient
from worker.dataverse.signin.certificates import read_certificate
from worker.dataverse.signin.refusals import misled, refused
from worker.dataverse.signin.tokens import Issued, SignIn

PUBLIC_CLOUD = "https://login.microsoftonline.com"
"""The sign-in service, unless a national cloud has its own."""

FEDERATED_SETTING = "JOBWORKER_AUTH__FEDERATED_TOKEN_FILE"
FEDERATED_VARIABLE = "AZURE_FEDERATED_TOKEN_FILE"
"""Set by Azure's workload identity in every pod that has one."""


@dataclass(frozen=True, slots=True)
class Application:
    """Who signs in, where, and for what.

    Attributes:
        authority: The sign-in service with the tenant at its end.
        client_id: The application.
        scope: ``{environment}/.default``.
        http_client: Carries MSAL's requests.
    """

    authority: str
    client_id: str
    scope: str
    http_client: MsalHttpClient

    def sign_in(self, credential: object) -> Issued:
        """Sign in once.

        Args:
            credential: As MSAL's ConfidentialClientApplication takes it.

        Raises:
            SignInError: When Entra ID refuses, naming the setting at fault.
            NeverSentError: When it cannot be reached.
        """
        try:
            result = self._ask(credential)
        except (httpx.HTTPError, msal.exceptions.MsalError) as error:
            raise NeverSentError(
                f"Microsoft Entra ID cannot be reached ({type(error).__name__}): is JOBWORKER_AUTH__AUTHORITY right?"
            ) from error
        except ValueError as error:
            raise misled(error) from None  # its text may quote anything
        if "access_token" not in result:
            raise refused(result)
        return Issued(result["access_token"], float(result.get("expires_in", 0)))

    def _ask(self, credential: object) -> Mapping[str, Any]:
        application = msal.ConfidentialClientApplication(
            self.client_id,
            client_credential=credential,
            authority=self.authority,
            instance_discovery=False,  # the authority is the operator's word, or the public cloud's constant
            http_client=self.http_client,
        )
        return application.acquire_token_for_client(scopes=[self.scope]) or {}


def client_secret(application: Application, secret: str) -> SignIn:
    """Sign in with a secret."""
    return lambda: application.sign_in(secret)


def client_certificate(application: Application, file: Path, password: str | None) -> SignIn:
    """Sign in with a certificate, read anew each time: it may have been renewed.

    Args:
        application: Who signs in.
        file: A PEM file with certificate and private key, or a PFX file.
        password: Of the key or of the PFX file.
    """
    return lambda: application.sign_in(read_certificate(file, password))


def workload_identity(application: Application, setting: Path | None, environment: Mapping[str, str]) -> SignIn:
    """Sign in with another issuer's token, read anew each time: it lasts an hour and is replaced before that.

    Args:
        application: Who signs in.
        setting: The token's file, where the operator says so.
        environment: The process's environment, in which a cluster says so.
    """

    def sign_in() -> Issued:
        file = _token_file(setting, environment)
        return application.sign_in({"client_assertion": lambda: _read_token(file)})

    return sign_in


def _token_file(setting: Path | None, environment: Mapping[str, str]) -> Path:
    named = setting or environment.get(FEDERATED_VARIABLE)
    if not named:
        raise SignInError(f"set {FEDERATED_SETTING}: this host has no {FEDERATED_VARIABLE} either.")
    return Path(named)


def _read_token(file: Path) -> str:
    try:
        token = file.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise SignInError(f"{FEDERATED_SETTING}: {file} cannot be read ({type(error).__name__}).") from None
    if not token:
        raise SignInError(f"{FEDERATED_SETTING}: {file} is empty.")
    return token
