"""Two tables and one worker for every test of the settle flow."""

import pytest

from tests.unit.tasks.scene import Worker
from tests.unit.tasks.table import Table


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def worker(table: Table) -> Worker:
    return Worker(table)
