"""One request's connection: reading the body, answering, and breaking it on purpose.

Breaking needs the transport, which `sandbox.server` puts into the scope.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from sandbox import errors

EXTENSION = "sandbox.transport"
LARGEST_BODY = 128 * 1024 * 1024
# Linger on, for no time: closing then sends RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Connection:
    """What ASGI hands over for one request."""

    scope: Scope
    receive: Receive
    send: Send

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's header fields, names in lower case."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}

    async def body(self) -> bytes:
        """The request's body.

        Raises:
            DataverseError: When it is too large.
        """
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self.receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            if size > LARGEST_BODY:
                raise errors.payload_too_large()
        return b"".join(chunks)

    async def answer(self, status: int, fields: Fields, body: bytes) -> None:
        """Send the answer."""
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})

    async def reset(self) -> None:
        """Reset the connection; nothing of an answer is sent."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
        await self._until_gone()

    async def truncate(self, status: int, fields: Fields, body: bytes) -> None:
        """Send half of what the header announces, then close."""
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self._transport.close()
        await self._until_gone()

    @property
    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self.scope["extensions"][EXTENSION]["transport"]
        return transport

    async def _until_gone(self) -> None:
        """Only once the server knows that nobody is there does it stop insisting on an answer."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
