"""Live sessions and what they came from: access tokens, refresh tokens, their ends."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_GRANTS = 5
"""Grants of one user and app that live at a time; a further one ends the oldest."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"


def new_secret(rng: random.Random, length: int) -> str:
    """Return a seeded token-like text."""
    return "".join(rng.choice(_LETTERS) for _ in range(length))


def new_credentials(rng: random.Random, org_id: str) -> dict[str, str]:
    """Return the credentials that an app has from the start; *org_id* has 15 characters."""
    return {
        "access_token": f"{org_id}!AQ{new_secret(rng, 60)}",
        "refresh_token": f"5Aep861{new_secret(rng, 60)}",
        "client_id": f"3MVG9{new_secret(rng, 40)}",
        "client_secret": new_secret(rng, 48),
    }


class OAuthError(Exception):
    """A refusal of the token endpoint: an object, unlike the API's lists."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": code, "error_description": description}


@dataclass(slots=True)
class Session:
    """An access token in use; it ends some time after its last use."""

    scope: str
    used_at: datetime
    refresh_token: str | None = None


class SessionBook:
    """
    The live sessions and grants of one connected app.

    Args:
        now: The platform's time.
        rng: Makes new tokens.
        credentials: The tokens that exist from the start.
        org_id: 15 characters; every access token starts with them.
        timeout_s: A session ends when it is not used for so long.
        scope: What the grant from the start allows.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
        credentials: Mapping[str, str],
        org_id: str,
        timeout_s: float,
        scope: str,
    ) -> None:
        self._now = now
        self._rng = rng
        self._org_id = org_id
        self._timeout = timedelta(seconds=timeout_s)
        first = credentials["refresh_token"]
        self._grants: dict[str, str] = {first: scope}
        self._sessions = {credentials["access_token"]: Session(scope, now(), first)}

    def is_valid(self, authorization: str | None) -> bool:
        """Return whether the header opens a live session; using it keeps it alive."""
        scheme, _, token = (authorization or "").partition(" ")
        session = self._sessions.get(token.strip())
        if scheme.lower() not in {"bearer", "oauth"} or session is None:
            return False
        now = self._now()
        if now - session.used_at > self._timeout:
            del self._sessions[token.strip()]
            return False
        session.used_at = now
        return True

    def open(self, scope: str, refresh_token: str | None = None) -> str:
        """Return a new access token, of that grant if it came from one."""
        token = f"{self._org_id}!AQ{new_secret(self._rng, 60)}"
        self._sessions[token] = Session(scope, self._now(), refresh_token)
        return token

    def grant(self, scope: str) -> str:
        """Return a new refresh token."""
        token = "5Aep861" + new_secret(self._rng, 60)
        self._grants[token] = scope
        for oldest in list(self._grants)[:-MAX_GRANTS]:
            self._end(oldest)
        return token

    def scope_of(self, refresh_token: str) -> str | None:
        """Return what a grant allows; None when there is no such grant."""
        return self._grants.get(refresh_token)

    def rotate(self, refresh_token: str) -> str:
        """Replace a refresh token; the old one is worth nothing from here on."""
        renewed = "5Aep861" + new_secret(self._rng, 60)
        self._grants[renewed] = self._grants.pop(refresh_token)
        for session in self._sessions.values():
            if session.refresh_token == refresh_token:
                session.refresh_token = renewed
        return renewed

    def revoke(self, token: str) -> bool:
        """End a session, or a grant with all its sessions; False when there is none."""
        if token in self._grants:
            self._end(token)
            return True
        return self._sessions.pop(token, None) is not None

    def sign(self) -> str:
        """Return what stands in the reply for its signature."""
        return base64.b64encode(self._rng.randbytes(32)).decode()

    def new_code(self) -> str:
        """Return an authorization code; its ``=`` have to be encoded in URLs and forms."""
        return f"aPrx{new_secret(self._rng, 60)}=="

    def _end(self, refresh_token: str) -> None:
        del self._grants[refresh_token]
        for token, session in list(self._sessions.items()):
            if session.refresh_token == refresh_token:
                del self._sessions[token]
