"""
The runtime of one process: store, bus, log, dispatcher and scheduler, started and stopped together.

    Runtime(store, bus, log, handlers, ports)
      .log        appends events in somebody's transaction
      .start()    runs what is open, then what comes
      .stop()     finishes what runs within a deadline; the rest stays open in the store
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from dovetail.core.clock import to_micros
from dovetail.core.ports import Ports
from dovetail.errors import UsageError
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.cancellation import request_cancel
from dovetail.runtime.dead_letter import replay_dead
from dovetail.runtime.dispatcher import Dispatcher
from dovetail.runtime.handler import HandlerSpec, Subscriptions
from dovetail.runtime.history import count_open
from dovetail.runtime.log import EventLog
from dovetail.runtime.patience import Patience
from dovetail.runtime.run import Runner
from dovetail.runtime.schedule import Schedule, Scheduler
from dovetail.runtime.store.port import Store
from dovetail.runtime.unit import UnitOfWork
from dovetail.runtime.watch import RunWatch

logger = structlog.get_logger("dovetail.runtime")


class Runtime:
    """
    Durable execution of handlers over one store.

    Args:
        store: An open store whose tables exist.
        bus: Tells this process of committed deliveries.
        log: Where events go; it is told of the handlers.
        handlers: Every handler of the process.
        ports: Time, ids, randomness.
        services: What handlers reach through their context.
        concurrency: Runs at the same time at most.
    """

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        log: EventLog,
        handlers: Sequence[HandlerSpec],
        ports: Ports,
        services: Any = None,
        concurrency: int = 1024,
    ) -> None:
        self.store = store
        self.ports = ports
        self.services = services
        self._bus = bus
        self.subscriptions = log.subscriptions = Subscriptions(handlers)
        self.log = log
        patience = Patience(ports.clock)
        runner = self._runner = Runner(
            store, log, ports.clock, ports.rng, services, patience=patience
        )
        self._dispatcher = Dispatcher(
            store=store,
            bus=bus,
            subscriptions=self.subscriptions,
            runner=runner,
            watch=RunWatch(log.tally, ports.clock),
            patience=patience,
            clock=ports.clock,
            concurrency=concurrency,
        )
        log.on_scheduled = self._dispatcher.look_at_schedule
        self._scheduler = Scheduler(store, log, ports.clock, patience)
        self._started = False

    def start(self) -> None:
        """Run open deliveries, then what comes."""
        self._dispatcher.start()
        self._started = True

    @property
    def is_alive(self) -> bool:
        """Whether it was started and its loops go on."""
        return self._started and self._dispatcher.is_alive

    def schedule(self, items: Sequence[Schedule]) -> None:
        """Send the ticks of exactly these schedules from now on."""
        self._scheduler.replace(items)

    async def stop(self, deadline_s: float = 10.0) -> None:
        """Stop taking work, let runs finish for *deadline_s*, hand the rest back."""
        if not self._started:
            return
        self._started = False
        await self._scheduler.stop()
        cancelled = await self._dispatcher.stop(deadline_s)
        await self._bus.close()
        if cancelled:
            logger.warning("runs_handed_back", count=cancelled, deadline_s=deadline_s)

    async def open_count(self, handlers: list[str] | None = None) -> int:
        """Return how many deliveries are open."""
        return await self.store.read(lambda tx: count_open(tx, handlers))

    async def wait_idle(self, handlers: list[str] | None = None) -> None:
        """Wait until no delivery (of these handlers) is open; delayed ones do not count."""
        pause_s = 0.005
        while await self.open_count(handlers) > 0:
            await self.ports.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.5)

    async def replay_dead(self, ids: Sequence[int], *, from_start: bool = False) -> list[int]:
        """Bring dead letters back and return the ids that were; see `dead_letter.replay_dead`."""
        now = to_micros(self.ports.clock.now())
        replayed = await self.store.write(
            lambda tx: replay_dead(tx, ids, now, from_start=from_start)
        )
        await self._runner.look_for_stops()  # what those that begin anew had started
        self._dispatcher.look_at_schedule()
        return replayed

    async def cancel(self, delivery_id: int, reason: str = "") -> str:
        """
        Ask a run to stop: at its next step RunCancelled is raised and what it has done is undone.

        Returns:
            ``cancelled``: it had not begun; ``cancelling``: it will be; ``over``: it was done,
            dead or being undone already.

        Raises:
            UsageError: There is no such run.
        """
        now = to_micros(self.ports.clock.now())
        outcome = await self.store.write(lambda tx: request_cancel(tx, delivery_id, reason, now))
        if outcome == "unknown":
            raise UsageError(
                f"There is no run {delivery_id}. `dovetail runs` shows which there are."
            )
        if outcome == "cancelling":
            await self._runner.look_for_stops()  # its child runs, too
        self._dispatcher.look_at_schedule()
        return outcome

    def unit(self, business_id: str, source: str) -> UnitOfWork:
        """Return a unit of work outside any run; its owner commits it."""
        return UnitOfWork(
            store=self.store,
            log=self.log,
            business_id=business_id,
            source=source,
            caused_by=None,
            clock=self.ports.clock,
            new_id=self.ports.ids.new,
        )
