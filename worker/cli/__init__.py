"""The command line: `jobworker`, also `python -m worker`."""

from worker.cli.main import main

__all__ = ["main"]
