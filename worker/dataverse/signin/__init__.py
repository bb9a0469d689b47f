"""Signs in with Microsoft Entra ID, each documented way for a service, and keeps the token that it gets."""

from worker.dataverse.signin.entra import (
    PUBLIC_CLOUD,
    Application,
    client_certificate,
    client_secret,
    workload_identity,
)
from worker.dataverse.signin.managed import managed_identity
from worker.dataverse.signin.tokens import Tokens

__all__ = [
    "PUBLIC_CLOUD",
    "Application",
    "Tokens",
    "client_certificate",
    "client_secret",
    "managed_identity",
    "workload_identity",
]
