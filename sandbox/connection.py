"""Breaking connections on purpose: resetting one, or cutting an answer short.

Needs the transport that `sandbox.server` puts into the scope.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import Scope, Send

EXTENSION = "sandbox.transport"
# Linger on, for no time: closing then sends RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["extensions"][EXTENSION]["transport"]
    return transport


def send_reset(scope: Scope) -> None:
    """Reset the connection; nothing of an answer is sent."""
    transport = _transport(scope)
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def send_truncated(
    scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """Send half of what the header announces, then close."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    _transport(scope).close()
