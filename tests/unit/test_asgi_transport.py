from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dovetail.core import json
from dovetail.core.transport import HttpRequest, TransportError
from dovetail.testing.asgi import AsgiTransport

finished = []


async def echo(request: Request):
    return JSONResponse(
        {
            "path": request.url.path,
            "query": dict(request.query_params),
            "host": request.headers["host"],
            "body": (await request.body()).decode(),
        }
    )


async def slow(request: Request):
    await asyncio.sleep(60)
    finished.append(request.url.path)
    return Response()


async def crash(request: Request):
    raise RuntimeError("no")


async def large(request: Request):
    return Response(b"x" * 1000)


async def silent(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


def transport():
    routes = [Route(f"/{f.__name__}", f, methods=["GET", "POST"]) for f in (slow, crash, large)]
    routes.append(Route("/{rest:path}", echo, methods=["GET", "POST"]))
    return AsgiTransport({"https://one.example.com": Starlette(routes=routes), "http://s": silent})


def call(path, **options):
    url = path if "://" in path else f"https://one.example.com{path}"
    return HttpRequest(method="POST", url=url, **options)


async def test_the_application_sees_path_query_host_and_body():
    answer = await transport().send(call("/a%20b?x=%C3%A9&y=1", body=b"hello"))

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert json.decode(answer.body) == {
        "path": "/a b",
        "query": {"x": "é", "y": "1"},
        "host": "one.example.com",
        "body": "hello",
    }


@pytest.mark.parametrize("url", ["https://two.example.com/", "https://one.example.com.evil.org/"])
async def test_what_nobody_answers_for_cannot_be_reached(url):
    with pytest.raises(TransportError, match="cannot reach") as caught:
        await transport().send(call(url))

    assert caught.value.sent is False


async def test_a_slow_application_goes_on_after_the_caller_gave_up():
    carrier = transport()
    with pytest.raises(TransportError, match="no answer in 5 s") as caught:
        await carrier.send(call("/slow", timeout_s=5))
    finished.clear()
    await asyncio.sleep(56)

    assert caught.value.sent is True
    assert finished == ["/slow"]


async def test_closing_stops_what_still_runs():
    carrier = transport()
    with pytest.raises(TransportError):
        await carrier.send(call("/slow", timeout_s=5))
    finished.clear()
    await carrier.close()
    await asyncio.sleep(60)

    assert finished == []


@pytest.mark.parametrize(
    ("path", "options"),
    [("/large", {"max_response_bytes": 999}), ("http://s/", {})],
)
async def test_a_large_or_incomplete_answer_is_an_error(path, options):
    with pytest.raises(TransportError) as caught:
        await transport().send(call(path, **options))

    assert caught.value.sent is True


async def test_a_crash_is_what_a_server_makes_of_it():
    answer = await transport().send(call("/crash"))

    assert answer.status == 500
