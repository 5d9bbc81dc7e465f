"""
The process that is simulated: an app that can be killed between any two turns of the loop.

Killing it cancels its tasks, throws the app away and keeps what was committed. Its clean-up code
runs on a store and a network that answer nothing any more, so that it cannot save anything.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import sqlalchemy as sa

from dovetail.app.app import App
from dovetail.app.load import Program
from dovetail.core.ids import SeededIds
from dovetail.core.ports import Ports, StoreExecutor
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest, HttpResponse, TransportError
from dovetail.errors import StoreError
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import STEP
from dovetail.simulator_sdk.fault import ConnectionCut
from dovetail.testing.app import IN_MEMORY
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.tokens import is_token_request

T = TypeVar("T")

SECRET_KEY = "c2ltdWxhdGlvbi1zaW11bGF0aW9uLXNpbXVsYXRpb24="  # noqa: S105 - seals nothing real
PUBLIC_URL = "http://dovetail.test"

_owner: contextvars.ContextVar[Process | None] = contextvars.ContextVar("owner", default=None)


class KilledError(Exception):
    """The process died before it could answer."""


class Process:
    """
    One life of an app.

    Args:
        program: What it runs.
        network: How it reaches the platforms.
        clock: Time.
        seed: Of its ids and jitter; another one for each life.
        image: The database that an earlier life left.
    """

    def __init__(
        self, program: Program, network: Network, clock: Any, seed: str, image: bytes | None
    ) -> None:
        self.is_alive = True
        self.life = seed
        self.clock = clock
        self.refusal: str | None = None
        self.on_event: Callable[[str], None] = lambda _: None
        self.image = image
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._network = network
        self.transport = _Line(self, network)
        rng = random.Random(seed)
        ports = Ports(
            clock=clock,
            ids=SeededIds(clock, random.Random(rng.random())),
            rng=rng,
            transport=self.transport,
            new_executor=lambda _: _Executor(self),
        )
        settings = Settings(
            database=IN_MEMORY, public_url=PUBLIC_URL, secret_key=SECRET_KEY, shutdown_s=5
        )
        self.app = App(program, settings=settings, ports=ports)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Do something as this process.

        Raises:
            KilledError: It was killed meanwhile.
        """
        context = contextvars.copy_context()
        context.run(_owner.set, self)
        task = asyncio.get_running_loop().create_task(work, context=context)
        await asyncio.wait({task})
        if task.cancelled():
            raise KilledError
        return task.result()

    async def start(self) -> None:
        """Start the app and let it receive webhooks."""
        await self.run(self._start())

    async def _start(self) -> None:
        await self.app.start(serve=False, schedules=True)
        self._network.add(PUBLIC_URL, self._receive)
        await self.app.subscribe()

    async def open(self) -> None:
        """Open the store, so that the commits can be made to fail."""
        await self.run(self.app.open())
        group = self.app.store._group
        transact = group._transact

        def guarded(body: Callable[[Tx], Any]) -> tuple[Any, list[Callable[[], None]]]:
            if self.refusal is not None:
                raise StoreError(
                    f"The database refused: it is {self.refusal}.", refusal=self.refusal
                )
            return transact(body)

        group._transact = guarded
        close = self.app.store.close

        async def keep() -> None:
            await group.close()
            self._take_image()
            await close()

        # An app that cannot start closes its store, which here would take the database with it.
        self.app.store.close = keep  # type: ignore[method-assign]

    def own(self, task: asyncio.Task[Any]) -> None:
        """Count a task as one of this process."""
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        if not self.is_alive:
            task.cancel()

    async def kill(self) -> None:
        """End every task without letting anything be saved."""
        self.freeze()
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            # Clean-up code may wait too, on a store that answers no more: it is ended again.
            await asyncio.wait(tasks, timeout=0.001)

    def freeze(self) -> None:
        """Take the image of what is committed; nothing that follows reaches it."""
        self.is_alive = False
        self._network.drop(PUBLIC_URL)
        self._take_image()
        if self._has("FROM token_leases WHERE asked_at IS NOT NULL", ()):
            self._network.tokens.unsaved.add(self.life)

    def _take_image(self) -> None:
        writer = self.app.store._writer
        if writer is not None and not writer.closed:
            raw: Any = writer.connection.dbapi_connection
            self.image = raw.serialize()

    def close(self) -> None:
        """Let go of the database."""
        writer = self.app.store._writer
        if writer is not None and not writer.closed:
            writer.close()
            writer.engine.dispose()

    def is_recorded(self, delivery_id: int, name: str, key: str = "", kind: int = STEP) -> bool:
        """Return whether an entry of a run's journal is committed."""
        where = "FROM steps WHERE delivery_id = ? AND kind = ? AND name = ? AND key = ?"
        return self._has(where, (delivery_id, kind, name, key))

    def is_waiting(self, delivery_id: int) -> bool:
        """Return whether a run is committed to wait for an event."""
        return self._has("FROM waits WHERE delivery_id = ?", (delivery_id,))

    async def cancel(self, delivery_id: int) -> str:
        """Ask the app to stop a run."""
        return await self.app.runtime.cancel(delivery_id, "not wanted any more")

    def _has(self, where: str, values: tuple[Any, ...]) -> bool:
        writer = self.app.store._writer
        if writer is None or writer.closed:
            return False
        raw: Any = writer.connection.dbapi_connection
        return bool(raw.execute(f"SELECT count(*) {where}", values).fetchone()[0])

    async def _receive(self, scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        _owner.set(self)
        self.own(task)
        try:
            await self._asgi()(scope, receive, send)
        except asyncio.CancelledError:
            if self.is_alive:
                raise
            raise ConnectionCut from None

    def _asgi(self) -> Any:
        return self.app.asgi()


class _Line:
    """The network as one process sees it: nothing comes back to a dead one."""

    def __init__(self, process: Process, network: Network) -> None:
        self._process = process
        self._network = network

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send, unless the process is dead."""
        process = self._process
        if not process.is_alive:
            await _never()
        process.on_event("call")
        ended = self._network.tokens.begin(request, process.life, process.clock)
        try:
            answer = await self._network.send_from(request, "app")
        except TransportError:
            ended(None)
            raise
        ended(answer)
        if is_token_request(request):
            process.on_event("tokens")
        return answer

    async def close(self) -> None:
        """Nothing to release."""


class _Executor(StoreExecutor):
    """Runs store work at once, for as long as the process lives."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work*, then yield once, as a thread would."""
        process = self._process
        if not process.is_alive:
            await _never()
        result = work()
        if isinstance(result, sa.Connection) and process.image is not None:
            raw: Any = result.connection.dbapi_connection
            raw.deserialize(process.image)
        process.on_event("commit")
        await asyncio.sleep(0)
        return result

    def close(self) -> None:
        """Nothing to release."""


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


def task_factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task that belongs to the process whose code made it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    context = options.get("context")
    owner = context.get(_owner) if context is not None else _owner.get()
    if owner is not None:
        owner.own(task)
    return task


def outside() -> contextvars.Context:
    """Return a context in which tasks belong to no process."""
    context = contextvars.copy_context()
    context.run(_owner.set, None)
    return context
