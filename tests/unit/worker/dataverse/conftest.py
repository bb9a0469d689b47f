"""A scripted Dataverse over HTTPS and a client that trusts it; retries without their pauses."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina
import trustme
from prometheus_client import CollectorRegistry

from config.metrics import DataverseMetrics
from tests.unit.worker.dataverse.server import ScriptedServer, scripted_server, write_ca
from tests.unit.worker.dataverse.stand_ins import FixedTokens, RecordedThrottle
from worker.dataverse.client import DataverseClient
from worker.dataverse.transport import PATIENCE_SECONDS, Transport


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ca(ca, tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(ca: trustme.CA) -> Iterator[ScriptedServer]:
    with scripted_server(ca) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> DataverseMetrics:
    return DataverseMetrics(registry)


@pytest.fixture
def tokens() -> FixedTokens:
    return FixedTokens()


@pytest.fixture
def throttle() -> RecordedThrottle:
    return RecordedThrottle()


@pytest.fixture
def make_transport(
    ca_file: Path, tokens: FixedTokens, throttle: RecordedThrottle, metrics: DataverseMetrics
) -> Iterator[Callable[..., Transport]]:
    made: list[Transport] = []

    def make(
        url: str,
        timeout: float = 5.0,
        patience: float = PATIENCE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Transport:
        transport = Transport(
            url,
            "v9.2",
            tokens,
            throttle,
            metrics,
            timeout=timeout,
            ca_file=ca_file,
            patience=patience,
            monotonic=monotonic,
        )
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(server: ScriptedServer, make_transport: Callable[..., Transport]) -> Transport:
    return make_transport(server.url)


@pytest.fixture
def client(transport: Transport, metrics: DataverseMetrics) -> DataverseClient:
    return DataverseClient(transport, metrics)
