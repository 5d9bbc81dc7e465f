"""
The one door to platforms: `Api` for connectors, `AiohttpTransport` for the wire.

No other module imports the HTTP client library. Nothing here retries: an error says what
happened, and the runtime decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from msgspec import structs
from yarl import URL

from dovetail.connector_sdk.access import Access, FixedAccess
from dovetail.connector_sdk.auth import Auth, Credentials
from dovetail.connector_sdk.failure import Call
from dovetail.connector_sdk.limits import Budget
from dovetail.connector_sdk.response import ApiResponse, ErrorDetail, plain_detail
from dovetail.connector_sdk.spec import ErrorRule
from dovetail.core import json as json_codec
from dovetail.core.clock import Clock
from dovetail.core.telemetry import span
from dovetail.core.transport import HttpRequest, HttpResponse, Transport, TransportError
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    MalformedResponseError,
    MissingCredentialError,
    RateLimitedError,
    StoreError,
    UsageError,
)

__all__ = ["AiohttpTransport", "Api", "ApiResponse", "ErrorDetail"]

_CONNECT_TIMEOUT_S = 10.0
_CHUNK = 64 * 1024
_JSON = "application/json"

# Raised before the first byte of the request has left.
_BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientSSLError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class AiohttpTransport:
    """
    Carries requests over the network, on connections that are kept.

    Redirects are not followed: credentials go only where the connection says.

    Args:
        max_connections: At the same time, to all platforms together.
    """

    def __init__(self, *, max_connections: int = 100) -> None:
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        """
        Return the answer whatever its status.

        Raises:
            TransportError: There is no complete answer, or it is larger than the request allows.
        """
        try:
            return await self._exchange(request)
        except _BEFORE_SENDING as error:
            raise TransportError(
                f"no connection to {_origin(request.url)} ({_cause(error)})", sent=False
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = "no answer in time" if isinstance(error, TimeoutError) else "connection lost"
            raise TransportError(
                f"{what} from {_origin(request.url)} ({_cause(error)})", sent=True
            ) from error

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        timeout = aiohttp.ClientTimeout(
            total=request.timeout_s, connect=min(_CONNECT_TIMEOUT_S, request.timeout_s)
        )
        async with self._open_session().request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body or None,
            timeout=timeout,
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > request.max_response_bytes:
                    raise TransportError(
                        f"the answer of {_origin(request.url)} is larger than "
                        f"{request.max_response_bytes} bytes",
                        sent=True,
                    )
            headers: dict[str, str] = {}
            for name, value in answer.headers.items():
                known = headers.get(name.lower())
                headers[name.lower()] = value if known is None else f"{known}, {value}"
            return HttpResponse(status=answer.status, headers=headers, body=bytes(body))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "dovetail"},
                skip_auto_headers=("Content-Type",),
            )
            # The library repeats PUT, DELETE and GET on a kept connection that was cut. Whether a
            # call may be repeated is for the runtime to say.
            self._session._retry_connection = False
        return self._session


class Api:
    """
    A connection's way to its platform: budget, authentication, transport, errors.

    Args:
        platform: Name of the platform.
        title: The platform's own spelling of it, for messages.
        base_url: What paths are appended to; nothing outside its origin is ever called.
        auth: How requests are authenticated.
        credentials: Of the connection, or what keeps them fresh.
        transport: Carries requests.
        budget: Of the connected account.
        clock: Time, also for the connector.
        error_rules: Tried before the usual meanings of a status.
        explain: Reads the platform's error format.
        settings: Of the connection.
        on_call: Told the path and status of every answer; 0 when there was none.
    """

    def __init__(  # noqa: PLR0913 - everything that a connection is made of, by name
        self,
        *,
        platform: str,
        title: str,
        base_url: str,
        auth: Auth,
        credentials: Credentials | Access,
        transport: Transport,
        budget: Budget,
        clock: Clock,
        error_rules: Sequence[ErrorRule] = (),
        explain: Callable[[ApiResponse], ErrorDetail] | None = None,
        settings: Mapping[str, Any] = {},
        on_call: Callable[[str, int], None] | None = None,
    ) -> None:
        self.platform = platform
        self.title = title
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self.settings = settings
        self.calls: Counter[str] = Counter()
        self._auth = auth
        self._access = (
            FixedAccess(credentials) if isinstance(credentials, Credentials) else credentials
        )
        self._transport = transport
        self._budget = budget
        self._error_rules = tuple(error_rules)
        self._explain = explain or plain_detail
        self._on_call = on_call

    @property
    def credentials(self) -> Credentials:
        """The connection's credentials as they were last known."""
        return self._access.credentials

    async def request(  # noqa: PLR0913 - one door, and each argument is a fact of HTTP
        self,
        method: str,
        path: str,
        *,
        operation: str,
        query: Mapping[str, str | Sequence[str]] | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        authenticated: bool = True,
        ok: Container[int] = range(200, 300),
        expects: Sequence[str] = (),
    ) -> ApiResponse:
        """
        Send one request and return its answer.

        What is refused for its credentials was not done; where they can be renewed, they are, and
        the request is sent once more.

        Args:
            method: ``GET`` and so on.
            path: Begins with a slash, or is an absolute URL of the platform's own origin.
            operation: What is done, as errors say it: ``read contacts``.
            query: Names and values; a sequence repeats the name.
            json: Body, encoded as JSON.
            body: Body, sent as it is.
            headers: More headers. An ``Accept`` other than JSON takes any body.
            repeatable: Repeating the call is harmless, so a lost answer can be tried again.
            authenticated: Send the connection's credentials.
            ok: The statuses that are an answer rather than an error.
            expects: Names that the JSON object of an answer must have.

        Raises:
            MissingCredentialError: The connection lacks what the authentication needs.
            AuthenticationError: The credentials are refused, renewed or not.
            TransientError: Nothing was applied, or repeating is harmless.
            OutcomeUnknownError: The answer to an unrepeatable call was lost.
            PermanentError: The platform refused.
        """
        self._url(path)  # what cannot be called is refused before anything else
        plain = urlsplit(path).path if "://" in path else path.partition("?")[0]
        call = Call(self.platform, self.title, operation, method, plain, repeatable)
        sent_headers = {"Accept": _JSON}
        if json is not None:
            body = json_codec.encode(json)
            sent_headers["Content-Type"] = _JSON
        sent_headers |= headers or {}
        if query:
            encoded = urlencode(query, doseq=True, quote_via=quote)
            path += ("&" if "?" in path else "?") + encoded
        request = HttpRequest(method=method, url=path, headers=sent_headers, body=body or b"")
        response = await (
            self._authenticated(call, request, ok)
            if authenticated
            else self._answered(call, request, ok)
        )
        if sent_headers["Accept"].startswith(_JSON):
            self._check(call, response, expects)
        return response

    async def _authenticated(
        self, call: Call, request: HttpRequest, ok: Container[int]
    ) -> ApiResponse:
        refused: Credentials | None = None
        while True:
            used = await self._access.current()
            self._require_credentials(used)
            if used.get("grant") and used.get("instance_url"):
                # Where a token was given for; it may move with the next token.
                self.base_url = used["instance_url"].rstrip("/")
            try:
                answer = await self._answered(call, request, ok, used)
                with suppress(StoreError):
                    await self._access.accept()
                return answer
            except AuthenticationError as error:
                if refused is None and await self._access.renew(used):
                    refused = used
                    continue
                with suppress(StoreError):
                    await self._access.give_up(error)
                raise

    async def _answered(
        self,
        call: Call,
        request: HttpRequest,
        ok: Container[int],
        used: Credentials | None = None,
    ) -> ApiResponse:
        ticket = await self._budget.acquire(call.path)
        try:
            shown = await self._auth.headers(used) if used is not None else {}
            headers = {**request.headers, **shown}
            request = structs.replace(request, url=self._url(request.url), headers=headers)
            response = await self._send(call, request)
        finally:
            if ticket:
                with suppress(StoreError):
                    await self._budget.release(ticket)
        if response.status not in ok:
            await self._refuse(call, response)
        return response

    def _require_credentials(self, found: Credentials) -> None:
        missing = [name for name in self._auth.required if not found.get(name)]
        if missing:
            raise MissingCredentialError(
                f"The connection to {self.title} has no {', '.join(missing)}. Give it with "
                f"`dovetail connect {self.platform}`.",
                platform=self.platform,
                credential=missing[0],
            )

    async def _send(self, call: Call, request: HttpRequest) -> ApiResponse:
        self.calls[call.operation] += 1
        answer = await self._exchange(call, request)
        # The answer to a write must not be lost because the database was busy for the budget.
        with suppress(StoreError):
            await self._budget.observe(call.path, answer.status, answer.headers)
        return ApiResponse(
            status=answer.status,
            headers=answer.headers,
            json=_decoded(answer.body),
            body=answer.body,
            received_at=self.clock.now(),
        )

    async def _exchange(self, call: Call, request: HttpRequest) -> HttpResponse:
        status = 0
        try:
            with span(
                f"{call.method} {self.platform}",
                "client",
                http__request__method=call.method,
                url__path=self.credentials.redact(call.path),
                dovetail__platform=self.platform,
                dovetail__operation=call.operation,
            ) as told:
                answer = await self._transport.send(request)
                status = answer.status
                told.note("http.response.status_code", status)
                if status >= 400:
                    told.fail(f"{self.title} answered {status}")
                return answer
        except TransportError as error:
            raise self._redacted(call.broken(error)) from error
        finally:
            if self._on_call is not None:
                self._on_call(call.path, status)

    async def _refuse(self, call: Call, response: ApiResponse) -> None:
        detail = self._explain(response)
        error = call.refused(response, detail, self._error_rules)
        if isinstance(error, RateLimitedError):
            with suppress(StoreError):
                await self._budget.pause(error.retry_after_s, path=call.path, limit=detail.limit)
        raise self._redacted(error)

    def _check(self, call: Call, response: ApiResponse, expects: Sequence[str]) -> None:
        if response.body.strip() and response.json is None and response.body.strip() != b"null":
            raise self._redacted(call.malformed(response, "the body is not JSON"))
        found = response.json if isinstance(response.json, dict) else {}
        missing = [name for name in expects if name not in found]
        if missing:
            raise self._redacted(call.malformed(response, f"without {', '.join(missing)}"))

    def _redacted(self, error: ConnectorError) -> ConnectorError:
        facts = {name: self.credentials.redact_any(value) for name, value in error.facts.items()}
        return type(error)(self.credentials.redact(error.message), **facts)

    def _url(self, path: str) -> str:
        if path.startswith("/") and not path.startswith("//"):
            return self.base_url + path
        if "://" not in path:
            raise UsageError(f"The path {path!r} must begin with one slash.")
        if _origin(path) != _origin(self.base_url):
            raise MalformedResponseError(
                f"{self.title} named an address at {_origin(path)}, outside of "
                f"{_origin(self.base_url)}; it was not called.",
                platform=self.platform,
            )
        return path


def _decoded(body: bytes) -> Any:
    try:
        return json_codec.decode(body) if body.strip() else None
    except ValueError:
        return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _cause(error: BaseException) -> str:
    if isinstance(error, aiohttp.InvalidURL):
        return "the address is not valid"  # its own text is the whole URL, secrets and all
    return str(error) or type(error).__name__
