"""Nobody waits for another's backlog, hang, or death; the hot loops never scan."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from dovetail.app.schema import upgrade
from dovetail.errors import RetriesExhaustedError, StoreError, TransientError
from dovetail.runtime.bus.local import LocalBus
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.engine import Runtime
from dovetail.runtime.handler import Batch, HandlerSpec, Subscriptions
from dovetail.runtime.history import count_by_status
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.retry import Retry
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports


class World:
    """A runtime over one database that can die without a word, and start again."""

    def __init__(self, path, handlers, capacity=20_000, concurrency=128):
        self.path = path
        self.handlers = handlers
        self.capacity = capacity
        self.concurrency = concurrency
        self.ports = seeded_ports()

    async def start(self):
        self.store = SqliteStore(self.path, self.ports)
        await self.store.open()
        await self.store.migrate(upgrade)
        bus = LocalBus(self.capacity)
        log = EventLog(Subscriptions([]), self.ports.clock, self.ports.ids, bus)
        self.runtime = Runtime(
            store=self.store,
            bus=bus,
            log=log,
            handlers=self.handlers,
            ports=self.ports,
            concurrency=self.concurrency,
        )

    async def die(self):
        """End every task of the runtime as a SIGKILL would: nothing is tidied up."""
        dispatcher = self.runtime._dispatcher
        dispatcher._stopping = True
        tasks = [*dispatcher._loops, *dispatcher._runs]
        dispatcher._timers.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()

    async def send(self, *keys, tenant="acme", type="thing.happened", delay_s=0.0, **payload):
        due_at = None
        if delay_s:
            due_at = self.ports.clock.now() + timedelta(seconds=delay_s)
        drafts = [
            EventDraft(
                type=type,
                key=key,
                payload={"n": n, **payload},
                business_id=tenant,
                source="test",
                due_at=due_at,
            )
            for n, key in enumerate(keys)
        ]
        await self.store.write(lambda tx: self.runtime.log.append(tx, drafts))


@asynccontextmanager
async def world(*handlers, path=":memory:", start=True, stop_s=0.1, **options):
    made = World(path, handlers, **options)
    await made.start()
    if start:
        made.runtime.start()
    try:
        yield made
    finally:
        await made.runtime.stop(stop_s)
        await made.store.close()


def loop_time():
    return asyncio.get_running_loop().time()


def spec(call, name="handle", **options):
    return HandlerSpec(name=name, patterns=("thing.*",), call=call, **options)


async def test_a_burst_of_one_tenant_does_not_delay_another():
    done = {}

    async def handle(event):
        await asyncio.sleep(0.01)
        done[event.business_id, event.key] = loop_time()

    async with world(spec(handle), capacity=200) as made:
        await made.send(*(f"k{n}" for n in range(5_000)))
        sent_at = loop_time()
        await made.send("one", tenant="globex")
        await made.runtime.wait_idle()

    assert done["globex", "one"] - sent_at < 0.1
    assert len(done) == 5_001
    assert max(done.values()) - sent_at > 0.5, "the burst itself took its time"


async def test_a_backlog_found_at_the_start_is_shared_out_as_well(tmp_path):
    order = []

    async def handle(event):
        order.append(event.business_id)

    path = tmp_path / "app.db"
    async with world(spec(handle), path=path, start=False) as made:
        await made.send(*(f"k{n}" for n in range(2_000)), tenant="acme")
        await made.send("one", tenant="globex")
    async with world(spec(handle), path=path, capacity=200) as made:
        await made.runtime.wait_idle()

    assert order.index("globex") < 300
    assert len(order) == 2_001


async def test_one_handlers_backlog_does_not_slow_another():
    done = []

    async def slow(event):
        await asyncio.sleep(60)

    async def quick(event):
        done.append(loop_time())

    specs = spec(slow, "slow"), spec(quick, "quick")
    async with world(*specs, capacity=400) as made:
        await made.send(*(f"k{n}" for n in range(3_000)))
        await asyncio.sleep(5)
        assert len(done) == 3_000
        sent_at = loop_time()
        await made.send("late", tenant="globex")
        await asyncio.sleep(5)

    assert done[-1] - sent_at < 0.1


async def test_a_tenant_whose_runs_hang_leaves_places_for_the_others():
    done = []

    async def handle(event):
        if event.business_id == "hanging":
            await asyncio.sleep(3_600)
        done.append(loop_time())

    async with world(spec(handle)) as made:
        for tenant in ("hanging", "fine"):
            await made.send(*(f"k{n}" for n in range(500)), tenant=tenant)
        await asyncio.sleep(5)

    assert len(done) == 500


async def test_runs_that_wait_get_many_places_and_a_newcomer_still_finds_one():
    at_once, newcomer = [0], []

    async def handle(event):
        if event.business_id == "globex":
            newcomer.append(loop_time())
            return
        at_once.append(at_once[-1] + 1)
        await asyncio.sleep(0.01)
        at_once.append(at_once[-1] - 1)

    async with world(spec(handle), concurrency=1024) as made:
        await made.send(*(f"k{n}" for n in range(5_000)))
        await asyncio.sleep(0.05)
        sent_at = loop_time()
        await made.send("one", tenant="globex")
        await made.runtime.wait_idle()

    assert 400 < max(at_once) <= 512, "half of the places, once they have proved to be quick"
    assert newcomer[0] - sent_at < 0.01


async def test_a_platform_that_hangs_delays_the_pushes_to_another_not_at_all():
    waits = []

    async def push(events):
        if events[0].payload["platform"] == "hanging":
            await asyncio.sleep(60)
        else:
            waits.append(loop_time() - events[0].payload["sent_at"])
        return [None] * len(events)

    def by_connection(event):
        return f"{event.business_id}:{event.payload['platform']}"

    handler = spec(push, batch=Batch(size=200, group=by_connection), coalesce=True)
    async with world(handler) as made:
        # More hanging connections than there are places for ordinary runs.
        for tenant in range(200):
            await made.send("a", "b", tenant=f"t{tenant}", platform="hanging")
        await asyncio.sleep(1)
        for tenant in range(50):
            await made.send("f", tenant=f"t{tenant}", platform="fine", sent_at=loop_time())
            await asyncio.sleep(1)

    assert len(waits) == 50
    assert max(waits) < 0.01


async def test_timers_that_fall_due_together_do_not_hold_up_a_newcomer():
    done = {}

    async def handle(event):
        await asyncio.sleep(0.01)
        done[event.business_id, event.key] = loop_time()

    async with world(spec(handle), capacity=200) as made:
        await made.send(*(f"k{n}" for n in range(3_000)), delay_s=3_600)
        await asyncio.sleep(3_601)
        sent_at = loop_time()
        await made.send("one", tenant="globex")
        await asyncio.sleep(60)

    assert len(done) == 3_001
    assert done["globex", "one"] - sent_at < 0.1


@pytest.mark.parametrize("deaths", [3, 6])
async def test_an_event_that_kills_the_process_is_parked_and_takes_no_innocent_along(
    deaths, tmp_path
):
    died, done = [], []
    made = None

    async def handle(event):
        if event.key == "poison":
            await asyncio.sleep(1)
            died.append(event.key)
            made.dying = asyncio.ensure_future(made.die())
            await asyncio.sleep(3_600)
        elif event.key == "slow":
            await asyncio.sleep(30)
        done.append(event.key)

    made = World(tmp_path / "app.db", [spec(handle, retry=Retry(deaths=deaths))])
    await made.start()
    made.runtime.start()
    await made.send("slow", "poison", *(f"k{n}" for n in range(20)))
    for _ in range(deaths + 5):
        made.dying = None
        await asyncio.sleep(300)
        if made.dying is None:
            break
        await made.dying
        await made.start()
        made.runtime.start()
    letters = await made.store.read(list_dead)
    counts = await made.store.read(count_by_status)
    await made.runtime.stop(0)
    await made.store.close()

    assert [letter.event.key for letter in letters] == ["poison"]
    assert letters[0].error["code"] == RetriesExhaustedError.code
    assert len(died) == deaths + 1, "the first death was not noted, each other was"
    assert counts == {"done": 21, "dead": 1}


async def test_what_was_open_at_a_stop_in_order_is_no_suspect(tmp_path):
    noted = []

    async def handle(event):
        await asyncio.sleep(60)

    path = tmp_path / "app.db"
    for _ in range(Retry().deaths + 3):
        async with world(spec(handle), path=path) as made:
            if not noted:
                await made.send("a")
            await asyncio.sleep(30)
            noted.append(made.runtime._dispatcher._suspects._noted)
    async with world(spec(handle), path=path) as made:
        await made.runtime.wait_idle()
        assert await made.store.read(count_by_status) == {"done": 1}
    assert not any(noted)


async def test_a_database_that_refuses_is_said_once_costs_no_try_and_repeats_no_work():
    ran = []

    async def handle(event):
        ran.append(event.key)

    async with world(spec(handle, retry=Retry(attempts=1)), stop_s=5) as made:
        honest = made.store._group._transact
        await made.runtime.wait_idle()

        def refuse(body):
            raise StoreError("The disk is full.", refusal="full")

        await made.send(*(f"k{n}" for n in range(10)))
        made.store._group._transact = refuse
        with capture_logs() as logs:
            await asyncio.sleep(3_600)
            assert len(ran) <= 10
            made.store._group._transact = honest
            await made.send("later")
            await made.runtime.wait_idle()
        counts = await made.store.read(count_by_status)

    assert counts == {"done": 11}
    assert sorted(ran) == sorted([*(f"k{n}" for n in range(10)), "later"])
    told = [entry["event"] for entry in logs]
    assert told.count("store_refused") == 1
    assert told.count("store_accepts_again") == 1


async def test_every_query_of_the_hot_loops_is_served_by_an_index(tmp_path):
    """Backlog, timers, retries and dead letters: what is looked for is found without a scan."""
    tries = []

    async def handle(event):
        tries.append(event.key)
        if len(tries) % 7 == 0:
            raise TransientError("again")

    statements = set()
    path = tmp_path / "app.db"
    async with world(spec(handle), path=path, start=False) as made:
        for tenant in ("acme", "globex"):
            await made.send(*(f"k{n}" for n in range(300)), tenant=tenant)
            await made.send(*(f"d{n}" for n in range(300)), tenant=tenant, delay_s=20)
    async with world(spec(handle), path=path, capacity=50, start=False) as made:
        for connection in (made.store._writer, made.store._reader):
            sa.event.listen(
                connection.engine,
                "before_cursor_execute",
                lambda conn, cursor, statement, *_: statements.add(statement),
            )
        made.runtime.start()
        await asyncio.sleep(60)
        await made.runtime.wait_idle()
        plans = {
            statement: await made.store.read(lambda tx, s=statement: plan_of(tx, s))
            for statement in list(statements)
            if "deliveries" in statement and not statement.startswith("INSERT")
        }

    assert any("status = 2" in statement for statement in plans)
    assert any("deliveries.business_id = ?" in statement for statement in plans)
    for statement, plan in plans.items():
        if "count(" in statement:  # the test's own waiting, which counts what is open
            continue
        for step in plan:
            scans = step.startswith(("SCAN deliveries", "SCAN events"))
            assert not scans or "COVERING INDEX ix_deliveries_" in step, (statement, plan)
            assert "TEMP B-TREE" not in step, (statement, plan)


def plan_of(tx, statement):
    rows = tx._connection.exec_driver_sql(
        f"EXPLAIN QUERY PLAN {statement}", tuple([1] * statement.count("?"))
    )
    return [row[3] for row in rows]
