"""Puts a refusal of Entra ID into words: its code and the setting it is about.

What Entra ID and MSAL say themselves may quote what was sent, so nothing of it is repeated but the code.
"""

import re
from collections.abc import Mapping
from typing import Any

from worker.dataverse.errors import NeverSentError, SignInError

TRANSIENT_CODES = frozenset({"AADSTS90033", "AADSTS50196", "AADSTS90099", "AADSTS90006"})
TRANSIENT_ERRORS = frozenset({"temporarily_unavailable", "server_error"})

_CERTIFICATE = "the certificate in JOBWORKER_AUTH__CERTIFICATE_FILE"
_FEDERATED = "the token in JOBWORKER_AUTH__FEDERATED_TOKEN_FILE"

SETTINGS_AT_FAULT: Mapping[str, str] = {
    "AADSTS7000215": "JOBWORKER_AUTH__CLIENT_SECRET is not a secret of this application: create one and set its value.",
    "AADSTS7000222": "the secret in JOBWORKER_AUTH__CLIENT_SECRET has expired: create a new one and set it.",
    "AADSTS7000216": "this application needs other credentials: check JOBWORKER_AUTH__METHOD.",
    "AADSTS7000112": "the application of JOBWORKER_AUTH__CLIENT_ID is disabled.",
    "AADSTS700016": "JOBWORKER_AUTH__CLIENT_ID is not an application of the tenant in JOBWORKER_AUTH__TENANT_ID.",
    "AADSTS700027": f"{_CERTIFICATE} is not registered with the application, or has expired.",
    "AADSTS700024": "what was signed here is not valid at this time: is this machine's clock right?",
    "AADSTS700213": f"no federated credential of the application fits {_FEDERATED}.",
    "AADSTS70021": f"no federated credential of the application fits {_FEDERATED}.",
    "AADSTS700211": f"no federated credential of the application fits the issuer of {_FEDERATED}.",
    "AADSTS50027": f"{_FEDERATED} is no token of an identity provider.",
    "AADSTS90002": "JOBWORKER_AUTH__TENANT_ID is not a tenant that exists; is JOBWORKER_AUTH__AUTHORITY its cloud?",
    "AADSTS900023": "JOBWORKER_AUTH__TENANT_ID is neither a tenant's id nor its domain.",
    "AADSTS500011": "JOBWORKER_DATAVERSE__URL is not an environment of the tenant in JOBWORKER_AUTH__TENANT_ID.",
    "AADSTS53003": "a Conditional Access policy of the tenant blocks this application here.",
}

_CODE = re.compile(r"AADSTS\d+")
_LONGEST_NAME = 40


def refused(result: Mapping[str, Any]) -> SignInError | NeverSentError:
    """Choose the error for an answer without a token.

    Args:
        result: What MSAL makes of the answer: an OAuth error and its description.
    """
    name = str(result.get("error", "unknown"))[:_LONGEST_NAME]
    code = code_in(str(result.get("error_description", ""))) or name
    if code in TRANSIENT_CODES or name in TRANSIENT_ERRORS:
        return NeverSentError(f"Microsoft Entra ID could not sign in just now ({code})")
    advice = SETTINGS_AT_FAULT.get(code, "check the settings JOBWORKER_AUTH__...")
    return SignInError(f"Microsoft Entra ID refused to sign in ({code}): {advice}", code=code)


def misled(error: ValueError) -> SignInError:
    """Choose the error for a sign-in service that does not describe itself as one."""
    if code := code_in(str(error)):
        advice = SETTINGS_AT_FAULT.get(code, "check JOBWORKER_AUTH__TENANT_ID and JOBWORKER_AUTH__AUTHORITY.")
        return SignInError(f"Microsoft Entra ID does not know the tenant ({code}): {advice}", code=code)
    return SignInError(
        "The sign-in service is not what JOBWORKER_AUTH__TENANT_ID and JOBWORKER_AUTH__AUTHORITY say: "
        f"its configuration cannot be read ({type(error).__name__})."
    )


def code_in(text: str) -> str:
    """Find the AADSTS code in a description; empty where there is none."""
    found = _CODE.search(text)
    return found[0] if found else ""
