"""Logging in: tokens, how long they live, and the OAuth answers."""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"


def new_secret(rng: random.Random, length: int) -> str:
    """Return a seeded token-like text."""
    return "".join(rng.choice(_LETTERS) for _ in range(length))


class OAuthError(Exception):
    """A refusal of the token endpoint: an object, unlike the API's lists."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": code, "error_description": description}


class SessionBook:
    """
    The live sessions of one connected app.

    Args:
        now: The platform's time.
        rng: Makes new tokens.
        credentials: The app's client id and secret, and the tokens that exist from the start.
        org_id: 15 characters; every access token starts with them.
        timeout_s: A session ends when it is not used for so long.
        rotates: Whether each refresh replaces the refresh token.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
        credentials: Mapping[str, str],
        org_id: str,
        timeout_s: float,
        rotates: bool,
    ) -> None:
        self._now = now
        self._rng = rng
        self._client_id = credentials["client_id"]
        self._client_secret = credentials["client_secret"]
        self._org_id = org_id
        self._timeout = timedelta(seconds=timeout_s)
        self._rotates = rotates
        self._used_at: dict[str, datetime] = {credentials["access_token"]: now()}
        self._refresh_tokens = {credentials["refresh_token"]}

    def is_valid(self, authorization: str | None) -> bool:
        """Return whether the header opens a live session; using it keeps it alive."""
        scheme, _, token = (authorization or "").partition(" ")
        used_at = self._used_at.get(token.strip())
        if scheme.lower() not in {"bearer", "oauth"} or used_at is None:
            return False
        now = self._now()
        if now - used_at > self._timeout:
            del self._used_at[token.strip()]
            return False
        self._used_at[token.strip()] = now
        return True

    def grant(self, form: Mapping[str, str], authorization: str | None) -> dict[str, Any]:
        """
        Answer the token endpoint: the part of the reply that depends on the grant.

        Raises:
            OAuthError: The app or the grant is refused.
        """
        grant_type = form.get("grant_type", "")
        if grant_type not in {"client_credentials", "refresh_token"}:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        self._check_client(form, authorization)
        reply: dict[str, Any] = {"access_token": self._open()}
        if grant_type == "refresh_token":
            presented = form.get("refresh_token", "")
            if presented not in self._refresh_tokens:
                raise OAuthError("invalid_grant", "expired access/refresh token")
            if self._rotates:
                self._refresh_tokens.discard(presented)
                renewed = "5Aep861" + new_secret(self._rng, 60)
                self._refresh_tokens.add(renewed)
                reply["refresh_token"] = renewed
        return reply

    def revoke(self, token: str) -> bool:
        """End a session or a grant; False when there is none."""
        if token in self._refresh_tokens:
            self._refresh_tokens.discard(token)
            return True
        return self._used_at.pop(token, None) is not None

    def sign(self) -> str:
        """Return what stands in the reply for its signature."""
        return base64.b64encode(self._rng.randbytes(32)).decode()

    def _open(self) -> str:
        token = f"{self._org_id}!AQ{new_secret(self._rng, 60)}"
        self._used_at[token] = self._now()
        return token

    def _check_client(self, form: Mapping[str, str], authorization: str | None) -> None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as exc:
                raise OAuthError("invalid_client", "invalid client credentials") from exc
        if client_id != self._client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if secret != self._client_secret:
            raise OAuthError("invalid_client", "invalid client credentials")
