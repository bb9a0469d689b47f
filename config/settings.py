"""Every setting, one class a section, validated before anything starts.

The names are a contract: section ``poll``, field ``interval`` is the variable ``JOBWORKER_POLL__INTERVAL``. Where
values come from, and how mistakes are put into words, is `config.sources`' business.
"""

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from config.durations import Duration

AuthMethod = Literal["client_secret", "client_certificate", "managed_identity", "workload_identity"]


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    """Take a URL apart. An error never repeats the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: its host or its port cannot be read") from None
    return parts


def _service_url(url: str) -> str:
    parts = _split(url)
    if "@" in url or parts.query or parts.fragment:
        raise ValueError("must hold a host and nothing secret: no user, password, query or fragment")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(f"{url!r} is not the address of a service: write it as https://yourorg.crm.dynamics.com")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"{url!r} is plain http, which would send tokens in the clear: write https://")
    return url.rstrip("/")


def _environment_url(url: str) -> str:
    url = _service_url(url)
    if urlsplit(url).path:
        raise ValueError(
            f"{url!r} has a path: give the environment's root alone, such as https://yourorg.crm.dynamics.com"
        )
    return url


def _redis_url(url: SecretStr) -> SecretStr:
    parts = _split(url.get_secret_value())
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError("holds an @ behind its host: in a password, percent-encode characters such as /, ? and #")
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("must name the socket: unix:///run/redis/redis.sock?db=0")
    # Options in a query would reach Celery's connections and our own in different ways, or switch TLS checks off.
    if not re.fullmatch(r"(db=\d+)?" if parts.scheme == "unix" else "", parts.query):
        raise ValueError("takes no options: write redis://:PASSWORD@host:6379/0 or unix:///run/redis/redis.sock?db=0")
    if parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("must end with the number of a database, as in redis://host:6379/0")
    return url


def _numbers(written: object) -> object:
    if isinstance(written, str):
        written = [part.strip() for part in written.strip("[] ").split(",") if part.strip()]
    if not written:
        raise ValueError("names no type: write 192350000, or several with commas between them")
    return written


class Section(BaseModel):
    """A group of settings: frozen, and closed to names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def optional_section() -> Any:
    """Declare a section that may go unmentioned: an empty one is then validated, so that what it lacks is named."""
    return Field(default_factory=dict, validate_default=True)


class DataverseSettings(Section):
    """The environment whose jobs are worked on."""

    url: Annotated[str, AfterValidator(_environment_url)] = Field(
        description="Root of the Dataverse environment, such as https://yourorg.crm.dynamics.com."
    )
    api_version: str = Field("v9.2", pattern=r"^v9\.\d$", description="Version of the Web API.")
    timeout: Duration = Field(timedelta(seconds=60), description="How long one request may take.")
    max_connections: int = Field(
        16, ge=1, le=52, description="Most requests that the whole fleet has in flight; Dataverse allows a user 52."
    )
    ca_file: Path | None = Field(None, description="A CA bundle (PEM) to trust beside the system's.")


class AuthSettings(Section):
    """How the application user signs in, through Microsoft Entra ID."""

    method: AuthMethod = Field("client_secret", description="How to sign in.")
    tenant_id: str | None = Field(None, min_length=1, description="The Entra tenant, its id or domain.")
    client_id: str | None = Field(None, min_length=1, description="The application's (client) id.")
    client_secret: SecretStr | None = Field(None, min_length=1, description="For method client_secret.")
    certificate_file: Path | None = Field(
        None, description="For method client_certificate: a PEM file with certificate and private key, or a PFX file."
    )
    certificate_password: SecretStr | None = Field(None, description="Of an encrypted key or a PFX file.")
    federated_token_file: Path | None = Field(
        None, description="For method workload_identity; the default is the variable AZURE_FEDERATED_TOKEN_FILE."
    )
    authority: Annotated[str, AfterValidator(_service_url)] | None = Field(
        None,
        description="Another sign-in service, for a national cloud or the sandbox: https://login.microsoftonline.us.",
    )

    @model_validator(mode="after")
    def _method_has_what_it_needs(self) -> Self:
        needed: dict[AuthMethod, tuple[str, ...]] = {
            "client_secret": ("tenant_id", "client_id", "client_secret"),
            "client_certificate": ("tenant_id", "client_id", "certificate_file"),
            "workload_identity": ("tenant_id", "client_id"),
            "managed_identity": (),
        }
        missing = [f"JOBWORKER_AUTH__{name.upper()}" for name in needed[self.method] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"the method {self.method} also needs {', '.join(missing)}")
        return self


class RedisSettings(Section):
    """The Redis or Valkey server that carries messages and hints. It may be wiped at any moment."""

    url: Annotated[SecretStr, AfterValidator(_redis_url)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss:// (TLS) or unix://; a password belongs in it.",
    )
    ca_file: Path | None = Field(None, description="For rediss://, a CA bundle (PEM) to trust beside the system's.")

    @property
    def credentials(self) -> list[str]:
        """The password in the URL, as written and decoded; empty where there is none."""
        password = urlsplit(self.url.get_secret_value()).password
        return [] if not password else [password, unquote(password)]

    @property
    def address(self) -> str:
        """The URL without its user and password, fit to be shown."""
        scheme, _, rest = self.url.get_secret_value().partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"


class PollSettings(Section):
    """The poller."""

    interval: Duration = Field(timedelta(seconds=5), description="Between two ticks.")
    sweep_interval: Duration = Field(
        timedelta(minutes=15), description="Between two sweeps over all open jobs, which need no hint to find one."
    )
    overlap: Duration = Field(
        timedelta(seconds=30), description="How far back a tick asks again, for rows that were committed late."
    )
    max_queued: int = Field(1_000, ge=1, description="Jobs in the queue above which the poller waits.")


class JobsSettings(Section):
    """What is decided about a job, and when."""

    chunk_size: int = Field(10, ge=1, le=100, description="Jobs that one task carries; they share its requests.")
    packet_idle_timeout: Duration = Field(
        timedelta(hours=1), description="A Waiting job without a new packet for this long has failed."
    )
    deadline: Duration = Field(timedelta(hours=24), description="A Waiting job older than this has failed.")
    ready_grace: Duration = Field(
        timedelta(minutes=5), description="How long packets of a job that was told Ready may still arrive."
    )
    lease: Duration = Field(
        timedelta(minutes=5), ge=timedelta(seconds=5), description="How long a claim holds unless it is renewed."
    )
    max_attempts: int = Field(3, ge=1, le=100, description="Claims of one job before it fails as worker_lost.")
    types: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_numbers)] = Field(
        (192_350_000,), description="The msdyn_type values that are handled, separated by commas."
    )
    fail_with_action: bool = Field(
        default=False,
        description="Also call msdyn_MarkIntegrationJobAsFailedAsync after a job was settled as Failed.",
    )


class WorkSettings(Section):
    """The worker process."""

    concurrency: int = Field(2, ge=1, le=256, description="Child processes of one worker.")
    time_limit: Duration | None = Field(
        None,
        description="When a task's process is killed; 80% of the lease by default. A handler that needs longer than a "
        "lease has it renewed meanwhile.",
    )
    shutdown_timeout: Duration = Field(
        timedelta(seconds=20),
        description="How long a task may go on after SIGTERM; keep it below the orchestrator's grace period.",
    )
    max_memory: int = Field(
        400_000, ge=50_000, description="KiB of memory after which a child process is replaced, once its task is done."
    )


class MetricsSettings(Section):
    """Where /metrics, /healthz and /readyz are served."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; nothing else listens anywhere.")
    port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port; 9464 for a poller and 9465 for a worker where it is not set, 0 for any.",
    )


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least that is written.")
    format: Literal["json", "console"] = Field("json", description="json for machines, console for people.")


SECTIONS: dict[str, type[Section]] = {
    "dataverse": DataverseSettings,
    "auth": AuthSettings,
    "redis": RedisSettings,
    "poll": PollSettings,
    "jobs": JobsSettings,
    "work": WorkSettings,
    "metrics": MetricsSettings,
    "log": LogSettings,
}
"""Every section by its name, in the order in which people read them."""
