"""Asks a token endpoint, and says what its answer means: tokens, not now, or never again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.grant import Grant, TokenForm
from dovetail.connector_sdk.response import retry_after
from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.core.transport import HttpRequest, HttpResponse, Transport, TransportError
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    PlatformUnavailableError,
    RateLimitedError,
)

TIMEOUT_S = 20.0
# A sixth of a token's life, but at most this: early enough that a token endpoint may be away for
# some minutes, and late enough that most of what a token is good for is used.
_MOST_AHEAD_S = 300.0
_LARGEST_ANSWER = 256 * 1024
_NOT_NOW = ("temporarily_unavailable", "server_error")
_MESSAGES = ("error_description", "message", "error")


async def ask(
    grant: Grant,
    form: TokenForm,
    credentials: Credentials,
    *,
    address: str,
    title: str,
    platform: str,
    transport: Transport,
    clock: Clock,
) -> dict[str, str]:
    """
    Return the credentials as they are with the answer's tokens.

    Raises:
        AuthenticationError: The platform will not give a token for this: connect again.
        TransientError: No answer, or none that decides; ask again later.
    """
    call = _TokenCall(title, platform, urlsplit(address).path, credentials)
    request = HttpRequest(
        method="POST",
        url=address,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            **form.headers,
        },
        body=urlencode(dict(form.fields)).encode(),
        timeout_s=TIMEOUT_S,
        max_response_bytes=_LARGEST_ANSWER,
    )
    asked_at = clock.now()
    try:
        answer = await transport.send(request)
    except TransportError as error:
        raise call.error(PlatformUnavailableError, str(error)) from error
    told = _object(answer.body)
    if answer.status != 200:
        wait_s = retry_after(answer.headers, clock.now())
        raise call.refused(answer, told, wait_s)
    token = told.get("access_token")
    if not isinstance(token, str) or not token:
        raise call.error(PlatformUnavailableError, "the answer holds no access token")
    values = {**credentials, "access_token": token, "grant": grant.name}
    kept = {name: told[name] for name in ("refresh_token", *grant.keeps) if told.get(name)}
    values |= {name: str(value) for name, value in kept.items()}
    call.check_address(values, address)
    life_s = _seconds(told.get("expires_in")) or grant.lifetime_s
    for name in ("expires_at", "renew_at"):
        values.pop(name, None)
    if life_s:
        # Counted from the question: the answer may have been on its way for long.
        ahead_s = min(_MOST_AHEAD_S, life_s / 6)
        values["expires_at"] = str(to_micros(asked_at + timedelta(seconds=life_s)))
        values["renew_at"] = str(to_micros(asked_at + timedelta(seconds=life_s - ahead_s)))
    return values


class _TokenCall:
    """What an error must name, and what it must not show."""

    def __init__(self, title: str, platform: str, path: str, credentials: Credentials) -> None:
        self._title = title
        self._platform = platform
        self._path = path
        self._credentials = credentials

    def refused(
        self, answer: HttpResponse, told: Mapping[str, Any], wait_s: float | None
    ) -> ConnectorError:
        message = next((str(told[name]) for name in _MESSAGES if told.get(name)), "no explanation")
        what = f"{answer.status}, {message}"
        if answer.status == 429 or told.get("error") == "rate_limit_exceeded":
            return self.error(RateLimitedError, what, retry_after_s=wait_s)
        if answer.status in (400, 401, 403) and told.get("error") not in _NOT_NOW:
            code = told.get("error") or told.get("status")
            facts = {"platform_code": str(code)} if code else {}
            return self.error(AuthenticationError, what, status=answer.status, **facts)
        # 404 and 405 as well: an address that is wrong for a while is not the grant's end.
        return self.error(PlatformUnavailableError, what, status=answer.status)

    def check_address(self, values: Mapping[str, str], token_address: str) -> None:
        moved = values.get("instance_url", "")
        if moved.startswith("http://") and token_address.startswith("https://"):
            raise self.error(
                AuthenticationError, f"the answer sends calls to {moved}, which is not encrypted"
            )

    def error(self, kind: type[ConnectorError], what: str, **facts: Any) -> ConnectorError:
        advice = (
            f"Authorise again with `dovetail connect {self._platform}`."
            if issubclass(kind, AuthenticationError)
            else "It is tried again; calls go on with the old token for as long as that is good."
        )
        text = f"{self._title} gave no token (POST {self._path}): {what.rstrip(' .')}. {advice}"
        return kind(
            self._credentials.redact(text),
            platform=self._platform,
            operation="renew the access",
            **facts,
        )


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.decode(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(value: Any) -> float | None:
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return None
