"""A platform made of a dict, and a driver that delivers events: what the sync tests run on."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dovetail.core.clock import LoopClock, to_micros
from dovetail.core.ids import SeededIds
from dovetail.core.ports import InlineExecutor, Ports
from dovetail.errors import (
    OutcomeUnknownError,
    TransientError,
)
from dovetail.model.crm import Contact
from dovetail.model.integration import SyncConflict, SyncError
from dovetail.runtime.bus.local import LocalBus
from dovetail.runtime.handler import Subscriptions
from dovetail.runtime.log import EventDraft, EventLog, event_of
from dovetail.runtime.record_document import read_record
from dovetail.runtime.record_table import change_record, delete_record, insert_record
from dovetail.runtime.store.schema import (
    DONE,
    OPEN,
    SCHEDULED,
    deliveries,
    events,
    metadata,
    records,
)
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.sync import schema  # noqa: F401 - its tables belong to the metadata
from dovetail.sync.engine import SyncEngine
from dovetail.sync.plan import Deletes, EntityPlan, Mode, Policy, SpokePlan, SyncPlan

TENANT = "acme"


def _load(name: str) -> Any:
    """Import a file beside this one: the tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


_fake = _load("fake_platform")
FakePlatform, FIELDS = _fake.FakePlatform, _fake.FIELDS


class Crash(BaseException):
    """The process dies here."""


class Tripwire:
    """Counts the moments at which a process can die, and dies at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.at: int | None = None

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Crash


class TrippingStore(SqliteStore):
    """A store beside whose every call the process may die: before, or right after the commit."""

    trip: Callable[[], None] = staticmethod(lambda: None)

    async def write(self, work: Any) -> Any:
        self.trip()
        result = await super().write(work)
        self.trip()
        return result


@dataclass
class Bench:
    """Platforms, a store and an engine; delivers what is open, in an order of its own."""

    seed: int = 0
    clock: LoopClock = field(default_factory=LoopClock)
    trip: Tripwire = field(default_factory=Tripwire)
    platforms: dict[str, FakePlatform] = field(default_factory=dict)
    failures: list[Any] = field(default_factory=list)

    async def start(self, *platforms: tuple[str, dict[str, Any]], **plan: Any) -> Bench:
        self.rng = random.Random(self.seed)
        ports = Ports(
            clock=self.clock,
            ids=SeededIds(self.clock, random.Random(1)),
            rng=self.rng,
            transport=None,  # type: ignore[arg-type]
            new_executor=lambda _: InlineExecutor(),
        )
        self.ports, self.ids = ports, ports.ids
        self.store = TrippingStore(":memory:", ports)
        await self.store.open()
        await self.store.migrate(metadata.create_all)
        self.store.trip = self.trip
        for name, traits in platforms:
            self.platforms[name] = FakePlatform(name, self, **traits)
        kinds = {"mode": Mode, "policy": Policy, "deletes": Deletes}
        policies = plan.pop("policies", {})
        self.plan = SyncPlan(
            integration_id="crm",
            business_id=TENANT,
            service="crm",
            entities=[
                EntityPlan(
                    entity=Contact,
                    spokes=[
                        SpokePlan(name, name, "contacts", FIELDS, priority=number)
                        for number, (name, _) in enumerate(platforms)
                    ],
                    policies=policies,
                )
            ],
            **{name: kinds[name](value) for name, value in plan.items()},
        )
        self.restart()
        return self

    def restart(self) -> None:
        """Begin a new process on the same store."""
        self.bus = LocalBus()
        log = EventLog(Subscriptions([]), self.clock, self.ids, self.bus)
        self.engine = SyncEngine(
            store=self.store,
            log=log,
            plans=[self.plan],
            connections=self,
            clock=self.clock,
            ids=self.ids,
        )
        log.subscriptions = Subscriptions(self.engine.handlers())
        self.log = log

    async def connector(self, connection_id: str) -> Any:
        return self.platforms[connection_id]

    async def renewed(self, connection_id: str) -> Any:
        return self.platforms[connection_id]

    async def close(self) -> None:
        await self.store.close()

    def __getitem__(self, name: str) -> FakePlatform:
        return self.platforms[name]

    async def settle(self, rounds: int = 60) -> None:
        """Poll and deliver until nothing is left to do."""
        for _ in range(rounds):
            await self.clock.sleep(5)
            try:
                await self.engine.request_poll()
                await self.deliver()
            except Crash:
                self.restart()
                continue
            polls = {"sync.poll"}
            if await self._work_was_only(polls):
                return
        pytest.fail("it does not come to rest")

    async def _work_was_only(self, types: set[str]) -> bool:
        done, self._delivered = self._delivered, set()
        before, self._last = getattr(self, "_last", None), self._snapshot()
        return done <= types and before == self._last

    def _snapshot(self) -> Any:
        return {name: dict(one.modified) for name, one in self.platforms.items()}

    async def deliver(self) -> None:
        """Deliver open events, one batch at a time, until none is left or all of them wait."""
        self._delivered = getattr(self, "_delivered", set())
        idle = 0
        while idle < 3:
            batches = await self._ready()
            if not batches:
                return
            progressed = False
            self.rng.shuffle(batches)
            for spec, rows in batches:
                progressed |= await self._run(spec, rows)
            idle = 0 if progressed else idle + 1
            await self.clock.sleep(1)

    async def _ready(self) -> list[Any]:
        query = (
            sa.select(deliveries.c.id.label("delivery_id"), deliveries.c.handler, *events.c)
            .join(events, events.c.seq == deliveries.c.event_seq)
            .where(
                (deliveries.c.status == OPEN)
                | (deliveries.c.due_at <= to_micros(self.clock.now()))
                & (deliveries.c.status == SCHEDULED)
            )
            .order_by(deliveries.c.id)
        )
        rows = await self.store.read(lambda tx: tx.rows(query))
        groups: dict[Any, list[Any]] = {}
        for row in rows:
            spec = self.log.subscriptions.by_name[row.handler]
            group = spec.batch.group(event_of(row)) if spec.batch else row.key
            groups.setdefault((row.handler, group), []).append(row)
        return [
            (self.log.subscriptions.by_name[handler], rows) for (handler, _), rows in groups.items()
        ]

    async def _run(self, spec: Any, rows: list[Any]) -> bool:
        latest: dict[str, Any] = {}
        of_key: dict[str, list[int]] = {}
        for row in rows:
            latest[row.key] = event_of(row)
            of_key.setdefault(row.key, []).append(row.delivery_id)
        chosen = list(latest.values())[: spec.batch.size if spec.batch else 1]
        self._delivered |= {event.type for event in chosen}
        try:
            if spec.batch:
                outcomes = await spec.call(chosen)
            else:
                await spec.call(chosen[0])
                outcomes = [None]
        except (TransientError, OutcomeUnknownError) as error:
            outcomes = [error] * len(chosen)
        finished: list[int] = []
        for event, outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, TransientError | OutcomeUnknownError):
                continue
            if outcome is not None:
                self.failures.append(outcome)
            finished += of_key[event.key]
        done = sa.update(deliveries).where(deliveries.c.id.in_(finished)).values(status=DONE)
        await SqliteStore.write(self.store, lambda tx: tx.run(done))
        return bool(finished)

    # Our own side.

    async def all(self, entity: type[Any]) -> list[Any]:
        name = {Contact: "contact", SyncConflict: "sync_conflict", SyncError: "sync_error"}[entity]
        rows = await self.store.read(
            lambda tx: tx.rows(
                sa.select(records).where(records.c.entity == name).order_by(records.c.id)
            )
        )
        return [read_record(entity, row) for row in rows]

    async def contacts(self) -> list[Contact]:
        return await self.all(Contact)

    async def all_conflicts(self) -> list[SyncConflict]:
        return await self.all(SyncConflict)

    async def create(self, **fields: Any) -> str:
        record = Contact(id=self.ids.new(), business_id=TENANT, **fields)
        await self._commit(
            lambda tx: insert_record(tx, record, self.clock.now()), record.id, "created"
        )
        return record.id

    async def update(self, id: str, **fields: Any) -> None:
        now = self.clock.now()
        await self._commit(
            lambda tx: change_record(tx, Contact, TENANT, id, fields, now=now), id, "updated"
        )

    async def delete(self, id: str) -> None:
        await self._commit(lambda tx: delete_record(tx, Contact, TENANT, id), id, "deleted")

    async def _commit(self, work: Callable[[Any], Any], id: str, what: str) -> None:
        draft = EventDraft(
            type=f"contact.{what}", payload={"id": id}, business_id=TENANT, source="handler:test"
        )

        def both(tx: Any) -> None:
            work(tx)
            self.log.append(tx, [draft])

        await SqliteStore.write(self.store, both)

    def values(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return what every platform holds, without ids."""
        return {
            name: sorted((tuple(row.values()) for row in platform.rows.values()), key=str)
            for name, platform in self.platforms.items()
        }


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    """Make a bench; call its ``start`` inside the test."""
    return Bench


@pytest.fixture(scope="session")
def pairs() -> Any:
    """Make a bench of two platforms with people and firms."""
    return type("Pairs", (_load("people_bench").People, Bench), {})
