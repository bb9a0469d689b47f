"""Finds the programs that some tests need and Python packages do not bring: Prometheus, promtool, redis-server.

Nothing is installed here: `deploy/tools/fetch` puts into `.tools/bin` what the system lacks.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""

FETCHED = ROOT / ".tools" / "bin"
"""Where `deploy/tools/fetch` puts its wrappers."""

ENVIRONMENT = Path(sys.prefix) / "bin"
"""Where programs that come as Python packages are, whether or not the environment is activated."""


def find_tool(name: str) -> Path | None:
    """Find a program that tests may use.

    Args:
        name: The program's name, such as ``prometheus``.

    Returns:
        Its path: the fetched one first, then the environment's, then what PATH has; None where there is none.
    """
    for folder in (FETCHED, ENVIRONMENT):
        if found := shutil.which(name, path=str(folder)):
            return Path(found)
    found = shutil.which(name)
    return Path(found) if found else None
