"""How many requests a second the sandbox answers over HTTPS keep-alive, server and client sharing this machine.

The client is as small as a client can be (one TLS connection a coroutine, answers read by their Content-Length), so
that the figure is about the server. Run it with `python -m bench.sandbox_throughput`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEEDED = 2000


@contextmanager
def running_sandbox() -> Iterator[dict[str, Any]]:
    """A sandbox of its own process, without limits; gives where it is and how to sign in."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--json", "--seed", str(SEEDED), "--no-limits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield {**json.loads(process.stdout.readline() if process.stdout else ""), "pid": process.pid}
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Processor time a process has used, which other work on this machine does not change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def token(details: dict[str, Any], context: ssl.SSLContext) -> str:
    """An access token."""
    form = {
        "grant_type": "client_credentials",
        "client_id": details["client_id"],
        "client_secret": details["client_secret"],
        "scope": f"{details['url']}/.default",
    }
    url = f"{details['authority']}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context) as answer:  # noqa: S310
        return str(json.load(answer)["access_token"])


def job_ids(details: dict[str, Any], context: ssl.SSLContext) -> list[str]:
    """The seeded jobs."""
    with urllib.request.urlopen(f"{details['url']}/sandbox/expected", context=context) as answer:  # noqa: S310
        return [job["id"] for job in json.load(answer)["jobs"]]


def request(method: str, path: str, bearer: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as it goes over the wire."""
    fields = {"Host": "localhost", "Authorization": f"Bearer {bearer}", "Accept": "application/json", **headers}
    if body:
        fields |= {"Content-Length": str(len(body))}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} /api/data/v9.2/{path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    place = head.lower().find(b"content-length: ")
    if place >= 0:
        await reader.readexactly(int(head[place + 16 : head.index(b"\r\n", place)]))
    return status


async def measure(
    port: int, context: ssl.SSLContext, connections: int, seconds: float, make: Callable[[int], bytes]
) -> float:
    """Answers a second, over so many connections for so long."""
    done = 0
    ends = time.perf_counter() + seconds

    async def one(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        turn = number
        while time.perf_counter() < ends:
            writer.write(make(turn))
            status = await _read_answer(reader)
            if status >= 400:
                raise RuntimeError(f"the sandbox answered {status}")
            done += 1
            turn += connections
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(connections)))
    return done / (time.perf_counter() - started)


def scenarios(ids: list[str], bearer: str) -> dict[str, Callable[[int], bytes]]:
    """What is measured."""
    select = "$select=msdyn_name,msdyn_status"

    def row(turn: int) -> str:
        return f"msdyn_integrationjobs({ids[turn % len(ids)]})"

    def batch(turn: int) -> bytes:
        part = "--b\r\nContent-Type: application/http\r\n\r\nGET /api/data/v9.2/{row}?{select} HTTP/1.1\r\n\r\n\r\n"
        body = "".join(part.format(row=row(turn + number), select=select) for number in range(10)) + "--b--\r\n"
        return request("POST", "$batch", bearer, body.encode(), Content_Type="multipart/mixed; boundary=b")

    found = "$filter=msdyn_status%20eq%20192350001&$orderby=createdon&$top=10"
    change = b'{"msdyn_responsejson":"{}"}'
    return {
        "WhoAmI": lambda _turn: request("GET", "WhoAmI", bearer),
        "read one row": lambda turn: request("GET", f"{row(turn)}?{select}", bearer),
        "query ten rows": lambda _turn: request("GET", f"msdyn_integrationjobs?{select}&{found}", bearer),
        "update one row": lambda turn: request(
            "PATCH", row(turn), bearer, change, If_Match="*", Content_Type="application/json"
        ),
        "batch of ten reads": batch,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    report(arguments.connections, arguments.seconds)


def report(connections: int = 16, seconds: float = 3.0) -> None:
    """Measure each kind of request for some seconds and print how many were answered."""
    with running_sandbox() as details:
        context = ssl.create_default_context(cafile=details["ca_file"])
        port = int(details["url"].rpartition(":")[2])
        made = scenarios(job_ids(details, context), token(details, context))
        print(f"{connections} connections, {seconds:g} s each")
        for name, make in made.items():
            before = processor_seconds(details["pid"])
            rate = asyncio.run(measure(port, context, connections, seconds, make))
            used = (processor_seconds(details["pid"]) - before) / (rate * seconds)
            print(f"{name:20} {rate:8,.0f} requests/s   {used * 1e6:6,.0f} µs of the server's processor time each")


if __name__ == "__main__":
    main()
