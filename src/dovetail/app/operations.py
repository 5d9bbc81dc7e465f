"""What keeps a running app fit and tells how it is: retention, health and metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from dovetail.app.health import Health
from dovetail.app.metrics import Metrics
from dovetail.app.retention import Retention
from dovetail.core.clock import Clock
from dovetail.core.settings import Settings
from dovetail.core.telemetry import Tally, begin_tracing
from dovetail.runtime.engine import Runtime
from dovetail.runtime.store.sqlite import SqliteStore


class Operations:
    """
    The operating side of one app.

    Args:
        settings: Of the process.
        store: An open store.
        runtime: Its runtime.
        tally: The counters.
        clock: Time.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: SqliteStore,
        runtime: Runtime,
        tally: Tally,
        clock: Clock,
    ) -> None:
        self.tally = tally
        self.health = Health(store, runtime)
        self.retention = Retention(store, settings, clock)
        self.metrics = Metrics(tally, store, clock, self.retention.removed)
        self._task: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Begin to tell spans, if somebody collects them; before the first run."""
        begin_tracing()

    def start(self, *, schedules: bool = True) -> None:
        """Say that the app has started; with *schedules*, remove old history from now on."""
        self.health.has_started = True
        if schedules:
            self._task = asyncio.create_task(self.retention.run(), name="retention")

    async def stop(self) -> None:
        """Say that the app stops, and leave the history alone."""
        self.health.has_started = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def live(self) -> dict[str, Any]:
        """Return what only this process knows, for whoever looks from another one."""
        return {
            "running": {name: n for name, n in self.tally.running.items() if n > 0},
            "faults": self.health.faults(),
        }
