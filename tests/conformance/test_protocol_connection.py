"""What only a real connection shows: TLS, faults that break it, headers, the life of the process."""

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conformance.sandbox_process import API, Raw, clean_environment, ready_line, start_process

JOBS = "msdyn_integrationjobs"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_certificate_is_good_for_every_name_of_this_machine(raw: Raw, host: str) -> None:
    context = ssl.create_default_context(cafile=raw.details["ca_file"])
    url = raw.details["url"].replace("localhost", host)
    with httpx.Client(verify=context, trust_env=False) as http:
        assert http.get(f"{url}{API}/WhoAmI", headers=raw.headers).status_code == 200


def test_nobody_else_trusts_it(raw: Raw) -> None:
    with httpx.Client(verify=ssl.create_default_context(), trust_env=False) as http, pytest.raises(httpx.ConnectError):
        http.get(f"{raw.details['url']}{API}/WhoAmI")


def test_keys_are_private(raw: Raw) -> None:
    directory = Path(raw.details["ca_file"]).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in ("server.pem", "client.pem", "federated-token"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600


def test_every_answer_has_the_headers_of_the_service(raw: Raw) -> None:
    answer = raw("GET", "WhoAmI")
    assert answer.headers["OData-Version"] == "4.0"
    assert answer.headers["Content-Type"].startswith("application/json; odata.metadata=minimal")
    assert len(answer.headers["Date"]) == len("Mon, 21 Sep 2026 14:13:20 GMT")
    for name in ("x-ms-service-request-id", "x-ms-dop-hint", "x-ms-ratelimit-burst-remaining-xrm-requests"):
        assert answer.headers[name]
    assert "Date" in raw("GET", "nothing").headers


def test_the_affinity_cookie_is_offered_and_counted(raw: Raw) -> None:
    assert "ARRAffinity" in raw("GET", "WhoAmI").cookies
    raw("GET", "WhoAmI")
    raw.http.cookies.clear()
    raw("GET", "WhoAmI")
    stats = raw.control("stats")
    assert (stats["requests"], stats["requests_with_cookie"]) == (3, 1)


def test_a_url_has_its_limit(raw: Raw) -> None:
    filters = "$filter=msdyn_name eq '{}'"
    assert raw("GET", f"{JOBS}?{filters.format('x' * 30_000)}").status_code == 200
    assert raw("GET", f"{JOBS}?{filters.format('x' * 33_000)}").status_code == 414


def test_a_large_body_arrives_whole(raw: Raw) -> None:
    job = raw.job(msdyn_responsejson="ü" * 1_000_000)
    assert raw("GET", f"{JOBS}({job})/msdyn_responsejson").json()["value"] == "ü" * 1_000_000


def faults(raw: Raw, *rules: dict[str, object]) -> None:
    raw.control("faults", {"rules": list(rules)})


def test_a_connection_reset_before_the_write_leaves_nothing(raw: Raw) -> None:
    faults(raw, {"kind": "reset_before", "next": 1})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        raw("POST", JOBS, json={})
    assert raw("GET", JOBS).json()["value"] == []


def test_a_connection_reset_after_the_write_leaves_the_row(raw: Raw) -> None:
    faults(raw, {"kind": "reset_after", "next": 1, "writes_only": True})
    raw("GET", JOBS)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        raw("POST", JOBS, json={"msdyn_name": "written"})
    assert [row["msdyn_name"] for row in raw("GET", JOBS).json()["value"]] == ["written"]
    (rule,) = raw.control("faults")["rules"]
    assert rule["fired"] == 1


def test_a_reset_is_a_reset_and_no_orderly_end(raw: Raw) -> None:
    faults(raw, {"kind": "reset_after", "next": 1})
    url = httpx.URL(raw.details["url"])
    context = ssl.create_default_context(cafile=raw.details["ca_file"])
    plain = socket.create_connection(("127.0.0.1", url.port or 0), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as connection:
        request = (
            f"GET {API}/WhoAmI HTTP/1.1\r\nHost: localhost\r\nAuthorization: {raw.headers['Authorization']}\r\n\r\n"
        )
        connection.sendall(request.encode())
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            connection.recv(1000)


def test_a_truncated_answer_is_cut_in_the_middle(raw: Raw) -> None:
    faults(raw, {"kind": "truncate", "next": 1})
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete message body|without sending complete"):
        raw("POST", f"{JOBS}?$select=msdyn_name", json={"msdyn_name": "x"}, headers={"Prefer": "return=representation"})
    assert len(raw("GET", JOBS).json()["value"]) == 1


def test_a_late_answer_finds_the_client_gone_and_the_write_done(raw: Raw) -> None:
    faults(raw, {"kind": "latency", "seconds": 1.0, "moment": "after", "next": 1})
    with pytest.raises(httpx.ReadTimeout):
        raw("POST", JOBS, json={}, timeout=0.3)
    assert len(raw("GET", JOBS).json()["value"]) == 1


def test_requests_at_the_same_time_are_counted_and_limited(raw: Raw) -> None:
    raw.control("limits", {"concurrency": 3})
    faults(raw, {"kind": "latency", "seconds": 5.0, "next": 3})

    def ask(_: int) -> int:
        return raw("GET", "WhoAmI").status_code

    with ThreadPoolExecutor(3) as pool:
        slow = pool.map(ask, range(3))
        while raw.control("stats")["peak_concurrency"] < 3:
            pass
        refused = [ask(number) for number in range(5)]
        assert (refused, list(slow)) == ([429] * 5, [200] * 3)
    stats = raw.control("stats")
    assert stats["throttled"] == {"0x80072326": 5}
    assert stats["peak_concurrency"] == 4


def test_packets_arrive_by_themselves(raw: Raw) -> None:
    raw.control("seed", {"jobs": 20, "arrive_over": 1, "kinds": {"complete_from_zero": 1}})
    overview = raw.control("overview")
    while overview["packets_due"]:
        overview = raw.control("overview")
    assert overview["jobs_by_status"] == {"Waiting": 20}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_leaves_nothing(number: int) -> None:
    process = start_process("--json", "--redis", "--seed", "10")
    details = ready_line(process)
    redis_port = int(details["redis_url"].rpartition(":")[2].partition("/")[0])
    socket.create_connection(("127.0.0.1", redis_port)).close()
    process.send_signal(number)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out, said) == (0, "", "")
    assert not Path(details["ca_file"]).parent.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", redis_port))


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=clean_environment())


def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = command("--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert str(port) in ended.stderr


@pytest.mark.parametrize("arguments", [("--host", "192.0.2.1"), ("--seed", "1", "--seed-kinds", "nonsense")])
def test_a_wrong_command_line_is_said_in_one_sentence(arguments: tuple[str, ...]) -> None:
    ended = command("--port", "0", *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox: ")
    assert "Traceback" not in ended.stderr


def test_people_get_lines_to_paste() -> None:
    process = start_process("--seed", "3")
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if "Ctrl-C" in line:
            break
    process.terminate()
    process.communicate(timeout=20)
    settings = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    names = "DATAVERSE__URL DATAVERSE__CA_FILE AUTH__METHOD AUTH__AUTHORITY AUTH__TENANT_ID AUTH__CLIENT_ID"
    assert set(settings) == {f"JOBWORKER_{name}" for name in (*names.split(), "AUTH__CLIENT_SECRET")}
    assert any("does not imitate" in line for line in lines)


def test_rows_can_be_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.sqlite"
    for _ in range(2):
        process = start_process("--json", "--db", str(file), "--seed", "5")
        details = ready_line(process)
        context = ssl.create_default_context(cafile=details["ca_file"])
        with httpx.Client(verify=context, trust_env=False) as http:
            overview = http.get(f"{details['url']}/sandbox/overview").json()
        process.terminate()
        process.communicate(timeout=20)
    assert sum(overview["jobs_by_status"].values()) == 10
    assert json.dumps(overview)
    assert file.exists()
