"""
The app: a program (services and handlers) wired to a store, platforms and an HTTP door.

    App.load("crm.py")         what `dovetail run crm.py` does:
      .open()                  store, schema, connections          (enough to look at state)
      .start()                 lock, plans, handlers, schedules, webhooks, first polls
      .stop()                  everything in reverse, within a deadline
      .session()               `db` and `send` outside a handler
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import structlog

from dovetail.app.connections import Connections
from dovetail.app.intake import Intake
from dovetail.app.load import Program, load_program, program_of
from dovetail.app.lock import DatabaseLock
from dovetail.app.operations import Operations
from dovetail.app.plans import Planner
from dovetail.app.platform_client import PlatformClients
from dovetail.app.request import request_handlers
from dovetail.app.schema import ensure_shipped_indexes, upgrade
from dovetail.app.server import HttpServer, build_asgi
from dovetail.connector_sdk.base import Webhooks
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.core import json
from dovetail.core.cron import Interval
from dovetail.core.key_file import source_of_keys
from dovetail.core.ports import Ports
from dovetail.core.secrets import SecretBox
from dovetail.core.settings import Settings
from dovetail.core.telemetry import Tally
from dovetail.errors import ConfigError, DovetailError, EnvironmentInUseError
from dovetail.runtime.bus.local import LocalBus
from dovetail.runtime.context import Context, current
from dovetail.runtime.engine import Runtime
from dovetail.runtime.handler import Subscriptions
from dovetail.runtime.history import count_by_status
from dovetail.runtime.log import EventLog
from dovetail.runtime.refusal import list_refusals
from dovetail.runtime.schedule import Schedule
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.sync.engine import SyncEngine

log = structlog.get_logger("dovetail.app")

_SUBSCRIBE_S = 15.0
_REFRESH_S = 5.0
"""How often a running app looks for connections that were made or changed meanwhile."""
_REFRESH_ALONE_S = 60.0


class App:
    """
    A program and the world around it.

    Args:
        program: What a module or declaration says; None looks at a store without running anything.
        settings: What may differ between machines.
        ports: Time, ids, randomness, HTTP; the real ones when not given.
    """

    def __init__(
        self,
        program: Program | ModuleType | None = None,
        *,
        settings: Settings | None = None,
        ports: Ports | None = None,
    ) -> None:
        if isinstance(program, ModuleType):
            program = program_of(program)
        self.program = program or Program("dovetail")
        self.settings = settings or Settings.from_env()
        self.ports = ports or Ports.system(AiohttpTransport())
        self.store = SqliteStore(self.settings.database, self.ports, busy_s=self.settings.busy_s)
        self._lock = DatabaseLock(self.settings.database)
        self._bus = LocalBus()
        self._server: HttpServer | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._connections: Connections | None = None
        self._runtime: Runtime | None = None
        self._planner: Planner | None = None
        self._operations: Operations | None = None
        self._subscribed: set[str] = set()
        self._asks_for_webhooks = False
        self._opened = False
        self._planned = False
        self.notes: list[str] = []
        """What the declaration asks for that cannot be done now, in words."""
        event_log = EventLog(Subscriptions([]), self.ports.clock, self.ports.ids, self._bus)
        event_log.tally = Tally(by_tenant=self.settings.metrics_tenants)
        self.sync = SyncEngine(
            store=self.store,
            log=event_log,
            plans=[],
            connections=self,
            clock=self.ports.clock,
            ids=self.ports.ids,
        )
        self._log = event_log

    @classmethod
    def load(
        cls, file: Path | str, *, settings: Settings | None = None, ports: Ports | None = None
    ) -> Self:
        """
        Load a Python module or a declaration.

        Raises:
            ConfigError: The file cannot be loaded, or declares something wrongly.
        """
        return cls(load_program(Path(file)), settings=settings, ports=ports)

    @property
    def connections(self) -> Connections:
        """The connections; after `open`."""
        if self._connections is None:
            raise ConfigError("The app is not open: use `async with app:` or `await app.open()`.")
        return self._connections

    @property
    def runtime(self) -> Runtime:
        """The runtime; after `open`."""
        if self._runtime is None:
            raise ConfigError("The app is not open: use `async with app:` or `await app.open()`.")
        return self._runtime

    @property
    def operations(self) -> Operations:
        """Retention, health and metrics; after `open`."""
        if self._operations is None:
            raise ConfigError("The app is not open: use `async with app:` or `await app.open()`.")
        return self._operations

    @property
    def port(self) -> int:
        """Where webhooks are received."""
        return self._server.port if self._server is not None else self.settings.port

    async def connector(self, connection_id: str) -> Any:
        """Return the connector of a connection (the sync engine's source of them)."""
        return await self.connections.connector(connection_id)

    async def renewed(self, connection_id: str) -> Any:
        """As `connector`, with the credentials as they are stored now."""
        await self.connections.forget_renewed()
        return await self.connections.connector(connection_id)

    async def open(self) -> None:
        """
        Open the store, bring its schema up to date, and make connections and records reachable.

        Raises:
            EnvironmentInUseError: The database cannot be opened or written.
        """
        if self._opened:
            return
        if not self.store.in_memory:
            _require_folder(self.settings.database)
        await self.store.open()
        try:
            await self.store.migrate(upgrade)
            await self.store.write(ensure_shipped_indexes)
            self.key_source = source_of_keys(self.settings, lasting=not self.store.in_memory)
            self.box = SecretBox(self.key_source)
            self._connections = Connections(self.store, self.box, self.ports, self._log.tally)
            self._runtime = Runtime(
                store=self.store,
                bus=self._bus,
                log=self._log,
                handlers=[
                    *self.program.handlers,
                    *self.sync.handlers(),
                    *request_handlers(self.sync, self.store),
                ],
                ports=self.ports,
                services=PlatformClients(
                    self._connections, self.program.services, self.ports.clock.now()
                ),
                concurrency=self.settings.concurrency,
            )
            self._operations = Operations(
                settings=self.settings,
                store=self.store,
                runtime=self._runtime,
                tally=self._log.tally,
                clock=self.ports.clock,
            )
            self._planner = Planner(
                self.program.services, self._connections, self.store, self.ports.clock
            )
        except BaseException:
            await self.store.close()
            raise
        self._opened = True

    async def start(self, *, serve: bool = True, schedules: bool = True) -> None:
        """
        Run: handlers, schedules, the sync of every connected tenant, webhooks.

        Args:
            serve: Receive webhooks over HTTP.
            schedules: Poll and tick as time passes; without, only what is asked for is done.

        Raises:
            EnvironmentInUseError: The database or the port is in use.
        """
        if not self.store.in_memory:
            self._lock.acquire()
        try:
            await self.open()
            if serve:
                self._server = HttpServer(self.asgi(), self.settings.host, self.settings.port)
                self._server.bind()
            self.operations.prepare()
            await self.refresh(schedules=schedules)
            self.runtime.start()
            if self._server is not None:
                await self._server.start()
                self._lock.tell(self._server.address)
                await self.subscribe()
            if schedules:
                self._refresher = asyncio.create_task(self._keep_fresh(), name="refresh")
            self.operations.start(schedules=schedules)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop taking work, let runs finish within the deadline, hand the rest back, close."""
        if self._operations is not None:
            await self._operations.stop()
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
            self._refresher = None
        if self._server is not None:
            await self._server.stop()
            self._server = None
        if self._runtime is not None:
            await self._runtime.stop(self.settings.shutdown_s)
        if self._connections is not None:
            await self._connections.close()
        await self.store.close()
        await self.ports.transport.close()
        self._lock.release()
        self._opened = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @asynccontextmanager
    async def session(self, business_id: str = DEFAULT_TENANT) -> AsyncIterator[None]:
        """
        Use ``db`` and ``send`` outside a handler; everything commits at the end, or nothing does.

        Raises:
            VersionConflictError: A record was changed by someone else meanwhile.
        """
        await self.open()
        unit = self.runtime.unit(business_id, "session")
        token = current.set(Context(unit, self.ports.clock, self.runtime.services))
        try:
            yield
        finally:
            current.reset(token)
        if unit.dirty:
            await self.store.write(unit.apply)

    async def refresh(self, *, schedules: bool = True) -> None:
        """Take over connections that were made, changed or removed."""
        assert self._planner is not None  # noqa: S101 - set by open()
        await self.connections.forget_renewed()
        planned = await self._planner.build()
        if self._planned:  # at the start, whoever started the app shows the notes
            for note in planned.notes:
                if note not in self.notes:
                    log.warning("not_synced", reason=note)
        self._planned = True
        self.notes = planned.notes
        changed = tuple(planned.plans) != self.sync.plans.all
        if changed:
            self.sync.plans.replace(planned.plans)
        if schedules:
            self.runtime.schedule([*self.program.schedules, *self._polls()])
            if changed:
                # What changed while nothing ran is looked for at once, not at the next tick.
                await self.sync.request_poll()

    def _polls(self) -> list[Schedule]:
        made: list[Schedule] = []
        for poll in self.sync.polls():
            draft = self.sync.poll_draft(poll.route)
            made.append(
                Schedule(
                    name=poll.name,
                    event_type=draft.type,
                    timetable=Interval(timedelta(seconds=poll.interval_s)),
                    business_id=draft.business_id,
                    key=draft.key,
                    payload=draft.payload,
                    repeats=True,
                )
            )
        return made

    def asgi(self) -> Any:
        """Return the ASGI app that receives webhooks; for a server of one's own, or tests."""
        intake = Intake(
            store=self.store,
            log=self._log,
            connections=self.connections,
            settings=self.settings,
            clock=self.ports.clock,
        )
        return build_asgi(intake, self.status, self.operations)

    async def status(self) -> dict[str, Any]:
        """Return plain data: deliveries by status, and per spoke what the sync has done."""
        counts = await self.store.read(count_by_status)
        synced = await self.sync.status()
        return {
            "program": self.program.name,
            "deliveries": counts,
            "sync": [json.plain(spoke) for spoke in synced.spokes],
            "notes": self.notes,
        }

    def webhook_url(self, platform: str, connection_id: str) -> str:
        """Return where a platform should send its webhooks."""
        base = self.settings.public_url or f"http://{self.settings.host}:{self.port}"
        return f"{base.rstrip('/')}/hooks/{platform}/{connection_id}"

    async def subscribe(self) -> None:
        """Ask platforms that can be asked to send us webhooks; the running app asks again."""
        self._asks_for_webhooks = True
        wanted: dict[str, dict[str, Sequence[str]]] = {}
        for route in self.sync.plans.spokes():
            spoke = route.at
            wanted.setdefault(spoke.connection_id, {})[spoke.resource] = spoke.their_fields
        if wanted.keys() <= self._subscribed:
            return
        unwilling = self._subscribed.union(await self.store.read(list_refusals))
        for connection_id, fields in wanted.items():
            if connection_id in unwilling:
                continue
            opened = await self.connections.open(connection_id)
            connector = opened.connector
            if not isinstance(connector, Webhooks):
                self._subscribed.add(connection_id)
                continue
            url = self.webhook_url(connector.platform, connection_id)
            try:
                # Bounded: an account that is out of quota would let everything else wait.
                async with asyncio.timeout(_SUBSCRIBE_S):
                    done = await connector.subscribe(url, fields)
            except (DovetailError, TimeoutError) as error:
                reason = str(error) or f"no answer in {_SUBSCRIBE_S:.0f} s"
                log.warning("not_subscribed", platform=connector.platform, reason=reason)
                continue
            self._subscribed.add(connection_id)
            if not done:
                log.info("set_up_webhooks", platform=connector.platform, url=url)

    async def _keep_fresh(self) -> None:
        while True:
            await self.ports.clock.sleep(_REFRESH_S if self.store.is_shared else _REFRESH_ALONE_S)
            try:
                if self.store.is_shared:
                    await self.refresh()
                if self._asks_for_webhooks:
                    await self.subscribe()
            except DovetailError as error:
                log.warning("refresh_failed", error=error.message)


def _require_folder(database: Path) -> None:
    folder = database.resolve().parent
    if not folder.is_dir():
        raise EnvironmentInUseError(
            f"There is no folder {folder} for the database. Create it, or name another file "
            "with --database.",
            path=str(database),
        )
