"""Lets MSAL send its requests over httpx, with the same TLS context as everything else.

Left to itself MSAL trusts what REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE name, even over the CA file that it was given. And
it logs, in full, an answer that it cannot read, which may be half of one with a token in it: such never reaches it.
"""

import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from worker.dataverse.errors import NeverSentError

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0

LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS})
"""Answers that ask to come back, beside 5xx; 410 is a managed identity's endpoint that is being updated."""


class MsalHttpClient:
    """The two verbs that MSAL asks for; its answers have the ``status_code``, ``text`` and ``headers`` MSAL reads.

    Both raise NeverSentError when the sign-in service has no answer for now.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(verify=context, timeout=timeout, follow_redirects=False, trust_env=False)

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> httpx.Response:
        """Send a GET."""
        return _usable(self._http.get(url, params=params, headers=headers))

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str | bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> httpx.Response:
        """Send a form."""
        # MSAL signs assertions as bytes, of which httpx would send Python's own spelling.
        form = {name: value.decode() if isinstance(value, bytes) else value for name, value in (data or {}).items()}
        return _usable(self._http.post(url, params=params, data=form, headers=headers))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _usable(response: httpx.Response) -> httpx.Response:
    if response.status_code in LATER or response.is_server_error:
        raise NeverSentError(f"the sign-in service answers {response.status_code} for now", status=response.status_code)
    if response.is_success:
        try:
            json.loads(response.text)
        except ValueError:
            raise NeverSentError("the sign-in service's answer cannot be read") from None  # it may hold a token
    return response
