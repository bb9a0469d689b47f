"""The sandbox put together: every part made once and handed what it needs. Nothing is wired anywhere else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox.arrivals import Arrivals
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.database import Database
from sandbox.entra.applications import NEIGHBOUR, WORKER, Application, Applications
from sandbox.entra.endpoints import Entra
from sandbox.entra.managed_identity import ManagedIdentity
from sandbox.entra.tokens import AccessTokens
from sandbox.environment import Environment, make_environment
from sandbox.exchange import Caller
from sandbox.faults import Faults
from sandbox.gateway import Gateway
from sandbox.limits import LimitSizes, Protection
from sandbox.stats import Stats
from sandbox.tables import TENANT_ID
from sandbox.webapi import WebApi


@dataclass(slots=True)
class Sandbox:
    """One sandbox, ready to be served.

    Args:
        app: Answers HTTP.
        environment: The rows.
        applications: The tenant's registrations.
        worker: The application the worker signs in as.
        neighbour: Another client of the same environment.
        seeder: The user who creates what is seeded.
        identity: Signs the worker in where it has no credential.
        arrivals: Packets still to arrive.
        url: Where it is.
        authority: Where to sign in.
    """

    app: Starlette
    environment: Environment
    applications: Applications
    worker: Application
    neighbour: Application
    seeder: Caller
    identity: ManagedIdentity
    arrivals: Arrivals
    url: str
    authority: str

    @property
    def database(self) -> Database:
        """The rows' database."""
        return self.environment.database

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def build_sandbox(
    database_file: Path,
    port: int,
    sizes: LimitSizes,
    clock: Clock | None = None,
    signing_key: RSAPrivateKey | None = None,
) -> Sandbox:
    """Make a sandbox.

    Args:
        database_file: Where its rows are kept.
        port: The port it will be served on; tokens are made for that address.
        sizes: The protection limits.
        clock: Its time.
        signing_key: What its tokens are signed with; a new key when not given.
    """
    clock = clock or Clock()
    database = Database(database_file, clock)
    environment = make_environment(database, secrets.token_bytes(32))
    applications = Applications(database)
    url, authority = f"https://localhost:{port}", f"https://localhost:{port}/{TENANT_ID}"
    audiences = frozenset(f"https://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]"))
    stats = Stats()
    tokens = AccessTokens(clock, f"{authority}/v2.0", TENANT_ID, signing_key)
    protection, faults = Protection(clock.now, sizes), Faults()
    web_api = WebApi(environment, stats)
    arrivals = Arrivals(database)
    worker, neighbour = applications.register(WORKER), applications.register(NEIGHBOUR)
    gateway = Gateway(clock, web_api, applications, tokens, protection, faults, stats, audiences, authority)
    entra = Entra(clock, applications, tokens, stats, TENANT_ID, authority, audiences)
    control = Control(environment, applications, arrivals, protection, faults, stats, web_api, sizes)
    seeder = applications.caller(neighbour.client_id)
    assert seeder is not None  # noqa: S101 - registered with a user above
    identity = ManagedIdentity(worker, tokens, audiences, clock, stats)
    app = Starlette(
        routes=[
            Mount("/api/data", app=gateway),
            Mount("/sandbox", routes=control.routes()),
            *entra.routes(),
            *identity.routes(),
        ]
    )
    return Sandbox(app, environment, applications, worker, neighbour, seeder, identity, arrivals, url, authority)
