"""What the app asked token endpoints for, and what became of it: seen from the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from dovetail.connector_sdk.response import retry_after
from dovetail.core import json
from dovetail.core.clock import Clock
from dovetail.core.transport import HttpRequest, HttpResponse

_PATH_END = "/token"


@dataclass(slots=True)
class Asked:
    """
    One request to a token endpoint.

    Attributes:
        token: The refresh token that was sent.
        life: Which life of the app asked.
        ended_s: When the app had an answer, or knew that there is none; None: it died before.
        status: Of the answer; None where there is none.
        gave: The refresh token of the answer.
        wait_s: For how long the answer asked to be left alone.
    """

    url: str
    token: str
    life: str
    began_s: float
    ended_s: float | None = None
    status: int | None = None
    gave: str | None = None
    wait_s: float = 0.0


@dataclass(slots=True)
class Tokens:
    """
    All requests to token endpoints, and every token that was given.

    Attributes:
        unsaved: The lives that died with an answer that they had not stored.
        refused: The connections that were still refused in the end.
    """

    asked: list[Asked] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    unsaved: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def begin(
        self, request: HttpRequest, life: str, clock: Clock
    ) -> Callable[[HttpResponse | None], None]:
        """Note a request that leaves; return what notes its answer, or that there is none."""
        if not is_token_request(request):
            return _nothing
        form = parse_qs(request.body.decode())
        token = form.get("refresh_token", [""])[0]
        asked = Asked(request.url, token, life, clock.monotonic())
        self.asked.append(asked)

        def end(answer: HttpResponse | None) -> None:
            asked.ended_s = clock.monotonic()
            if answer is None:
                return
            asked.status = answer.status
            asked.wait_s = retry_after(answer.headers, clock.now()) or 0.0
            told = _object(answer.body)
            if answer.status == 200:
                asked.gave = told.get("refresh_token") or (token if told else None)
            self.given.update(
                told[name] for name in ("access_token", "refresh_token") if told.get(name)
            )

        return end

    def by_token(self) -> dict[tuple[str, str], list[Asked]]:
        """Return the renewals by endpoint and refresh token, in their order."""
        found: dict[tuple[str, str], list[Asked]] = {}
        for one in self.asked:
            if one.token:
                found.setdefault((one.url, one.token), []).append(one)
        return found


def is_token_request(request: HttpRequest) -> bool:
    """Return whether a request asks for tokens."""
    return request.method == "POST" and request.url.endswith(_PATH_END)


def _nothing(_: HttpResponse | None) -> None: ...


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.decode(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
