"""`python -m worker` is `jobworker`."""

from worker.cli import main

main()
