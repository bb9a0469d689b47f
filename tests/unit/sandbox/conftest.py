"""A fresh sandbox for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sandbox.inprocess import Driver, start


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = start(tmp_path)
    yield driver
    driver.sandbox.close()
