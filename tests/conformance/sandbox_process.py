"""The sandbox as a process of its own, over HTTPS, and a client as plain as can be."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

API = "/api/data/v9.2"


@dataclass
class Raw:
    """Plain HTTP to a sandbox, signed in as the worker."""

    details: Mapping[str, str]
    http: httpx.Client
    headers: dict[str, str] = field(default_factory=dict)

    def sign_in(self, who: str = "") -> str:
        """A fresh token; `who` is empty for the worker, or "neighbour_"."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.details[f"{who}client_id"],
            "client_secret": self.details[f"{who}client_secret"],
            "scope": f"{self.details['url']}/.default",
        }
        answer = self.http.post(f"{self.details['authority']}/oauth2/v2.0/token", data=form)
        token = str(answer.json()["access_token"])
        self.headers = {"Authorization": f"Bearer {token}"}
        return token

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.http.request(method, f"{API}/{path}", headers=headers, **more)

    def control(self, path: str, document: Any = None) -> Any:
        answer = (
            self.http.get(f"/sandbox/{path}") if document is None else self.http.post(f"/sandbox/{path}", json=document)
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, **columns: Any) -> str:
        answer = self("POST", "msdyn_integrationjobs", json=columns)
        assert answer.status_code == 204, answer.text
        return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


def clean_environment() -> dict[str, str]:
    """This environment without other certificate authorities; the sandbox's own is named where it is needed."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("JOBWORKER_", "SSL_CERT", "CURL_CA"))
    }


def start_process(*arguments: str) -> "subprocess.Popen[str]":
    """A sandbox that is starting."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment())


def ready_line(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Where it is, once it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"the sandbox did not start: {process.communicate()[1]}")
    return dict(json.loads(line))


@contextmanager
def running(*arguments: str) -> Iterator[Raw]:
    """A sandbox that is ready; it is ended, and must have had no unexpected error."""
    process = start_process("--json", *arguments)
    details = ready_line(process)
    context = ssl.create_default_context(cafile=details["ca_file"])
    with httpx.Client(base_url=details["url"], verify=context, timeout=30, trust_env=False) as http:
        raw = Raw(details, http)
        raw.sign_in()
        yield raw
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert not said, said
