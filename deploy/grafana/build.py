"""Writes the dashboard that Grafana loads.

    python -m deploy.grafana.build

The JSON is committed beside this, so that nobody needs Python to install it; a test holds the two together.
"""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.overview import overview

OVERVIEW = Path(__file__).resolve().parent / "dashboards" / "overview.json"


def overview_json() -> str:
    """Give the text of the dashboard's file."""
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(overview().build()) + "\n"


if __name__ == "__main__":
    OVERVIEW.write_text(overview_json(), encoding="utf-8")
