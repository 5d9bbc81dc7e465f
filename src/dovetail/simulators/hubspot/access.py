"""Who may call: private app token, OAuth tokens with an end, scopes, the developer key."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES
from dovetail.simulators.hubspot.property import iso

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

TOKEN_LIFE_S = 1800

ALL_SCOPES = frozenset(
    {"oauth", "tickets", "crm.objects.owners.read"}
    | {
        f"crm.{area}.{name}.{right}"
        for area in ("objects", "schemas")
        for name in ("contacts", "companies", "deals")
        for right in ("read", "write")
    }
)


@dataclass(frozen=True, slots=True)
class Token:
    """An OAuth access token and the moment it ends."""

    text: str
    expires_at: datetime


class Access:
    """
    Credentials of the portal and what they allow.

    Args:
        simulator: Whose credentials these are.
        now: The platform's clock.
        scopes: What the app was granted.
    """

    def __init__(
        self,
        simulator: HubSpotSimulator,
        *,
        now: Callable[[], datetime],
        scopes: Collection[str],
    ) -> None:
        self._simulator = simulator
        self._now = now
        self.scopes = frozenset(scopes)
        self.clear(random.Random(0))

    def clear(self, rng: random.Random) -> None:
        """Forget the tokens that were issued."""
        self._rng = rng
        self._tokens: dict[str, Token] = {}
        self._code_used = False

    def routes(self) -> list[Route]:
        """Return the OAuth routes."""
        return [
            Route("/oauth/v1/token", self.issue, methods=["POST"]),
            Route("/oauth/v1/access-tokens/{token}", self.describe, methods=["GET"]),
            Route("/oauth/v1/refresh-tokens/{token}", self.describe_refresh, methods=["GET"]),
        ]

    def check_bearer(self, request: Request) -> None:
        """
        Let a call pass that has a valid token.

        Raises:
            RefusedError: 401, in HubSpot's words.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RefusedError(
                "Authentication credentials not found. This API supports OAuth 2.0 "
                "authentication and private app access tokens.",
                status=401,
                code="INVALID_AUTHENTICATION",
            )
        if token == self._simulator.credentials["access_token"]:
            return
        issued = self._tokens.get(token)
        if issued is None:
            raise RefusedError(
                "Authentication credentials not found. The access token is not valid.",
                status=401,
                code="INVALID_AUTHENTICATION",
            )
        if issued.expires_at <= self._now():
            raise self.expired(issued.expires_at)

    def is_oauth(self, request: Request) -> bool:
        """Return whether a call comes with an OAuth token and not with the private app's."""
        return request.headers.get("authorization", "").partition(" ")[2] in self._tokens

    def expired(self, expired_at: datetime) -> RefusedError:
        """Return the 401 for a token that ended at this moment."""
        ago = max(round((self._now() - expired_at).total_seconds()), 0)
        return RefusedError(
            f"The OAuth token used to make this call expired {ago} second(s) ago.",
            status=401,
            code="EXPIRED_AUTHENTICATION",
            context={"expire time": [iso(expired_at)]},
        )

    def check_developer_key(self, request: Request) -> None:
        """Let a call pass that has the developer key in its query."""
        if request.query_params.get("hapikey") != self._simulator.credentials["developer_api_key"]:
            raise RefusedError(
                "This hapikey doesn't exist.", status=401, code="INVALID_AUTHENTICATION"
            )

    def check_scope(self, request: Request) -> None:
        """Let a call pass whose scope was granted, else 403."""
        needed = _scope_of(request)
        if needed is not None and needed not in self.scopes:
            raise RefusedError(
                "This app hasn't been granted all required scopes to make this call.",
                status=403,
                code="MISSING_SCOPES",
                errors=[
                    {
                        "message": "One or more of the following scopes are required.",
                        "context": {"requiredGranularScopes": [needed]},
                    }
                ],
            )

    async def issue(self, request: Request) -> Response:
        """Issue an access token for a code or a refresh token."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        credentials = self._simulator.credentials
        for name in ("client_id", "client_secret"):
            if form.get(name) != credentials[name]:
                raise _bad("BAD_CLIENT_ID", f"missing or unknown {name}")
        match form.get("grant_type"):
            case "refresh_token":
                if form.get("refresh_token") != credentials["refresh_token"]:
                    raise _bad("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
            case "authorization_code":
                if self._code_used or form.get("code") != credentials["authorization_code"]:
                    raise _bad("BAD_AUTH_CODE", "missing or unknown auth code")
                if not form.get("redirect_uri"):
                    raise _bad("BAD_REDIRECT_URI", "missing redirect_uri")
                self._code_used = True
            case other:
                raise _bad("BAD_GRANT_TYPE", f"missing or unknown grant type {other!r}")
        text = f"C{uuid.UUID(int=self._rng.getrandbits(128), version=4).hex}"
        self._tokens[text] = Token(text, self._now() + timedelta(seconds=TOKEN_LIFE_S))
        return json_response(
            {
                "token_type": "bearer",
                "access_token": text,
                "refresh_token": credentials["refresh_token"],
                "expires_in": TOKEN_LIFE_S,
            }
        )

    async def describe(self, request: Request) -> Response:
        """Say whose access token this is."""
        issued = self._tokens.get(request.path_params["token"])
        if issued is None or issued.expires_at <= self._now():
            raise refusal.not_found("access token not found")
        left = int((issued.expires_at - self._now()).total_seconds())
        return json_response({**self._portal(), "token": issued.text, "expires_in": left})

    async def describe_refresh(self, request: Request) -> Response:
        """Say whose refresh token this is."""
        token = request.path_params["token"]
        if token != self._simulator.credentials["refresh_token"]:
            raise refusal.not_found("refresh token not found")
        client_id = self._simulator.credentials["client_id"]
        return json_response({**self._portal(), "token": token, "client_id": client_id})

    def _portal(self) -> dict[str, Any]:
        return {
            "hub_id": self._simulator.portal_id,
            "hub_domain": "example.com",
            "app_id": int(self._simulator.credentials["app_id"]),
            "user": "grace@example.com",
            "user_id": 9586504,
            "scopes": sorted(self.scopes),
            "token_type": "access",
        }


def _bad(status: str, message: str) -> RefusedError:
    return RefusedError(message, status_text=status)


def _scope_of(request: Request) -> str | None:
    """Return the scope that a call needs, None when any token will do."""
    parts = request.url.path.strip("/").split("/")
    if parts[:3] == ["crm", "v3", "owners"]:
        return "crm.objects.owners.read"
    if len(parts) < 4 or parts[:2] != ["crm", "v3"] or parts[2] not in ("objects", "properties"):
        return None
    kind = next(
        (each for each in OBJECT_TYPES.values() if parts[3] in (each.name, each.type_id)), None
    )
    if kind is None or kind.name == "tickets":
        return None if kind is None else "tickets"
    reads = request.method == "GET" or parts[-1] in ("search", "read")
    area = "objects" if parts[2] == "objects" else "schemas"
    return f"crm.{area}.{kind.name}.{'read' if reads else 'write'}"
