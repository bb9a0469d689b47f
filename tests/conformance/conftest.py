"""One sandbox process for a test session, emptied before every test."""

from collections.abc import Iterator

import pytest

from tests.conformance.sandbox_process import Raw, running


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Raw]:
    with running() as raw:
        yield raw


@pytest.fixture
def raw(sandbox_process: Raw) -> Raw:
    """Plain HTTP to an empty sandbox."""
    sandbox_process.control("reset", {})
    sandbox_process.http.cookies.clear()
    sandbox_process.sign_in()
    sandbox_process.control("reset", {})
    return sandbox_process
