"""Old history goes; what is not over, and what is no history, stays."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail import Entity, Event, db, idempotent, on, send, step
from dovetail.app.retention import Retention, measure
from dovetail.app.schema import upgrade
from dovetail.core.clock import to_micros
from dovetail.core.settings import Settings
from dovetail.errors import PermanentError
from dovetail.runtime.dead_letter import discard_dead, list_dead, replay_dead
from dovetail.runtime.store.schema import STATUS_NAMES, deliveries, events, steps
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import START, running_app, seeded_ports
from dovetail.testing.loop import run

DAY_S = 86_400.0


class Kept(Entity):
    name: str = ""


@on("thing.happened")
async def handle(event: Event) -> None:
    await step("look", str, event.key)
    if event.key == "bad":
        raise PermanentError("never")


async def counts(store):
    def read(tx):
        return {
            table.name: tx.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (events, deliveries, steps)
        }

    return await store.read(read)


async def keys(store):
    return await store.read(lambda tx: {row.key for row in tx.rows(sa.select(events.c.key))})


async def happened(app, *names, delay=None):
    async with app.session():
        for name in names:
            await send("thing.happened", {}, key=name, delay=delay)
    await app.runtime.wait_idle()


async def test_what_is_over_for_thirty_days_goes_with_its_run_and_its_steps():
    async with running_app(handle, schedules=False) as app:
        await happened(app, "old")
        await asyncio.sleep(20 * DAY_S)
        await happened(app, "young")
        await asyncio.sleep(11 * DAY_S)

        assert await app.operations.retention.sweep() == {
            "events": 1, "deliveries": 1, "steps": 1
        }  # fmt: skip

        assert await keys(app.store) == {"young"}
        assert await counts(app.store) == {"events": 1, "deliveries": 1, "steps": 1}


async def test_what_waits_or_died_stays_whole_and_goes_on():
    async with running_app(handle, schedules=False) as app:
        await happened(app, "bad")
        await happened(app, "delayed", delay="100 days")
        await asyncio.sleep(60 * DAY_S)

        assert await app.operations.retention.sweep() == {}

        (dead,) = await app.store.read(list_dead)
        assert await counts(app.store) == {"events": 2, "deliveries": 2, "steps": 1}
        assert await app.runtime.replay_dead([dead.id]) == [dead.id]
        await asyncio.sleep(50 * DAY_S)
        assert (await counts(app.store))["steps"] == 2, "the delayed one has run"


async def test_a_dead_letter_that_was_discarded_goes_in_its_time():
    async with running_app(handle, schedules=False) as app:
        await happened(app, "bad")
        (dead,) = await app.store.read(list_dead)
        await app.store.write(lambda tx: discard_dead(tx, [dead.id]))
        await asyncio.sleep(31 * DAY_S)

        removed = await app.operations.retention.sweep()

        assert removed["events"] == 1
        assert await keys(app.store) == set()


async def test_what_an_unfinished_run_has_caused_stays():
    @on("parent.began")
    async def parent(event: Event) -> None:
        await send("thing.happened", {}, key="child")

    @on("parent.began")
    async def never(event: Event) -> None:
        raise PermanentError("never")

    async with running_app(parent, never, handle, schedules=False) as app:
        async with app.session():
            await send("parent.began", {}, key="parent")
        await app.runtime.wait_idle()
        await asyncio.sleep(40 * DAY_S)

        await app.operations.retention.sweep()
        assert await keys(app.store) == {"parent", "child"}

        (dead,) = await app.store.read(list_dead)
        await app.store.write(lambda tx: discard_dead(tx, [dead.id]))
        await app.operations.retention.sweep()
        assert await keys(app.store) == set()


async def test_a_key_that_was_used_once_stays_used():
    done = []

    async def charge() -> str:
        done.append(1)
        return "charged"

    @on("pay.asked")
    async def pay(event: Event) -> None:
        await db.create(Kept, name=await idempotent("order-1")(charge))

    async with running_app(pay, schedules=False) as app:
        for _ in range(2):
            async with app.session():
                await send("pay.asked", {}, key="a")
            await app.runtime.wait_idle()
            await asyncio.sleep(40 * DAY_S)
            await app.operations.retention.sweep()
        async with app.session():
            names = [one.name for one in await db.query(Kept)]

        assert names == ["charged", "charged"]
        assert done == [1]


_NUMBERS = sa.select(events.c.seq, deliveries.c.id).join(
    deliveries, deliveries.c.event_seq == events.c.seq
)


async def test_numbers_are_not_used_again():
    async with running_app(handle, schedules=False) as app:
        await happened(app, "one")
        before = await app.store.read(lambda tx: tx.first(_NUMBERS))
        await asyncio.sleep(31 * DAY_S)
        await app.operations.retention.sweep()
        await happened(app, "two")

        after = await app.store.read(lambda tx: tx.first(_NUMBERS))
        assert after.seq > before.seq
        assert after.id > before.id


async def test_the_running_app_sweeps_by_itself():
    async with running_app(handle) as app:
        await happened(app, "old")
        await asyncio.sleep(30.5 * DAY_S)

        assert await keys(app.store) == set()
        assert app.operations.retention.removed["events"] == 1


def retention(store, ports, **kept):
    return Retention(store, Settings(**kept), ports.clock)


async def opened():
    ports = seeded_ports()
    store = SqliteStore(":memory:", ports)
    await store.open()
    await store.migrate(upgrade)
    return store, ports


def put(store, rows):
    """Write events with one delivery each: (days ago, status, days since it ended or None)."""
    moment = lambda days: to_micros(START - timedelta(days=days))  # noqa: E731 - read in place

    def work(tx):
        for number, (age, status, ended) in enumerate(rows, start=1):
            tx.run(
                sa.insert(events).values(
                    seq=number, id=f"e{number}", type="a", key=str(number), business_id="t",
                    source="s", payload=b"{}", occurred_at=moment(age),
                )
            )  # fmt: skip
            if status is None:
                continue
            tx.run(
                sa.insert(deliveries).values(
                    id=number, event_seq=number, handler="h", business_id="t", attempt=0,
                    due_at=moment(age), status=status, history=b"[]", starts=0,
                    finished_at=None if ended is None else moment(ended),
                )
            )  # fmt: skip
            tx.run(
                sa.insert(steps).values(
                    delivery_id=number, kind=0, name="s", key="", repeat=0, position=1,
                    input_hash="", result=b"1", started_at=1, recorded_at=1,
                )
            )  # fmt: skip

    return store.write(work)


OVER = [STATUS_NAMES.index(name) for name in ("done", "discarded", "cancelled")]
UNDONE = [STATUS_NAMES.index(name) for name in ("open", "scheduled", "dead")]
DAYS = st.sampled_from([0, 10, 29, 31, 100])
ROW = st.one_of(
    st.tuples(DAYS, st.none(), st.none()),
    st.tuples(DAYS, st.sampled_from(OVER), DAYS),
    st.tuples(DAYS, st.sampled_from(UNDONE), st.one_of(st.none(), DAYS)),
)


@given(rows=st.lists(ROW, max_size=12))
@settings(max_examples=60, deadline=None)
def test_exactly_what_is_over_and_old_goes(rows):
    async def check():
        store, ports = await opened()
        await put(store, rows)
        expected = {
            str(number)
            for number, (age, status, ended) in enumerate(rows, start=1)
            if status in UNDONE or age < 30 or (status is not None and ended < 30)
        }
        sweeper = retention(store, ports)
        told = await store.read(lambda tx: measure(tx, sweeper.cutoff))

        removed = await sweeper.sweep()

        assert await keys(store) == expected
        assert told.events == removed["events"] == len(rows) - len(expected)
        assert (told.deliveries, told.steps) == (removed["deliveries"], removed["steps"])
        await store.close()

    run(check(), virtual_time=True)


async def test_steps_can_go_before_their_events():
    store, ports = await opened()
    await put(store, [(20, OVER[0], 20), (5, OVER[0], 5), (20, UNDONE[2], 20)])

    removed = await retention(store, ports, keep_steps_days=7.0).sweep()

    assert removed == {"steps": 1}
    assert await counts(store) == {"events": 3, "deliveries": 3, "steps": 2}
    await store.close()


@pytest.mark.parametrize("days", [0.0, -1.0])
async def test_nothing_goes_when_everything_is_to_be_kept(days):
    store, ports = await opened()
    await put(store, [(5000, OVER[0], 5000)])

    assert await retention(store, ports, keep_days=days, keep_steps_days=days).sweep() == {}
    assert (await counts(store))["events"] == 1
    await store.close()


async def test_an_event_that_is_replayed_meanwhile_stays():
    store, ports = await opened()
    await put(store, [(50, OVER[0], 50), (50, UNDONE[2], 50)])
    sweeper = retention(store, ports)
    read = store.read

    async def read_then_replay(query):
        found = await read(query)
        await store.write(lambda tx: tx.run(sa.update(deliveries).values(status=0)))
        return found

    store.read = read_then_replay
    assert await sweeper.sweep() == {}
    store.read = read
    assert await keys(store) == {"1", "2"}
    await store.close()


async def test_slices_become_small_where_the_disk_is_slow():
    store, ports = await opened()
    await put(store, [(50, OVER[0], 50)] * 400)
    write, sizes = store.write, []

    class Slow:
        """Each row takes two milliseconds."""

        now, sleep, seconds = ports.clock.now, ports.clock.sleep, 0.0

        def monotonic(self):
            self.seconds += 0.002 * sizes[-1]
            return self.seconds

    async def sized(work):
        sizes.append(len(work.args[1]))
        return await write(work)

    store.write = sized
    await Retention(store, Settings(), Slow()).sweep()

    assert sum(sizes) == 400
    assert max(sizes[3:]) <= 10, "some milliseconds of work, however slow the disk is"
    await store.close()


async def test_a_replayed_dead_letter_still_has_its_steps():
    async with running_app(handle, schedules=False) as app:
        await happened(app, "bad")
        await asyncio.sleep(90 * DAY_S)
        await app.operations.retention.sweep()
        (dead,) = await app.store.read(list_dead)
        now = to_micros(app.ports.clock.now())
        await app.store.write(lambda tx: replay_dead(tx, [dead.id], now))
        await app.operations.retention.sweep()

        assert (await counts(app.store))["steps"] == 1
