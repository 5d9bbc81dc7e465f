"""Answers as they come from a broken path between client and platform."""

from __future__ import annotations

from starlette.responses import Response

_HTML = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    "<body><h1>Bad Gateway</h1><p>The server is temporarily unable to answer.</p></body></html>"
)


def html_page(status: int) -> Response:
    """Return the page of a gateway where JSON was expected."""
    return Response(_HTML, status_code=status, media_type="text/html")


def halved(response: Response) -> Response:
    """Return the answer with the first half of its body, as a complete HTTP message."""
    body = bytes(response.body)
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(body[: len(body) // 2], status_code=response.status_code, headers=headers)
