"""Rules of failures: each becomes the error that tells what comes next, never an answer."""

from __future__ import annotations

import email.utils
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Account
from dovetail.connector_sdk.spec import Capability
from dovetail.core.transport import HttpResponse, TransportError
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    DovetailError,
    MalformedResponseError,
    PlatformUnavailableError,
    RateLimitedError,
    TransientError,
)
from dovetail.testing.contract.reading import READ
from dovetail.testing.contract.rule import Rules, Setting
from dovetail.testing.contract.stand import Stand

_PAGE = b"<!DOCTYPE html><html><body><h1>Bad Gateway</h1></body></html>"
_BROKEN: tuple[tuple[str, HttpResponse | Exception], ...] = (
    ("503", HttpResponse(status=503, headers={"content-type": "text/html"}, body=_PAGE)),
    ("500", HttpResponse(status=500, body=b'{"message": "Internal error"}')),
    ("html", HttpResponse(status=200, headers={"content-type": "text/html"}, body=_PAGE)),
    ("half", HttpResponse(status=200, body=b'{"results": [{"id": "1", "pro')),
    ("empty", HttpResponse(status=200, body=b"{}")),
    ("list", HttpResponse(status=200, body=b"[]")),
    ("null", HttpResponse(status=200, body=b"null")),
    ("cut", TransportError("connection lost", sent=True)),
)
_SHAPES = ("empty", "list", "null")
"""Complete JSON of the wrong shape: a call by ids may take it for "none of them is there"."""

_FAULTS: tuple[tuple[dict[str, Any], tuple[type[ConnectorError], ...]], ...] = (
    *(
        ({"kind": "server_error", "status": status}, (TransientError,))
        for status in (500, 502, 503, 504)
    ),
    ({"kind": "rate_limit", "seconds": 7}, (RateLimitedError,)),
    ({"kind": "cut_before"}, (PlatformUnavailableError,)),
    ({"kind": "cut_after"}, (PlatformUnavailableError,)),
    ({"kind": "html"}, (TransientError, MalformedResponseError)),
    ({"kind": "html", "status": 200}, (MalformedResponseError,)),
    ({"kind": "truncate"}, (MalformedResponseError,)),
    ({"kind": "expired_token"}, (AuthenticationError,)),
)


class RenewableAccess:
    """Credentials that can be renewed, to the same ones, as often as somebody asks."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.renewals = 0
        self.given_up = 0

    async def current(self) -> Credentials:
        return self.credentials

    async def renew(self, refused: Credentials) -> bool:
        self.renewals += 1
        self.credentials = Credentials(dict(refused))
        return True

    async def give_up(self, error: AuthenticationError) -> None:
        self.given_up += 1

    async def accept(self) -> None:
        """Nothing to end."""


class FailingRules(Rules):
    """What every operation keeps when the platform fails."""

    async def test_each_failure_becomes_its_error(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            made = await stand.seed(2)
            _, cursor = await stand.read()
            stand.edit(made[0], **{stand.sample.text: stand.mark()})
            await stand.settle()
            for place in (None, cursor):
                expected = await stand.page(place)
                for fault, kinds in _FAULTS:
                    await stand.settle()
                    stand.faults(fault | {"count": 1})
                    stand.exchanges.clear()
                    with stand.refusal(*kinds):
                        await stand.page(place)
                    calls = len(stand.exchanges)
                    assert calls == 1, f"{fault}: {calls} calls, but a connector never repeats"
                    stand.faults()
                await stand.settle()
                again = await stand.page(place)
                assert {one.id for one in expected.records} <= {one.id for one in again.records}

    async def test_no_failing_call_passes_for_an_answer(self, indoors: Setting) -> None:
        async with indoors.stand(READ, Capability.READ_MANY) as stand:
            made = await stand.seed(3)
            _, cursor = await stand.read()
            stand.edit(made[0], **{stand.sample.text: stand.mark()})
            await stand.settle()
            works: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
                ("read_page from the beginning", lambda: stand.page(None)),
                ("read_page of changes", lambda: stand.page(cursor)),
                ("read_many", lambda: stand.fetch(*made)),
            ]
            for name, work in works:
                for number in range(await _count_calls(stand, work)):
                    for what, answer in _BROKEN:
                        await _check_broken(stand, name, work, number, what, answer)

    async def test_a_write_that_fails_says_so(self, indoors: Setting) -> None:
        async with indoors.stand(Capability.CREATE) as stand:
            writes = stand.creates(2)
            calls = await _count_calls(stand, lambda: stand.made(*writes))
            for number in range(calls):
                for _, answer in _BROKEN:
                    writes = stand.creates(2)
                    with stand.as_another():
                        stand.transport.instead = _at(number, answer)
                        await _check_write(stand, writes)
                        stand.transport.instead = None
                    await stand.clock.sleep(60)

    async def test_a_platform_that_asks_for_patience_gets_it(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            until = stand.clock.now() + timedelta(seconds=1000)
            for told in ("17", email.utils.format_datetime(until)):
                begun = stand.clock.now()
                seconds = 17.0 if told == "17" else (until - begun).total_seconds()
                refusal = HttpResponse(status=429, headers={"retry-after": told}, body=b"{}")
                stand.transport.instead = _at(0, refusal)
                with stand.refusal(RateLimitedError) as caught:
                    await stand.page()
                stand.transport.instead = None
                assert caught.error is not None
                asked = caught.error.facts.get("retry_after_s")
                assert asked == pytest.approx(seconds, abs=1.5), (
                    f"Retry-After: {told} is {seconds:g} s, the error says {asked}"
                )
                stand.exchanges.clear()
                while not stand.exchanges:
                    try:
                        await stand.page()
                    except RateLimitedError as error:
                        await stand.clock.sleep(float(error.facts["retry_after_s"]))
                waited = (stand.exchanges[0].at - begun).total_seconds()
                assert waited >= seconds - 1.5, f"asked again after {waited:g} s of {seconds:g}"

    async def test_a_limit_is_told_as_the_platform_tells_it(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            stand.faults({"kind": "rate_limit", "seconds": 7, "count": 1})
            with stand.refusal(RateLimitedError) as caught:
                await stand.page()
            response = stand.exchanges[-1].response
            assert response is not None
            told = response.headers.get("retry-after")
            if told is None:
                pytest.skip(f"{setting}: the platform does not say for how long")
            assert caught.error is not None
            assert caught.error.facts["retry_after_s"] == pytest.approx(float(told), abs=1.5)
            begun = stand.clock.monotonic()
            await stand.page()
            assert stand.clock.monotonic() - begun >= float(told) - 1.5

    async def test_a_token_that_ended_is_renewed_once(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            await stand.seed(1)
            for ended in (1, 9):
                access = RenewableAccess(Credentials(stand.credentials))
                with stand.as_another(access):
                    stand.faults({"kind": "expired_token", "count": ended})
                    stand.exchanges.clear()
                    if ended == 1:
                        with stand.accepted("a renewed token opens the door again"):
                            assert (await stand.page()).records
                    else:
                        with stand.refusal(AuthenticationError):
                            await stand.page()
                    assert len(stand.exchanges) == 2, "one call more, with the renewed token"
                    assert access.renewals == 1
                    assert access.given_up == (ended > 1)
                stand.faults()
                await stand.settle()

    async def test_an_answer_that_does_not_come_is_not_waited_for(self, indoors: Setting) -> None:
        async with indoors.stand(READ) as stand:
            stand.faults({"kind": "latency", "seconds": 900, "count": 1})
            begun = stand.clock.monotonic()
            with stand.refusal(PlatformUnavailableError):
                await stand.page()
            assert stand.clock.monotonic() - begun < 120

    async def test_wrong_credentials_are_refused(self, setting: Setting) -> None:
        async with setting.stand() as stand:
            if not isinstance(stand.connector, Account):
                pytest.skip(f"{setting} cannot be asked whose credentials it has")
            await stand.settle()
            name = await stand.connector.identify()
            assert name
            assert name == await stand.connector.identify()
            wrong = {
                key: f"wrong-{value}" if value in stand.secrets else value
                for key, value in stand.credentials.items()
            }
            access = RenewableAccess(Credentials(wrong))
            with stand.as_another(access), stand.refusal(AuthenticationError):
                assert isinstance(stand.connector, Account)
                await stand.connector.identify()


def _at(number: int, answer: HttpResponse | Exception) -> Any:
    """Return what answers one call, by its number, in the platform's place."""
    count = iter(range(10**6))
    return lambda _request: answer if next(count) == number else None


async def _count_calls(stand: Stand, work: Callable[[], Awaitable[Any]]) -> int:
    with stand.as_another():
        stand.exchanges.clear()
        await work()
    return len(stand.exchanges)


async def _check_broken(
    stand: Stand,
    name: str,
    work: Callable[[], Awaitable[Any]],
    number: int,
    what: str,
    answer: HttpResponse | Exception,
) -> None:
    stand.transport.instead = _at(number, answer)
    with stand.as_another():
        try:
            found = await work()
        except ConnectorError as error:
            stand.check(error)
        except Exception as error:
            raise AssertionError(f"{name}, call {number}, {what}: Python's {error!r}") from error
        else:
            is_harmless = name == "read_many" and what in _SHAPES and not any(found)
            assert is_harmless, f"{name}: call {number} failed ({what}) and an answer came back"
        finally:
            stand.transport.instead = None


async def _check_write(stand: Stand, writes: list[Any]) -> None:
    try:
        results = await stand.write(*writes)
    except DovetailError as error:
        stand.check(error)
        results = []
    for write, result in zip(writes, results, strict=False):
        if result.error is None:
            shown = stand.stored(result.id or "")[stand.sample.text]
            assert shown == stand.text_of(write), "a result has the id of another record"
    texts = [record.fields[stand.sample.text] for record in stand.live()]
    for write in writes:
        assert texts.count(stand.text_of(write)) <= 1, "a create was made twice"
