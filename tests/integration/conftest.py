"""A service per test: its own Redis, its own sandbox, its own folder."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.service import Service, running_service


@pytest.fixture
def service() -> Iterator[Service]:
    """Redis and the sandbox; the test starts pollers and workers as it likes."""
    # Not pytest's own folder: its path is too long for a unix socket.
    with tempfile.TemporaryDirectory(prefix="jw-") as folder, running_service(Path(folder)) as running:
        yield running
