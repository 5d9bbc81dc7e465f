"""
The part of OAuth that a person sees: a page that asks, and the way back with a code.

::

    GET  {authorize}?client_id&redirect_uri&scope&state   the page
    POST the same URL, decision=allow                     302 to redirect_uri?code&state
    POST the same URL, decision=deny                      302 to redirect_uri?error=access_denied

What is refused, and in which words, is the platform's own affair.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

ALLOW = "allow"

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px sans-serif;max-width:32em;margin:4em auto}}button{{font:inherit}}</style>
</head><body><h1>{title}</h1>
{content}
</body></html>
"""
_FORM = """<p>The application <b>{client}</b> asks for access to this account:</p>
<ul>{scopes}</ul>
<form method="post">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
<p>This is a sandbox: nobody has to log in.</p>"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an application asked a person for."""

    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    state: str | None = None
    challenge: str | None = None

    def is_answered_by(self, verifier: str | None) -> bool:
        """Return whether this is the verifier (PKCE, S256) of the challenge."""
        if self.challenge is None:
            return True
        digest = hashlib.sha256((verifier or "").encode()).digest()
        expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return hmac.compare_digest(expected.encode(), self.challenge.rstrip("=").encode())


class CodeRefusedError(Exception):
    """A code that opens nothing; `reason` says why."""

    def __init__(self, reason: Literal["unknown", "used", "expired"]) -> None:
        super().__init__(f"the authorization code is {reason}")
        self.reason = reason


class CodeBook:
    """The authorization codes that were issued; each opens once, for a while."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._codes: dict[str, tuple[Asked, datetime]] = {}
        self._used: set[str] = set()

    def issue(self, code: str, asked: Asked) -> None:
        """Remember a code and what it stands for."""
        self._codes[code] = (asked, self._now())

    def read(self, code: str, *, life_s: float) -> Asked:
        """
        Return what a code stands for; it stays usable.

        Raises:
            CodeRefusedError: It is unknown, used or too old.
        """
        if code in self._used:
            raise CodeRefusedError("used")
        if code not in self._codes:
            raise CodeRefusedError("unknown")
        asked, issued_at = self._codes[code]
        if self._now() - issued_at > timedelta(seconds=life_s):
            raise CodeRefusedError("expired")
        return asked

    def use(self, code: str) -> None:
        """Let a code open nothing any more."""
        self._used.add(code)
        self._codes.pop(code, None)


def is_absolute(uri: str) -> bool:
    """Return whether a person can be sent to this URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and not parts.fragment


def consent_page(platform: str, client: str, scopes: Sequence[str]) -> Response:
    """Return the page that asks a person; its buttons post to the URL of the page."""
    listed = "".join(f"<li>{escape(scope)}</li>" for scope in scopes)
    content = _FORM.format(client=escape(client), scopes=listed)
    return _page(f"Connect to {platform}", content, 200)


def refusal_page(platform: str, message: str, *, status: int = 400) -> Response:
    """Return the page for a request that cannot even be asked: the person is not sent back."""
    return _page(f"{platform}: cannot connect", f"<p>{escape(message)}</p>", status)


async def _decision_in(request: Request) -> str:
    """Return what the person chose."""
    return dict(parse_qsl((await request.body()).decode(errors="replace"))).get("decision", "")


async def answer_decision(
    request: Request,
    asked: Asked | Response,
    *,
    book: CodeBook,
    new_code: Callable[[], str],
    denied: str,
) -> Response:
    """
    Send the person back to the app, with a code if they allowed it.

    Args:
        request: What the person posted.
        asked: What was asked for, or the page that says why it cannot be: that is the answer then.
        book: Where the code is entered.
        new_code: Makes one.
        denied: The platform's words for an app that is told no.
    """
    if isinstance(asked, Response):
        return asked
    if await _decision_in(request) != ALLOW:
        return send_back(asked, error="access_denied", error_description=denied)
    code = new_code()
    book.issue(code, asked)
    return send_back(asked, code=code)


def send_back(asked: Asked, **answer: str) -> Response:
    """Return the redirect with an answer, and the state if there was one."""
    parts = urlsplit(asked.redirect_uri)
    query = parse_qsl(parts.query, keep_blank_values=True) + list(answer.items())
    if asked.state is not None:
        query.append(("state", asked.state))
    return RedirectResponse(urlunsplit(parts._replace(query=urlencode(query))), status_code=302)


def _page(title: str, content: str, status: int) -> Response:
    return Response(
        _PAGE.format(title=escape(title), content=content),
        status_code=status,
        media_type="text/html",
        headers={"Cache-Control": "no-store"},
    )
