"""Connections that are refused: marked once, probed by one, forgotten with what they held up."""

from datetime import timedelta

import sqlalchemy as sa

from dovetail.app.schema import upgrade
from dovetail.core.clock import to_micros
from dovetail.runtime.refusal import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    clear_refused,
    is_refused,
    list_refusals,
    load_refusal,
    mark_refused,
    put_off,
    take_probe,
    take_untold,
)
from dovetail.runtime.store.schema import DEAD, OPEN, SCHEDULED, deliveries
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports


async def opened():
    ports = seeded_ports()
    store = SqliteStore(":memory:", ports)
    await store.open()
    await store.migrate(upgrade)
    return store, ports.clock.now()


def in_s(now, seconds):
    return now + timedelta(seconds=seconds)


async def test_a_refusal_is_news_once_and_keeps_when_it_began():
    store, now = await opened()
    assert await store.write(lambda tx: mark_refused(tx, "c1", "token revoked", now))
    later = in_s(now, 5)
    assert not await store.write(lambda tx: mark_refused(tx, "c1", "still revoked", later))

    found = await store.read(list_refusals)
    assert set(found) == {"c1"}
    assert (found["c1"].since, found["c1"].why) == (now, "still revoked")
    assert not await store.read(lambda tx: is_refused(tx, "c2"))
    await store.close()


async def test_one_caller_probes_and_the_waits_grow_to_a_bound():
    store, now = await opened()
    await store.write(lambda tx: mark_refused(tx, "c1", "no", now))
    assert not await store.write(lambda tx: take_probe(tx, "c1", in_s(now, FIRST_PROBE_S - 1)))

    waits, moment = [], in_s(now, FIRST_PROBE_S)
    for _ in range(8):
        assert await store.write(lambda tx, at=moment: take_probe(tx, "c1", at))
        assert not await store.write(lambda tx, at=moment: take_probe(tx, "c1", at))
        refusal = await store.read(lambda tx: load_refusal(tx, "c1"))
        waits.append(refusal.wait_s(moment))
        moment = refusal.probe_at
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2 * FIRST_PROBE_S, LONGEST_PROBE_S)
    await store.close()


async def test_a_clock_that_is_set_back_does_not_put_the_probe_off():
    store, now = await opened()
    await store.write(lambda tx: mark_refused(tx, "c1", "no", now))
    assert await store.write(lambda tx: take_probe(tx, "c1", in_s(now, -86_400)))
    await store.close()


async def test_it_is_told_once():
    store, now = await opened()
    await store.write(lambda tx: mark_refused(tx, "c1", "no", now))
    assert (await store.write(lambda tx: take_untold(tx, "c1"))).why == "no"
    assert await store.write(lambda tx: take_untold(tx, "c1")) is None
    await store.close()


async def test_what_was_put_off_is_due_when_the_credentials_are_good():
    store, now = await opened()
    due = to_micros(in_s(now, 300))
    rows = [
        {"id": id, "event_seq": id, "handler": "h", "business_id": "b", "status": status}
        | {"attempt": 3, "due_at": 0}
        for id, status in ((1, OPEN), (2, DEAD))
    ]
    await store.write(lambda tx: tx.run(sa.insert(deliveries), rows))
    await store.write(lambda tx: put_off(tx, [1, 2], due_at=due, error=b"{}"))
    query = sa.select(deliveries).order_by(deliveries.c.id)
    first, second = await store.read(lambda tx: tx.rows(query))
    assert (first.status, first.attempt, first.due_at) == (SCHEDULED, 3, due)
    assert second.status == DEAD

    await store.write(lambda tx: mark_refused(tx, "c1", "no", now))
    assert await store.write(lambda tx: clear_refused(tx, "c1", now))
    assert not await store.write(lambda tx: clear_refused(tx, "c1", now))
    first, _ = await store.read(lambda tx: tx.rows(query))
    assert first.due_at == to_micros(now)
    await store.close()
