"""Lets MSAL send its requests over httpx, with the same TLS context as everything else.

Left to itself MSAL trusts what REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE name, even over the CA file that it was given.
"""

import ssl
from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_SECONDS = 30.0


class MsalHttpClient:
    """The two verbs that MSAL asks for; its answers have the ``status_code``, ``text`` and ``headers`` MSAL reads."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._http = httpx.Client(verify=context, timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> httpx.Response:
        """Send a GET."""
        return self._http.get(url, params=params, headers=headers)

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> httpx.Response:
        """Send a form."""
        return self._http.post(url, params=params, data=data, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
