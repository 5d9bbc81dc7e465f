"""Rules of lost answers: a write is never repeated blindly, and is found again by looking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from dovetail.connector_sdk.record import Write, WriteResult
from dovetail.connector_sdk.spec import Capability, Guarantee
from dovetail.core.transport import HttpRequest
from dovetail.errors import ConnectorError, OutcomeUnknownError, TransientError
from dovetail.testing.contract.rule import Rules, Setting
from dovetail.testing.contract.stand import Stand

CREATE, UPDATE, DELETE = Capability.CREATE, Capability.UPDATE, Capability.DELETE
CUT_AFTER = {"kind": "cut_after"}
CUT_BEFORE = {"kind": "cut_before"}
FAILED = {"kind": "server_error", "status": 503}


class LosingRules(Rules):
    """What `write` and `look_up` keep when nobody knows whether a write was applied."""

    async def test_a_create_whose_answer_is_lost_is_made_once(self, setting: Setting) -> None:
        async with setting.stand(CREATE) as stand:
            place = await place_of_a_write(stand, "create")
            writes, since = stand.creates(3), stand.clock.now()
            lost = await _lose(stand, writes, CUT_AFTER | place)
            assert len(stand.live()) == 3, "a create was repeated, or never sent"
            assert all(one.may_be_applied for one in lost), "the error says that it may be there"
            await stand.clock.sleep(stand.resource.answer_lag_s + 1)
            never = stand.create()
            missing, *found = await stand.records.look_up(
                stand.resource, [never, *writes], since, stand.fields
            )
            assert missing is None, "look_up found a record that was never created"
            for write, record in zip(writes, found, strict=True):
                assert record is not None, "look_up did not find what the lost create made"
                assert stand.stored(record.id)[stand.sample.text] == stand.text_of(write)
            if stand.connector.guarantees(stand.resource)["create"] is not Guarantee.LOOK_UP:
                again = await stand.made(*writes)
                assert [one.id for one in again] == [one.id for one in found if one is not None]
                assert len(stand.live()) == 3, "a repeated create made another record"

    async def test_a_create_that_never_arrived_is_not_found(self, setting: Setting) -> None:
        async with setting.stand(CREATE) as stand:
            place = await place_of_a_write(stand, "create")
            for fault in (CUT_BEFORE, FAILED):
                writes, since = stand.creates(2), stand.clock.now()
                before = len(stand.live())
                await _lose(stand, writes, fault | place)
                assert len(stand.live()) == before
                await stand.clock.sleep(stand.resource.answer_lag_s + 1)
                found = await stand.records.look_up(stand.resource, writes, since, stand.fields)
                assert found == [None, None]
                await stand.made(*writes)
                assert len(stand.live()) == before + 2

    async def test_an_update_whose_answer_is_lost_is_sent_once(self, setting: Setting) -> None:
        async with setting.stand(CREATE, UPDATE) as stand:
            place = await place_of_a_write(stand, "update")
            (made,) = await stand.made(stand.create())
            for fault in (CUT_AFTER, CUT_BEFORE, FAILED):
                write = stand.update(made.id or "")
                await _lose(stand, [write], fault | place)
                is_there = stand.stored(made.id or "")[stand.sample.text] == stand.text_of(write)
                assert is_there == (fault is CUT_AFTER)
                await stand.made(write)
                assert stand.stored(made.id or "")[stand.sample.text] == stand.text_of(write)

    async def test_a_delete_whose_answer_is_lost_can_be_repeated(self, setting: Setting) -> None:
        async with setting.stand(CREATE, DELETE) as stand:
            place = await place_of_a_write(stand, "delete")
            (made,) = await stand.made(stand.create())
            write = stand.delete(made.id or "")
            stand.faults(CUT_AFTER | place | {"count": 1})
            stand.exchanges.clear()
            await _errors(stand, [write])
            calls = sum(_matches(one.request, place, stand) for one in stand.exchanges)
            assert calls == 1, "a delete was repeated"
            stand.faults()
            await stand.write(write)
            assert not stand.live()

    async def test_an_update_that_is_refused_for_a_limit_was_not_made(
        self, setting: Setting
    ) -> None:
        async with setting.stand(CREATE, UPDATE) as stand:
            place = await place_of_a_write(stand, "update")
            (made,) = await stand.made(stand.create())
            write = stand.update(made.id or "")
            (error,) = await _lose(stand, [write], {"kind": "rate_limit", "seconds": 3} | place)
            assert isinstance(error, TransientError), repr(error)
            assert stand.stored(made.id or "")[stand.sample.text] != stand.text_of(write)


async def place_of_a_write(stand: Stand, action: str) -> dict[str, Any]:
    """Return method and path of the call that makes such writes, as a fault names it."""
    write = stand.create()
    if action != "create":
        (made,) = await stand.made(stand.create())
        write = stand.update(made.id or "") if action == "update" else stand.delete(made.id or "")
    stand.exchanges.clear()
    (result,) = await stand.made(write)
    sought = result.id or "" if action == "delete" else stand.text_of(write)
    sent = [one.request for one in stand.exchanges if one.carries(sought)]
    if not sent:
        pytest.skip(f"{stand.bench.connector.platform} says in no request what it writes")
    if action != "delete":
        stand.remove(result.id or "")
    path = urlsplit(sent[0].url).path.removeprefix(urlsplit(stand.simulator.base_url).path)
    for own in (result.id, write.key):
        path = path.replace(own, "*") if own else path
    return {"path": path, "method": sent[0].method}


async def _errors(stand: Stand, writes: Sequence[Write]) -> list[ConnectorError]:
    """Return the error of each write, all of which must have one."""
    try:
        results: list[WriteResult] = await stand.write(*writes)
    except ConnectorError as error:
        stand.check(error)
        return [error] * len(writes)
    errors = [one.error for one in results if one.error is not None]
    assert len(errors) == len(writes), "the platform's failure was told as a success"
    return errors


async def _lose(
    stand: Stand, writes: Sequence[Write], fault: dict[str, Any]
) -> list[ConnectorError]:
    """Write while a fault strikes once; the connector must say so and leave it at that."""
    stand.faults(fault | {"count": 1})
    stand.exchanges.clear()
    errors = await _errors(stand, writes)
    stand.faults()
    calls = stand.calls_with(*(stand.text_of(write) for write in writes))
    assert calls == 1, f"the call was made {calls} times: a connector never repeats"
    guarantee = stand.connector.guarantees(stand.resource)[writes[0].action]
    for error in errors:
        assert isinstance(error, OutcomeUnknownError | TransientError), repr(error)
        if guarantee is Guarantee.LOOK_UP and fault["kind"] != "rate_limit":
            assert isinstance(error, OutcomeUnknownError), (
                f"{guarantee}: only looking tells what became of it, but the error is {error!r}"
            )
    return errors


def _matches(request: HttpRequest, place: dict[str, Any], stand: Stand) -> bool:
    path = urlsplit(request.url).path.removeprefix(urlsplit(stand.simulator.base_url).path)
    is_same = path.startswith(str(place["path"]).partition("*")[0])
    return request.method == place["method"] and is_same
