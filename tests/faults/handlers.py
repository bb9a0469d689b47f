"""Handlers that misbehave, installed for a test the way any package installs its own: by an entry point."""

import textwrap
from pathlib import Path

MODULE = "misbehaving_handlers"

SOURCE = '''
"""Handlers for tests: each does what the job's name says."""

import os
import random
import time

from tasks.handlers import PermanentError

HOARD = []


def handle(job, packets):
    numbers = [packet.sequence_number for packet in packets]
    match (job.name or "").split(":")[0]:
        case "poison":
            os._exit(137)
        case "hang":
            time.sleep(600)
        case "hang hard":
            while True:
                try:
                    time.sleep(600)
                except BaseException:
                    pass
        case "leak":
            HOARD.append(bytearray(30_000_000))
        case "slow":
            time.sleep(float(job.name.split(":")[1]))
        case "reject":
            raise PermanentError("not for us", reason="not_for_us")
        case "fail":
            raise RuntimeError("broken for good")
        case "fail once":
            flag = os.path.join(os.environ["HANDLER_FLAGS"], str(job.id))
            if not os.path.exists(flag):
                open(flag, "w").close()
                raise RuntimeError("broken this once")
        case "bad result":
            return {"value": object()}
        case "huge":
            return {"rows": ["x" * 100] * 100_000}
    return {"numbers": numbers}


def labour(job, packets):
    """Work a little, sometimes read packets, fail now and then, rarely take the process along; do well at last."""
    chance = random.random()
    if chance < 0.002:
        os._exit(137)
    if chance < 0.03:
        raise RuntimeError("not this time")
    time.sleep(random.random() / 50)
    return {"numbers": [packet.sequence_number for packet in packets]} if chance < 0.25 else None
'''

ENTRY_POINTS = """
[jobworker.handlers]
default = misbehaving_handlers:{name}
"""

METADATA = """
Metadata-Version: 2.1
Name: misbehaving-handlers
Version: 1.0
"""


def install_handlers(folder: Path, name: str = "handle") -> dict[str, str]:
    """Lay a distribution into a folder.

    Args:
        folder: Where to.
        name: Which of its handlers gets every job.

    Returns:
        The environment in which Python finds it.
    """
    site, flags = folder / "site", folder / "flags"
    information = site / "misbehaving_handlers-1.0.dist-info"
    information.mkdir(parents=True)
    flags.mkdir()
    (site / f"{MODULE}.py").write_text(textwrap.dedent(SOURCE).lstrip())
    (information / "entry_points.txt").write_text(ENTRY_POINTS.lstrip().format(name=name))
    (information / "METADATA").write_text(METADATA.lstrip())
    return {"PYTHONPATH": str(site), "HANDLER_FLAGS": str(flags)}
