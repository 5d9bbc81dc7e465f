"""How a served sandbox carries webhooks out: its own small HTTP client, none of the product's."""

from __future__ import annotations

import aiohttp

from dovetail.core.transport import HttpRequest, HttpResponse, TransportError


class OutgoingTransport:
    """Sends requests over real sockets. Must be created and closed on the event loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """
        Return the answer whatever its status.

        Raises:
            TransportError: There is no complete answer.
        """
        try:
            async with self._session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                timeout=aiohttp.ClientTimeout(total=request.timeout_s),
                allow_redirects=False,
            ) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpResponse(status=response.status, headers=headers, body=body)
        except aiohttp.ClientConnectorError as exc:
            raise TransportError(f"cannot reach {request.url}: {exc}", sent=False) from exc
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            raise TransportError(f"no answer from {request.url}: {exc!r}", sent=True) from exc

    async def close(self) -> None:
        """Release connections."""
        await self._session.close()
