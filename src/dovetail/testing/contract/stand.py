"""A bench that runs: a connector and its simulator, in process or over a socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from dovetail.connector_sdk.access import Access
from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Connector, Records
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.record import Cursor, Page, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.core import json
from dovetail.core.clock import Clock, LoopClock
from dovetail.core.transport import Transport
from dovetail.errors import DovetailError
from dovetail.simulator_sdk.base import Simulator
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.contract.bench import Bench, Sample
from dovetail.testing.contract.secrecy import Silence, check_error, check_hidden, secrets_of
from dovetail.testing.contract.wire import START, Exchange, JumpingClock, WatchedTransport, served

IN_PROCESS = "in process"
OVER_A_SOCKET = "over a socket"
# Longer than any platform of this kind keeps a change from its readers.
SETTLED_S = 900.0
_BASE_URL = "https://platform.test"
_MOST_PAGES = 300


@dataclass
class Caught:
    """The error of a call that had to fail."""

    error: DovetailError | None = None


@dataclass
class Stand:
    """What a rule works with: the connector of one resource, and the simulator behind it."""

    bench: Bench
    resource: Resource
    clock: Clock
    simulator: Simulator
    transport: WatchedTransport
    webhooks: AsgiTransport
    connector: Connector = field(init=False)
    number: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.connector = self.another()

    @property
    def sample(self) -> Sample:
        """The sample records of the resource."""
        return self.bench.samples[self.resource.name]

    @property
    def records(self) -> Records:
        """The connector in its role of a holder of records."""
        return cast("Records", self.connector)

    @property
    def fields(self) -> list[str]:
        """The fields that the connector declares, as the platform calls them."""
        return list(self.resource.fields)

    @property
    def exchanges(self) -> list[Exchange]:
        """What was asked of the platform so far."""
        return self.transport.exchanges

    @property
    def credentials(self) -> dict[str, str]:
        """Those that the simulator names, and those of the bench."""
        return {**self.simulator.credentials, **self.bench.credentials}

    @property
    def secrets(self) -> frozenset[str]:
        """What no text may hold."""
        return secrets_of(self.credentials, self.simulator.webhook_secret)

    # The platform's side.

    def faults(self, *described: Mapping[str, Any]) -> None:
        """Make the platform misbehave in these ways and no others."""
        self.simulator.faults.replace(described, seed=1)

    def edit(self, id: str | None = None, **fields: Any) -> str:
        """Create or change a record as a person would in the platform's pages; return its id."""
        simulator, name = self.simulator, self.resource.name
        if id is None:
            made = simulator.create_record(name, self.new_fields(**fields), source="UI")
        else:
            made = simulator.update_record(name, id, fields, source="UI")
        return made.id

    def edit_late(self, id: str, late_s: float, **fields: Any) -> None:
        """Change a record now, at a time that the platform says is past: committed late."""
        with self.simulator.one_moment(self.clock.now() - timedelta(seconds=late_s)):
            self.edit(id, **fields)

    def remove(self, id: str) -> None:
        """Delete a record as a person would."""
        self.simulator.delete_record(self.resource.name, id, source="UI")

    async def seed(self, count: int, *, apart_s: float = 1.0) -> list[str]:
        """Create records one after the other, and wait until everything that reads sees them."""
        ids = []
        for _ in range(count):
            ids.append(self.edit())
            await self.clock.sleep(apart_s)
        await self.settle()
        return ids

    async def seed_at_once(self, count: int) -> list[str]:
        """Create records that all have the same time, and wait."""
        with self.simulator.one_moment():
            ids = [self.edit() for _ in range(count)]
        await self.settle()
        return ids

    async def settle(self) -> None:
        """Wait until what was done is visible to every call."""
        await self.clock.sleep(SETTLED_S)

    def live(self) -> list[Any]:
        """Return the simulator's records that exist."""
        return list(self.simulator.table(self.resource.name))

    def stored(self, id: str) -> Mapping[str, Any]:
        """Return what the platform holds of a record that exists."""
        record = self.simulator.table(self.resource.name).live(id)
        assert record is not None, f"the platform has no {self.resource.name} {id}"
        return record.fields

    # Records like no others.

    def new_fields(self, **changed: Any) -> dict[str, Any]:
        """Return the fields of a record like no other."""
        self.number += 1
        return self.sample.record(self.number) | changed

    def mark(self) -> str:
        """Return a text like no other, which is found again in whatever request carries it."""
        self.number += 1
        return f"mark{self.number}x"

    def create(self, **changed: Any) -> Write:
        """Return the create of a record like no other, marked."""
        fields = self.new_fields(**{self.sample.text: self.mark(), **changed})
        return Write(action="create", key=f"contract-{self.number}", fields=fields)

    def creates(self, count: int) -> list[Write]:
        """Return creates of records like no others."""
        return [self.create() for _ in range(count)]

    def update(self, id: str, **fields: Any) -> Write:
        """Return an update, of the text when no field is given."""
        changed = fields or {self.sample.text: self.mark()}
        self.number += 1
        return Write(action="update", key=f"contract-{self.number}", id=id, fields=changed)

    def delete(self, id: str) -> Write:
        """Return a delete."""
        self.number += 1
        return Write(action="delete", key=f"contract-{self.number}", id=id)

    def text_of(self, write: Write) -> str:
        """Return the mark of a write."""
        return str(write.fields[self.sample.text])

    # The connector's side.

    async def page(self, cursor: Cursor | None = None) -> Page:
        """Read one page."""
        page = await self.records.read_page(self.resource, self.fields, cursor)
        assert json.decode(json.encode(page.cursor)) == page.cursor, "a cursor is plain JSON"
        return page

    async def pages(self, cursor: Cursor | None = None) -> list[Page]:
        """Read all pages that there are."""
        pages: list[Page] = []
        while len(pages) < _MOST_PAGES:
            pages.append(await self.page(pages[-1].cursor if pages else cursor))
            if not pages[-1].more:
                return pages
        raise AssertionError(f"{_MOST_PAGES} pages, and read_page still says that there is more")

    async def read(self, cursor: Cursor | None = None) -> tuple[list[RemoteRecord], Cursor]:
        """Read all that there is; return the records and the cursor behind them."""
        pages = await self.pages(cursor)
        return [record for page in pages for record in page.records], pages[-1].cursor

    async def fetch(self, *ids: str) -> list[RemoteRecord | None]:
        """Read records by id."""
        return await self.records.read_many(self.resource, ids, self.fields)

    async def write(self, *writes: Write) -> list[WriteResult]:
        """Write; one result per write, in their order."""
        results = await self.records.write(self.resource, writes, self.fields)
        assert [one.key for one in results] == [one.key for one in writes], (
            "write returns one result per write, in order, each with its key"
        )
        for one in results:
            if one.error is not None:
                self.check(one.error)
        return results

    async def made(self, *writes: Write) -> list[WriteResult]:
        """Write what the platform has to take."""
        results = await self.write(*writes)
        failed = [one.error for one in results if one.error is not None]
        assert not failed, f"the platform takes this, but write says: {failed[0]}"
        return results

    def calls_with(self, *texts: str) -> int:
        """Return how many requests carried any of these marks."""
        return sum(any(one.carries(text) for text in texts) for one in self.exchanges)

    def another(self, access: Access | None = None) -> Connector:
        """Return a second connector of the same account, as another process has one."""
        return connector_of(
            self.bench.connector,
            base_url=self.simulator.base_url,
            credentials=access or Credentials(self.credentials),
            transport=self.transport,
            clock=self.clock,
            store=MemoryBudgetStore(),
            account="contract",
            settings=self.bench.settings,
        )

    @contextmanager
    def as_another(self, access: Access | None = None) -> Iterator[None]:
        """Use a second connector inside of the block."""
        first, self.connector = self.connector, self.another(access)
        try:
            yield
        finally:
            self.connector = first

    @contextmanager
    def refusal(self, *kinds: type[DovetailError]) -> Iterator[Caught]:
        """Demand that what is done inside fails with one of these errors, and fails well."""
        wanted = " or ".join(kind.__name__ for kind in kinds)
        caught = Caught()
        try:
            yield caught
        except DovetailError as error:
            caught.error = error
        except Exception as error:
            raise AssertionError(f"{wanted} was due, not Python's own {error!r}") from error
        assert caught.error is not None, f"{wanted} was due, but the call went on"
        assert isinstance(caught.error, kinds), f"{wanted} was due, not {caught.error!r}"
        self.check(caught.error)

    @contextmanager
    def accepted(self, what: str) -> Iterator[None]:
        """Demand that what is done inside goes through; *what* says why it must."""
        try:
            yield
        except DovetailError as error:
            raise AssertionError(f"{what}; it failed with {error!r}") from error

    def check(self, error: DovetailError) -> None:
        """Fail when an error shows a secret or says nothing that a person can do."""
        check_error(error, self.bench.connector.title, self.secrets)


@asynccontextmanager
async def set_up(bench: Bench, resource: Resource, way: str) -> AsyncIterator[Stand]:
    """Run a bench until the block ends; nothing may be left running, and no secret written."""
    before = asyncio.all_tasks()
    silence = Silence()
    async with AsyncExitStack() as stack:
        webhooks = AsgiTransport({})
        stack.push_async_callback(webhooks.close)
        clock: Clock = LoopClock(START) if way == IN_PROCESS else JumpingClock()
        simulator = bench.simulator(
            clock=clock, rng=random.Random(7), transport=webhooks, base_url=_BASE_URL
        )
        stack.push_async_callback(simulator.close)
        _ = simulator.tables
        inner: Transport = AsgiTransport({_BASE_URL: simulator.app})
        if way == OVER_A_SOCKET:
            inner = AiohttpTransport()
            simulator.base_url = await stack.enter_async_context(served(simulator.app))
        stack.push_async_callback(inner.close)
        transport = WatchedTransport(inner, clock)
        stand = Stand(bench, resource, clock, simulator, transport, webhooks)
        with silence.kept():
            if isinstance(stand.connector, Records):
                await stand.connector.prepare(resource)
                transport.exchanges.clear()
            yield stand
        check_hidden(silence.text, stand.secrets, "what was logged or printed")
        check_hidden(repr(vars(stand.connector)), stand.secrets, "repr() of the connector's state")
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    assert not left, f"after closing, something still runs: {left[0]!r}"


def ids_of(records: Sequence[RemoteRecord]) -> list[str]:
    """Return the ids of records."""
    return [record.id for record in records]
