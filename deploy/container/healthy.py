#!/usr/bin/env python3
"""Asks the jobworker process in this container for its health: ``healthy PORT [PATH]`` exits 0 on the answer 200.

For health checks that run a command inside the container, because the image has no curl. Proxies are never used.
"""

import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 5
"""How long an answer may take."""


def is_healthy(port: int, path: str) -> bool:
    """Tell whether the process on this port answers 200; print what it answers when it does not."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        print(f"no answer on port {port}: {error}")
        return False
    finally:
        connection.close()
    if answer.status != 200:
        print(said)
    return answer.status == 200


if __name__ == "__main__":
    sys.exit(not is_healthy(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "/healthz"))
