"""
HTTP as a port: what a request and an answer are, and who can carry them.

Connectors build requests; the runtime decides when they leave. `dovetail.connector_sdk.http` has
the real transport, `dovetail.testing` one that calls a simulator in process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `url` is absolute and already holds its query string."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    timeout_s: float = 30.0
    max_response_bytes: int = 64 * 1024 * 1024


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One answer with its whole body; header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class TransportError(Exception):
    """
    The exchange broke; `sent` says whether the server may have seen the request.

    With ``sent=False`` (refused, unresolved) nothing can have been applied. With ``sent=True``
    (cut, timed out, truncated) a write may have been.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Transport(Protocol):
    """Carries requests. Implementations never retry."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """
        Return the answer whatever its status.

        Raises:
            TransportError: There is no complete answer.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
