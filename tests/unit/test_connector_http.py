"""The door to platforms: what leaves, which error each answer becomes, and what is never shown."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from dovetail.connector_sdk.auth import BearerToken, Credentials
from dovetail.connector_sdk.http import AiohttpTransport, Api, ErrorDetail
from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connector_sdk.registry import connector_class, platforms
from dovetail.connector_sdk.spec import ErrorRule, RateLimit
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpRequest, HttpResponse, TransportError
from dovetail.errors import (
    AuthenticationError,
    CursorExpiredError,
    MalformedResponseError,
    MissingCredentialError,
    OutcomeUnknownError,
    PermanentError,
    PermissionDeniedError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    StoreError,
    TransientError,
    UnknownPlatformError,
    UsageError,
)

TOKEN = "tok-3f9d/8a77 b1c2"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Script:
    """A transport that plays answers in turn and keeps the requests."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self):
        pass


def answer(status, body=b"", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=status, headers=named, body=body)


def new_api(*answers, **options):
    clock = LoopClock(START)
    script = Script(*answers)
    budget = StoredBudget(
        store=MemoryBudgetStore(),
        account="acme:1",
        limits=[RateLimit("all", 100, per_s=10)],
        clock=clock,
    )
    facts = {
        "platform": "acme",
        "title": "Acme",
        "base_url": "https://api.acme.test/v1",
        "auth": BearerToken(),
        "credentials": Credentials({"access_token": TOKEN}),
        "transport": script,
        "budget": budget,
        "clock": clock,
        **options,
    }
    return Api(**facts), script


def write(api, **options):
    return api.request("POST", "/things", operation="create things", json={"a": 1}, **options)


def read(api, **options):
    return api.request("GET", "/things", operation="list things", repeatable=True, **options)


async def test_a_request_carries_the_token_the_query_and_the_body():
    api, script = new_api(answer(200, b'{"id": "7"}'))

    reply = await write(api, query={"a b": "x&y", "many": ["1", "2"]})

    (request,) = script.requests
    assert reply.json == {"id": "7"}
    assert request.url == "https://api.acme.test/v1/things?a%20b=x%26y&many=1&many=2"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.body == b'{"a":1}'
    assert api.calls == {"create things": 1}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RecordInvalidError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, RecordNotFoundError),
        (409, RecordConflictError),
        (410, RecordNotFoundError),
        (418, PermanentError),
        (302, PermanentError),
        (422, RecordInvalidError),
        (423, TransientError),
        (429, RateLimitedError),
        (500, OutcomeUnknownError),
        (503, OutcomeUnknownError),
    ],
)
async def test_a_status_becomes_the_error_that_says_what_happens_next(status, kind):
    api, _ = new_api(answer(status, b'{"message": "no luck"}'))

    with pytest.raises(kind, match=r"Acme could not create things \(POST /things\).*no luck") as e:
        await write(api)

    assert type(e.value) is kind
    assert e.value.status == status
    assert e.value.platform == "acme"


@pytest.mark.parametrize(
    ("broken", "repeatable", "kind"),
    [
        (TransportError("refused", sent=False), False, PlatformUnavailableError),
        (TransportError("cut", sent=True), False, OutcomeUnknownError),
        (TransportError("cut", sent=True), True, PlatformUnavailableError),
        (answer(502, b"<html>bad gateway</html>"), True, PlatformUnavailableError),
        (answer(502, b"<html>bad gateway</html>"), False, OutcomeUnknownError),
        (answer(200, b"<html>log in</html>"), True, MalformedResponseError),
        (answer(200, b"<html>log in</html>"), False, OutcomeUnknownError),
        (answer(200, b'{"resul'), True, MalformedResponseError),
        (answer(200, b"[]"), True, MalformedResponseError),
        (answer(200, b""), True, MalformedResponseError),
    ],
)
async def test_a_lost_answer_is_judged_by_whether_the_call_may_be_repeated(
    broken, repeatable, kind
):
    api, _ = new_api(broken)

    with pytest.raises(kind):
        await write(api, repeatable=repeatable, expects=("results",))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "12"}, 12),
        ({"retry_after": "Sun, 01 Mar 2026 09:00:40 GMT"}, 40),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_rate_limit_pauses_the_account_for_as_long_as_the_platform_says(headers, seconds):
    api, _ = new_api(answer(429, b"{}", **headers), answer(200, b"{}"))

    with pytest.raises(RateLimitedError) as caught:
        await read(api)
    refused_at = api.clock.now()
    await read(api)

    assert caught.value.retry_after_s == pytest.approx(seconds) if seconds else True
    assert (caught.value.retry_after_s is None) == (seconds is None)
    waited = (api.clock.now() - refused_at).total_seconds()
    assert waited == pytest.approx(seconds or 1, abs=0.01)


async def test_what_the_platform_explains_is_told():
    def explain(response):
        return ErrorDetail("taken", code="DUP", fields={"a": "bad"}, existing_id="9")

    api, _ = new_api(answer(409), answer(400), explain=explain)

    with pytest.raises(RecordConflictError) as conflict:
        await write(api)
    with pytest.raises(RecordInvalidError) as invalid:
        await write(api)

    assert conflict.value.existing_id == "9"
    assert conflict.value.platform_code == "DUP"
    assert invalid.value.fields == {"a": "bad"}


async def test_the_first_error_rule_that_fits_wins_over_the_status():
    rules = (
        ErrorRule(CursorExpiredError, status=400, code="OLD"),
        ErrorRule(PermissionDeniedError, status=400),
    )
    api, _ = new_api(answer(400, b'{"code":"OLD"}'), answer(400, b"{}"), error_rules=rules)

    with pytest.raises(CursorExpiredError):
        await read(api)
    with pytest.raises(PermissionDeniedError):
        await read(api)


@pytest.mark.parametrize(
    "broken",
    [
        answer(400, f'{{"message": "bad token {TOKEN}"}}'.encode()),
        answer(200, f"<html>{TOKEN}</html>".encode()),
        answer(500, b"<a href='/?key=tok-3f9d%2F8a77%20b1c2'>"),
        TransportError(f"no route for {TOKEN}", sent=True),
    ],
)
async def test_no_error_shows_a_credential(broken):
    api, _ = new_api(broken)

    with pytest.raises(Exception, match=r"\[redacted\]") as caught:
        await read(api)

    assert TOKEN not in str(caught.value.to_record())
    assert "8a77" not in str(caught.value)
    assert TOKEN not in repr(Credentials({"access_token": TOKEN}))


async def test_without_a_credential_nothing_is_sent():
    api, script = new_api(credentials=Credentials({}))

    with pytest.raises(MissingCredentialError, match="dovetail connect acme"):
        await read(api)

    assert script.requests == []


@pytest.mark.parametrize(
    "url", ["https://evil.test/v1/x", "http://api.acme.test/x", "https://api.acme.test:444/x"]
)
async def test_credentials_never_leave_for_another_origin(url):
    api, script = new_api()

    with pytest.raises(MalformedResponseError, match="not called"):
        await api.request("GET", url, operation="follow a link")

    assert script.requests == []


@pytest.mark.parametrize("path", ["things", "//evil.test/x"])
async def test_a_path_begins_with_one_slash(path):
    api, _ = new_api()

    with pytest.raises(UsageError):
        await api.request("GET", path, operation="list things")


async def test_a_link_to_the_same_origin_is_followed_as_it_is():
    api, script = new_api(answer(200, b"{}"))

    await api.request("GET", "https://api.acme.test/v2/x?after=%3D", operation="follow a link")

    assert script.requests[0].url == "https://api.acme.test/v2/x?after=%3D"


async def test_a_body_that_is_no_json_is_fine_where_it_was_asked_for():
    api, _ = new_api(answer(200, b"a,b\n1,2\n"))

    reply = await read(api, headers={"Accept": "text/csv"})

    assert reply.body == b"a,b\n1,2\n"


async def test_a_busy_database_does_not_lose_the_answer_to_a_write():
    class BusyBudget:
        async def acquire(self, path):
            pass

        async def observe(self, path, status, headers):
            raise StoreError("busy")

        async def pause(self, seconds, **of_what):
            raise StoreError("busy")

    api, _ = new_api(answer(201, b'{"id":"1"}'), answer(429), budget=BusyBudget())

    assert (await write(api)).json == {"id": "1"}
    with pytest.raises(RateLimitedError):
        await write(api)


def test_every_connector_of_the_folder_is_found_by_its_name():
    assert "hubspot" in platforms()
    for name in platforms():
        assert connector_class(name).platform == name


def test_an_unknown_platform_names_the_closest_one():
    with pytest.raises(UnknownPlatformError, match="Did you mean 'hubspot'"):
        connector_class("hubspto")


# --- the wire ---


@asynccontextmanager
async def server(reply, *, seen=None):
    """Serve raw bytes on the loopback; None hangs up without a word, ... never answers."""
    served = []

    async def serve(reader, writer):
        served.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head.decode())
        if reply is ...:
            await reader.read(-1)
        elif reply is not None:
            writer.write(reply)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = AiohttpTransport()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", transport
    finally:
        await transport.close()
        listening.close()
        await asyncio.gather(*served)
        await listening.wait_closed()


@pytest.mark.real_time
async def test_the_wire_carries_one_request_and_its_answer_untouched():
    seen = []
    reply = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nhi"
    async with server(reply, seen=seen) as (url, transport):
        found = await transport.send(HttpRequest(method="GET", url=f"{url}/a?q=%2C%20b"))

    assert (found.status, found.body, found.headers["x-a"]) == (302, b"hi", "1, 2")
    assert len(seen) == 1
    assert seen[0].startswith("GET /a?q=%2C%20b HTTP/1.1")


@pytest.mark.real_time
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_cut_connection_may_have_been_served_and_is_not_repeated(method):
    seen = []
    async with server(None, seen=seen) as (url, transport):
        with pytest.raises(TransportError) as caught:
            await transport.send(HttpRequest(method=method, url=url))

    assert caught.value.sent
    assert len(seen) == 1


@pytest.mark.real_time
@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100,
        b"not http at all\r\n\r\n",
    ],
    ids=["truncated", "too-large", "no-http"],
)
async def test_an_answer_that_is_not_whole_is_no_answer(reply):
    async with server(reply) as (url, transport):
        with pytest.raises(TransportError) as caught:
            await transport.send(HttpRequest(method="GET", url=url, max_response_bytes=50))

    assert caught.value.sent


@pytest.mark.real_time
async def test_a_refused_connection_has_sent_nothing():
    async with server(b"") as (url, _):
        pass
    transport = AiohttpTransport()

    with pytest.raises(TransportError) as caught:
        await transport.send(HttpRequest(method="POST", url=f"{url}/?hapikey=s3cret", body=b"{}"))
    await transport.close()

    assert not caught.value.sent
    assert "s3cret" not in str(caught.value)


@pytest.mark.real_time
async def test_a_slow_answer_may_have_been_served():
    async with server(...) as (url, transport):
        with pytest.raises(TransportError, match="in time") as caught:
            await transport.send(HttpRequest(method="GET", url=url, timeout_s=0.1))

    assert caught.value.sent
