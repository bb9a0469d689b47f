"""The image: judged by hadolint, built from what the builder is sent, asked for its health by its own script."""

import fnmatch
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.deploy.commands import output_of_success
from tests.tools import ROOT

CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
HEALTHY = ROOT / "deploy" / "container" / "healthy.py"

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """Give the instructions of the Containerfile, comments left out and lines joined."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def values(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def test_hadolint_finds_nothing() -> None:
    assert output_of_success("hadolint", "--no-color", CONTAINERFILE) == ""


def test_every_base_image_is_pinned_by_its_whole_version() -> None:
    for base in values("FROM"):
        assert re.match(r"python:3\.11\.\d+-slim-\w+( AS \w+)?$", base)


def test_everything_that_is_downloaded_is_held_to_a_hash() -> None:
    for command in values("RUN"):
        for install in re.findall(r"pip install [^&]*", command):
            assert "--require-hashes" in install or "--no-index" in install


def test_it_runs_as_an_ordinary_user_given_by_number() -> None:
    assert re.match(r"[1-9]\d{3,}:[1-9]\d{3,}$", values("USER")[-1])


def test_it_is_the_program_and_holds_no_setting() -> None:
    assert json.loads(values("ENTRYPOINT")[-1]) == ["jobworker"]
    assert not [value for value in (*values("ENV"), *values("ARG")) if "JOBWORKER" in value]


def test_the_builder_is_sent_what_is_copied_and_nothing_secret() -> None:
    sent = ignore_patterns(negated=True)
    copied = [word for rest in values("COPY") if "--from" not in rest for word in rest.split()[:-1] if word[0] != "-"]
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / path).exists() for path in copied)
    assert ignore_patterns(negated=False)[0] == "*"
    assert not [
        secret for secret in (".env", ".git", "jobworker.toml") if any(fnmatch.fnmatch(secret, p) for p in sent)
    ]


def ignore_patterns(*, negated: bool) -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return [pattern.lstrip("!") for pattern in patterns if pattern.startswith("!") is negated]


class Answering(BaseHTTPRequestHandler):
    """Answers well on /healthz, badly on /readyz."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b'{"redis": "away"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Stay quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("path", "code", "said"), [("/healthz", 0, ""), ("/readyz", 1, '{"redis": "away"}\n')], ids=["well", "unwell"]
)
def test_the_health_check_believes_the_process(port: int, path: str, code: int, said: str) -> None:
    assert health(port, path) == (code, said)


def test_the_health_check_fails_where_nothing_answers() -> None:
    nobody = HTTPServer(("127.0.0.1", 0), Answering)
    free_port = nobody.server_port
    nobody.server_close()
    code, said = health(free_port, "/healthz")
    assert code == 1
    assert "no answer" in said


def health(port: int, path: str) -> tuple[int, str]:
    command = [sys.executable, str(HEALTHY), str(port), path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={"http_proxy": "x:1"})
    assert done.stderr == ""
    return done.returncode, done.stdout
