"""What the sandbox says when it is ready: to people a page to copy from, to programs one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

NOT_IMITATED = (
    "security roles beyond yes or no",
    "plug-ins, workflows and business rules",
    "tables other than the two of the integration jobs and systemuser",
    "SQL queries, deep inserts, changes of metadata",
)


@dataclass(frozen=True, slots=True)
class Details:
    """Where the sandbox is and how to sign in."""

    url: str
    ca_file: str
    authority: str
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    neighbour_client_id: str
    neighbour_client_secret: str = field(repr=False)
    certificate_file: str
    federated_token_file: str
    identity_endpoint: str
    identity_header: str = field(repr=False)
    redis_url: str | None = None

    def json_line(self) -> str:
        """One line for programs."""
        return json.dumps(asdict(self))

    def environment_lines(self) -> list[str]:
        """The settings to paste into a shell."""
        settings = {
            "JOBWORKER_DATAVERSE__URL": self.url,
            "JOBWORKER_DATAVERSE__CA_FILE": self.ca_file,
            "JOBWORKER_AUTH__METHOD": "client_secret",
            "JOBWORKER_AUTH__AUTHORITY": self.authority,
            "JOBWORKER_AUTH__TENANT_ID": self.tenant_id,
            "JOBWORKER_AUTH__CLIENT_ID": self.client_id,
            "JOBWORKER_AUTH__CLIENT_SECRET": self.client_secret,
        }
        if self.redis_url is not None:
            settings["JOBWORKER_REDIS__URL"] = self.redis_url
        return [f"export {name}='{value}'" for name, value in settings.items()]


def show_banner(console: Console, details: Details, jobs: int) -> None:
    """Say it to people."""
    console.print(Panel(_where(details, jobs), title="Dataverse sandbox", expand=False))
    console.print("To point jobworker at it, paste:\n", style="bold")
    for line in details.environment_lines():
        # Not through rich: a line to paste must not be wrapped or marked up.
        console.file.write(line + "\n")
    console.print("\nIt does not imitate:", style="bold")
    for thing in NOT_IMITATED:
        console.print(Text(f"  - {thing}"))
    console.print("\nCtrl-C ends it.", style="dim")


def _where(details: Details, jobs: int) -> Table:
    table = Table.grid(padding=(0, 2))
    rows = {
        "Web API": f"{details.url}/api/data/v9.2/",
        "Control": f"{details.url}/sandbox/overview",
        "Authority": details.authority,
        "Client id": details.client_id,
        "Client secret": details.client_secret,
        "CA file": details.ca_file,
        "Redis": details.redis_url or "not started (--redis)",
        "Seeded": f"{jobs:,} jobs",
    }
    for name, value in rows.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table
