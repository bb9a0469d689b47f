"""Secrets stay secret, and Redis is spoken to over TLS, as a user who may do only what is needed."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import trustme

from sandbox.demo.processes import free_port
from tests.integration.kernel import children_of, sockets
from tests.integration.neighbour import SUCCEEDED
from tests.integration.service import Service, metrics_of, probe, run_command, wait_for
from tests.tools import find_tool

PASSWORD = "a-password-for-redis-p%40ss"
"""As it stands in a URL: percent-encoded."""

DEPLOYING = Path(__file__).parents[2] / "docs" / "deploying.md"

LOOPBACK = "0100007F"


def _documented_user() -> str:
    """Read the ACL line that users are given."""
    lines = map(str.strip, DEPLOYING.read_text().splitlines())
    (line,) = (line for line in lines if line.startswith("user jobworker on "))
    return line.replace(">PASSWORD", f">{PASSWORD.replace('%40', '@')}")


@dataclass(frozen=True, slots=True)
class SecureRedis:
    """A Redis that takes only TLS and only one user."""

    url: str
    ca_file: Path


@pytest.fixture
def secure_redis(service: Service) -> Iterator[SecureRedis]:
    """Run redis-server with TLS and an ACL user."""
    program = find_tool("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed; `make tools` fetches it on Debian and Ubuntu")
    folder = service.family.folder / "secure"
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "users.acl").write_text(f"user default off\n{_documented_user()}\n")
    port = free_port()
    options = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(folder / "server.pem"),
        "tls-key-file": str(folder / "server.pem"),
        "tls-ca-cert-file": str(folder / "ca.pem"),
        "tls-auth-clients": "no",
        "aclfile": str(folder / "users.acl"),
        "bind": "127.0.0.1",
        "save": "",
        "dir": str(folder),
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([str(program), *arguments], stdout=log, stderr=log)
    url = f"rediss://jobworker:{PASSWORD}@localhost:{port}/0"
    try:
        wait_for(lambda: _answers(url, folder / "ca.pem"), 10, (folder / "server.log").read_text)
        yield SecureRedis(url, folder / "ca.pem")
    finally:
        server.terminate()
        server.wait()


def _answers(url: str, ca_file: Path) -> bool:
    with contextlib.closing(redis.Redis.from_url(url, ssl_ca_certs=str(ca_file))) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def test_redis_is_spoken_to_over_tls_as_a_user_of_few_rights(service: Service, secure_redis: SecureRedis) -> None:
    settings = {"JOBWORKER_REDIS__URL": secure_redis.url, "JOBWORKER_REDIS__CA_FILE": str(secure_redis.ca_file)}
    service.poller(**settings)
    service.worker(1, **settings)
    job = service.neighbour.create_job()
    service.neighbour.create_packet(job, 1)

    assert service.wait_for_job(job, SUCCEEDED)["reason"] == "complete"
    assert service.command("doctor", **settings).returncode == 0


def test_nothing_listens_but_metrics_and_health_where_the_operator_chose(service: Service) -> None:
    for process in (service.poller(), service.worker(2)):
        service.wait_until_ready(process)
        for pid in (process.popen.pid, *children_of(process.popen.pid)):
            listening = {(one.local, one.port) for one in sockets(pid) if one.listens}
            assert listening <= {(LOOPBACK, process.metrics_port)}
        assert [probe(process, path).status_code for path in ("/metrics", "/healthz", "/", "/metrics/../etc")] == [
            200,
            200,
            404,
            404,
        ]


def test_an_untrusted_certificate_of_redis_is_refused(service: Service, secure_redis: SecureRedis) -> None:
    done = service.command("poll", "--once", JOBWORKER_REDIS__URL=secure_redis.url)

    assert done.returncode == 1
    assert "JOBWORKER_REDIS__URL" in done.stderr
    assert PASSWORD not in done.stderr


def test_a_wrong_password_of_redis_is_said_and_not_repeated(service: Service, secure_redis: SecureRedis) -> None:
    wrong = secure_redis.url.replace(PASSWORD, "quite-another-password")

    done = service.command(
        "poll", "--once", JOBWORKER_REDIS__URL=wrong, JOBWORKER_REDIS__CA_FILE=str(secure_redis.ca_file)
    )

    assert done.returncode == 1
    assert "refused the user or password" in done.stderr
    assert "quite-another-password" not in done.stderr


def test_no_secret_and_no_packet_reaches_a_log_or_a_metric(service: Service, secure_redis: SecureRedis) -> None:
    settings = {
        "JOBWORKER_REDIS__URL": secure_redis.url,
        "JOBWORKER_REDIS__CA_FILE": str(secure_redis.ca_file),
        "JOBWORKER_LOG__LEVEL": "DEBUG",
    }
    poller, worker = service.poller(**settings), service.worker(1, **settings)
    job = service.neighbour.create_job(msdyn_numberofpackets=2)
    for number in (1, 2, 2):
        service.neighbour.create_packet(job, number, msdyn_fulljson="packet-content-nobody-may-log")
    service.sandbox.post(
        "faults", {"rules": [{"kind": "server_error", "next": 3, "status": 503, "operation": "batch"}]}
    )
    service.wait_for_job(job, SUCCEEDED)
    service.sandbox.post("faults", {"rules": [{"kind": "expired_token", "next": 2}]})
    failing = service.command("poll", "--once", JOBWORKER_AUTH__CLIENT_SECRET="the-wrong-one", **settings)

    written = "\n".join(path.read_text() for path in service.family.folder.glob("*.log")) + failing.stderr
    shown = str(metrics_of(poller)) + str(metrics_of(worker))
    secrets = [
        service.ready["client_secret"],
        PASSWORD,
        PASSWORD.replace("%40", "@"),
        "the-wrong-one",
        "packet-content-nobody-may-log",
        "eyJ",  # how every JSON Web Token begins
        "Bearer ",
    ]
    assert len(written) > 5_000
    for secret in secrets:
        assert secret not in written, secret
        assert secret not in shown, secret


def test_secrets_may_come_from_files(service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "client-secret"
    secret.write_text(service.environment["JOBWORKER_AUTH__CLIENT_SECRET"] + "\n")
    environment = {k: v for k, v in service.environment.items() if k != "JOBWORKER_AUTH__CLIENT_SECRET"}
    environment["JOBWORKER_AUTH__CLIENT_SECRET_FILE"] = str(secret)

    done = run_command("doctor", environment=environment, folder=tmp_path)

    assert done.returncode == 0, done.stdout
