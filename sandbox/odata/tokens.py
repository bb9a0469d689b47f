"""The opaque tokens in next and delta links.

They are signed together with the query, so that a token that was changed, or moved to another query, is refused
instead of answered wrongly.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from sandbox.errors import bad_query


class TokenSigner:
    """Writes and reads tokens.

    Args:
        key: The secret they are signed with.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, content: list[Any], query: str) -> str:
        """A token that is good for this query only."""
        body = base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).rstrip(b"=")
        return f"{body.decode()}.{self._signature(body, query)}"

    def read(self, token: str, query: str) -> list[Any]:
        """What a token holds.

        Raises:
            DataverseError: When it was changed, or written for another query.
        """
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body.encode(), query).encode()):
            raise bad_query("Malformed XML in the Paging Cookie: the token does not belong to this query.")
        content: list[Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return content

    def _signature(self, body: bytes, query: str) -> str:
        return hmac.new(self._key, body + b"\n" + query.encode(), hashlib.sha256).hexdigest()[:24]
