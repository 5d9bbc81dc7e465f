"""
Webhook intake: verified, deduplicated, committed, then answered.

    POST /hooks/{platform}/{connection}
      404 no such connection   413 too large   401 signature   400 not the platform's format
      405 a GET, except where the platform asks whether we are who it was told (a handshake)
      503 + Retry-After when the database refuses, or as much as may waits for it already:
          the platform sends it again, nothing is lost
      200 once every change of the body is durable
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from dovetail.app.connections import Connections, OpenConnection
from dovetail.app.intake_room import IntakeRoom
from dovetail.connector_sdk.base import Connector, Handshakes, Webhooks
from dovetail.connector_sdk.webhook import WebhookEvent, WebhookRequest
from dovetail.core.clock import Clock
from dovetail.core.ids import derive_id
from dovetail.core.settings import Settings
from dovetail.errors import ConfigError, DovetailError, StoreError, WebhookRejectedError
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.store.port import Store

log = structlog.get_logger("dovetail.intake")

# Platforms wait 5 s for an answer (HubSpot); a 503 in time is repeated, a time-out counts against
# the endpoint.
_COMMIT_WITHIN_S = 4.0


class Intake:
    """Receives webhooks for every connection of the app."""

    def __init__(
        self,
        *,
        store: Store,
        log: EventLog,
        connections: Connections,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._log = log
        self._connections = connections
        self._settings = settings
        self._clock = clock
        self._room = IntakeRoom(store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one webhook request; an ASGI app of its own, which its route calls directly."""
        response = await self.receive(Request(scope, receive))
        await response(scope, receive, send)

    async def receive(self, request: Request) -> Response:
        """Return the answer to one webhook request."""
        platform = request.path_params["platform"]
        connection_id = request.path_params["connection"]
        response = await self._answer(request, platform, connection_id)
        # An unknown platform is not a label: anybody could make up as many as they like.
        known = platform if response.status_code != 404 else "unknown"
        self._log.tally.webhooks[known, str(response.status_code)] += 1
        return response

    async def _answer(self, request: Request, platform: str, connection_id: str) -> Response:
        if self._room.is_full:
            return _later("Too much waits for the database already; send it again.")
        try:
            return await self._accept(request, platform, connection_id)
        except WebhookRejectedError as error:
            log.warning(
                "webhook_rejected",
                platform=platform,
                connection=connection_id,
                status=error.status,
                reason=error.message,
            )
            return _answer(error.status, error)
        except (StoreError, TimeoutError) as error:
            log.warning("webhook_not_stored", platform=platform, error=str(error))
            return _later("The event could not be stored now; send it again.")

    async def _accept(self, request: Request, platform: str, connection_id: str) -> Response:
        opened = await self._open(platform, connection_id)
        connector: Any = opened.connector
        receives, handshakes = _roles(connector)
        if not receives:
            raise WebhookRejectedError(f"{platform} sends no webhooks.", status=404)
        webhook = WebhookRequest(
            method=request.method,
            url=self._public_url(request),
            headers={
                name.decode("latin-1"): value.decode("latin-1")  # names come in lower case
                for name, value in request.scope["headers"]
            },
            body=await self._read_body(request),
        )
        now = self._clock.now()
        secrets = opened.webhook_secrets(now)
        if handshakes:
            reply = connector.handshake(webhook, secrets, now)
            if reply is not None:
                return Response(reply.body, reply.status, dict(reply.headers))
        if request.method != "POST":
            raise WebhookRejectedError(f"{platform} sends webhooks with POST.", status=405)
        connector.verify(webhook, secrets, now)
        changes = connector.parse(webhook)
        drafts = self._drafts(opened, changes, webhook)
        if drafts:
            await self._commit(drafts, len(webhook.body))
        return Response(b'{"accepted":%d}' % len(drafts), media_type="application/json")

    async def _commit(self, drafts: list[EventDraft], size: int) -> None:
        room = self._room
        room.enter(size)
        try:
            # Shielded by the store: a write that times out here may still commit, and the repeated
            # webhook is then dropped by its id.
            async with asyncio.timeout(_COMMIT_WITHIN_S):
                await self._store.write_each(self._log.append_each, drafts)
        except (TimeoutError, asyncio.CancelledError):
            room.give_up(size)
            raise
        except BaseException:
            room.leave(size)
            raise
        room.leave(size)

    async def _open(self, platform: str, connection_id: str) -> OpenConnection:
        try:
            opened = await self._connections.open(connection_id)
        except ConfigError as error:
            raise WebhookRejectedError(error.message, status=404) from error
        if opened.record.platform != platform:
            raise WebhookRejectedError(
                f"Connection {connection_id} is not one to {platform}.", status=404
            )
        return opened

    async def _read_body(self, request: Request) -> bytes:
        limit = self._settings.max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        body = bytearray()
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise WebhookRejectedError("The sender hung up before the body ended.")
            body += message.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            if not message.get("more_body", False):
                return bytes(body)

    def _public_url(self, request: Request) -> str:
        # The platform signed the URL that it called, which a proxy in front may have changed.
        scope, base = request.scope, self._settings.public_url
        query = scope["query_string"].decode("latin-1")
        path = (scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
        if not base:
            host = request.headers.get("host")
            base = f"{scope['scheme']}://{host or request.url.netloc}"
        return f"{base.rstrip('/')}{path.split('?')[0]}{'?' + query if query else ''}"

    def _drafts(
        self, opened: OpenConnection, changes: Sequence[WebhookEvent], webhook: WebhookRequest
    ) -> list[EventDraft]:
        record = opened.record
        return [
            EventDraft(
                # The same fact sent again has the same id, and is dropped by the log.
                id=derive_id(change.occurred_at, "webhook", record.id, change.id),
                type="platform.changed",
                key=f"{record.id}:{change.resource}:{change.record_id}",
                business_id=record.business_id,
                source=f"webhook:{record.platform}",
                occurred_at=change.occurred_at,
                payload={
                    "connection_id": record.id,
                    "platform": record.platform,
                    "resource": change.resource,
                    "record_id": change.record_id,
                    "kind": change.kind,
                    "merged_into": change.merged_into,
                    "detail": change.detail,
                },
                # The raw bytes once per request, with its first change.
                raw=webhook.body if index == 0 else None,
                raw_type=webhook.headers.get("content-type"),
            )
            for index, change in enumerate(changes)
        ]


_known_roles: WeakKeyDictionary[type, tuple[bool, bool]] = WeakKeyDictionary()


def _roles(connector: Connector) -> tuple[bool, bool]:
    """Return whether it receives webhooks, and shakes hands; asking a protocol is slow."""
    kind = type(connector)
    found = _known_roles.get(kind)
    if found is None:
        found = isinstance(connector, Webhooks), isinstance(connector, Handshakes)
        _known_roles[kind] = found
    return found


def _too_large(limit: int) -> WebhookRejectedError:
    return WebhookRejectedError(
        f"The body is larger than {limit:,} bytes. Raise DOVETAIL_MAX_BODY_BYTES if the "
        "platform really sends so much.",
        status=413,
    )


def _later(message: str) -> JSONResponse:
    return _answer(503, StoreError(message), {"retry-after": "5"})


def _answer(
    status: int, error: DovetailError, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(
        {"error": {"code": error.code, "message": error.message}},
        status_code=status,
        headers=headers,
    )
