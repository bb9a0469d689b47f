"""What this program, and this process of it, is called."""

import os
import secrets
import socket
from importlib.metadata import version


def program_version() -> str:
    """Give the installed version, such as ``1.0.0``."""
    return version("jobworker")


def worker_name() -> str:
    """Make a name for this process that no other process ever has, on any machine: host, process id, random digits."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
