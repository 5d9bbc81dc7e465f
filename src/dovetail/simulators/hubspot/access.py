"""Who may call: private app token, OAuth tokens with an end, scopes, the developer key."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request

from dovetail.simulator_sdk.consent import Asked, CodeBook
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES
from dovetail.simulators.hubspot.property import iso

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_SCOPED = ("objects", "properties", "associations")
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
class Grant:
    """What a person allowed the app, for as long as it stays installed."""

    refresh_token: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """An OAuth access token and the moment it ends."""

    text: str
    expires_at: datetime
    grant: Grant


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
        self.tokens: dict[str, Token] = {}
        self.grants: dict[str, Grant] = {}
        self.codes = CodeBook(self._now)
        self._code_used = False

    def install(self, refresh_token: str) -> None:
        """Let the refresh token among the credentials be one."""
        self.grants[refresh_token] = Grant(refresh_token, self.scopes)

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
        issued = self.tokens.get(token)
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
        return request.headers.get("authorization", "").partition(" ")[2] in self.tokens

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
        token = self.tokens.get(request.headers.get("authorization", "").partition(" ")[2])
        granted = self.scopes if token is None else token.grant.scopes
        if needed is not None and needed not in granted:
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

    def new_id(self) -> uuid.UUID:
        """Return an id for a code or token."""
        return uuid.UUID(int=self._rng.getrandbits(128), version=4)

    def grant(self, scopes: frozenset[str]) -> Grant:
        """Return a new grant; its refresh token lives until the app is removed."""
        granted = Grant(f"na1-{self.new_id()}", scopes)
        self.grants[granted.refresh_token] = granted
        return granted

    def rotate(self, grant: Grant) -> Grant:
        """Replace a refresh token; the old one is worth nothing from here on."""
        del self.grants[grant.refresh_token]
        return self.grant(grant.scopes)

    def open(self, grant: Grant) -> Token:
        """Issue an access token for a grant."""
        life = timedelta(seconds=self._simulator.registration.token_life_s)
        token = Token(f"C{self.new_id().hex}", self._now() + life, grant)
        self.tokens[token.text] = token
        return token

    def code(self, code: str, *, life_s: float) -> Asked | None:
        """
        Return what an authorization code stands for; None for the one among the credentials.

        Raises:
            CodeRefusedError: It opens nothing.
        """
        if code == self._simulator.credentials["authorization_code"] and not self._code_used:
            self._code_used = True
            return None
        return self.codes.read(code, life_s=life_s)


def _scope_of(request: Request) -> str | None:
    """Return the scope that a call needs, None when any token will do."""
    parts = request.url.path.strip("/").split("/")
    if parts[:3] == ["crm", "v3", "owners"]:
        return "crm.objects.owners.read"
    if len(parts) < 4 or parts[0] != "crm" or parts[2] not in _SCOPED:
        return None
    kind = next(
        (
            each
            for each in OBJECT_TYPES.values()
            if parts[3] in (each.name, each.singular, each.type_id)
        ),
        None,
    )
    if kind is None or kind.name == "tickets":
        return None if kind is None else "tickets"
    reads = request.method == "GET" or parts[-1] in ("search", "read")
    area = "schemas" if parts[2] == "properties" else "objects"
    return f"crm.{area}.{kind.name}.{'read' if reads else 'write'}"
