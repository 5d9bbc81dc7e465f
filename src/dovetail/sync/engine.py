"""The sync engine as the app sees it: handlers to run, polls to schedule, a status to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dovetail.core.clock import Clock
from dovetail.core.ids import Ids
from dovetail.errors import MalformedResponseError
from dovetail.model.event import Event
from dovetail.model.integration import SyncConflict
from dovetail.runtime.handler import Batch, HandlerSpec
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.retry import Retry
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.conflict import PENDING
from dovetail.sync.draft import CHANGED, PUSH, REFER, SOURCE
from dovetail.sync.fetch import Fetch
from dovetail.sync.gate import Gate
from dovetail.sync.ledger import Desk
from dovetail.sync.local import LocalEdits
from dovetail.sync.plan import Plans, SpokeRoute, SyncPlan
from dovetail.sync.platform import ConnectionSource, Platforms
from dovetail.sync.poll import POLL, Poll, PollProgress
from dovetail.sync.push import Push
from dovetail.sync.refer import Refer
from dovetail.sync.review import list_conflicts, release, resolve_conflict
from dovetail.sync.status import SyncStatus, read_status

LOCAL_HANDLER = "sync.local"
_MOST = 200
_MOST_PUSHES = 1_000
"""Several calls' worth, so that records to change and records to make both fill theirs."""

# A body that was cut or replaced on its way is not the platform's last word: reading again, within
# the bounded attempts, is harmless.
# What is not brought into agreement stays apart until somebody looks, and a platform may be away
# for days: ten to twenty tries an hour, and only of errors that pass by themselves.
# Nothing here is a user's code that kills its process: what dies around it says little of it, and
# a sync that gives a record up is worse than one that is tried again.
_RETRY = Retry(
    attempts=2_000,
    base_s=1.0,
    max_s=300.0,
    on=(MalformedResponseError,),
    unknown_max_s=30.0,
    deaths=100,
)


@dataclass(frozen=True, slots=True)
class PollPlan:
    """One spoke and how often it is read."""

    route: SpokeRoute
    interval_s: float

    @property
    def name(self) -> str:
        """A stable name for the schedule."""
        route = self.route
        return f"{POLL}:{route.plan.integration_id}:{route.entity.name}:{route.at.connection_id}"


class SyncEngine:
    """
    Keeps records in agreement.

    Args:
        store: State.
        log: Where events are appended; its subscriptions must include `handlers`.
        plans: What is kept in agreement; replace them with ``engine.plans.replace(...)``.
        connections: Where connectors come from.
        clock: Time.
        ids: Ids of new records.
        on_progress: Called after each absorbed page.
    """

    def __init__(
        self,
        *,
        store: Store,
        log: EventLog,
        plans: Plans | Iterable[SyncPlan],
        connections: ConnectionSource,
        clock: Clock,
        ids: Ids,
        on_progress: Callable[[PollProgress], None] | None = None,
    ) -> None:
        self.plans = plans if isinstance(plans, Plans) else Plans(plans)
        self._store = store
        self._desk = Desk(plans=self.plans, log=log, clock=clock, ids=ids)
        self._platforms = Platforms(connections)
        self._gate = Gate(store, self._desk, connections)
        self._poll = Poll(store, self._desk, self._platforms, on_progress)
        self._fetch = Fetch(store, self._desk, self._platforms)
        self._push = Push(store, self._desk, self._platforms)
        self._refer = Refer(store, self._desk)
        self._local = LocalEdits(store, self._desk)

    def handlers(self) -> list[HandlerSpec]:
        """Return the engine's handlers."""
        return [
            HandlerSpec(
                name=POLL,
                patterns=(POLL,),
                call=self._gate.scheduled(self._poll.handle),
                retry=_RETRY,
                coalesce=True,
            ),
            HandlerSpec(
                name=CHANGED,
                patterns=(CHANGED,),
                call=self._gate.batch(self._fetch.handle),
                retry=_RETRY,
                batch=Batch(size=_MOST, group=_by_resource),
                coalesce=True,
            ),
            HandlerSpec(
                name=LOCAL_HANDLER,
                patterns=("*.created", "*.updated", "*.deleted"),
                call=self._local.handle,
                retry=_RETRY,
                batch=Batch(size=_MOST, group=_by_entity),
                coalesce=True,
                accepts=self._local.accepts,
            ),
            HandlerSpec(
                name=REFER,
                patterns=(REFER,),
                call=self._refer.handle,
                retry=_RETRY,
                batch=Batch(size=_MOST, group=_by_connection),
                coalesce=True,
            ),
            HandlerSpec(
                name=PUSH,
                patterns=(PUSH,),
                call=self._gate.batch(self._push.handle),
                retry=_RETRY,
                batch=Batch(size=_MOST_PUSHES, group=_by_connection),
                coalesce=True,
            ),
        ]

    def polls(self) -> list[PollPlan]:
        """Return what the app schedules."""
        return [
            PollPlan(route, route.entity.poll_interval_s)
            for route in self.plans.spokes()
            if route.plan.reads(route.at)
        ]

    def poll_draft(self, route: SpokeRoute, event_id: str | None = None) -> EventDraft:
        """Return the event that reads a spoke; give a tick's own id to read once per tick."""
        integration_id, connection_id = route.plan.integration_id, route.at.connection_id
        return EventDraft(
            type=POLL,
            key=f"{integration_id}:{route.entity.name}:{connection_id}",
            id=event_id,
            payload={
                "integration_id": integration_id,
                "entity": route.entity.name,
                "connection_id": connection_id,
            },
            business_id=route.plan.business_id,
            source=SOURCE + "schedule",
        )

    async def request_poll(
        self, *, integration_id: str | None = None, entity: str | None = None
    ) -> int:
        """
        Ask for every spoke (of one integration, of one entity) to be read now; return how many.

        Records in quarantine get another chance.
        """
        wanted = [
            poll.route
            for poll in self.polls()
            if integration_id in (None, poll.route.plan.integration_id)
            and entity in (None, poll.route.entity.name)
        ]

        def work(tx: Tx) -> None:
            for route in wanted:
                release(tx, self._desk, route, route.at.connection_id)
            self._desk.log.append(tx, [self.poll_draft(route) for route in wanted])

        await self._store.write(work)
        return len(wanted)

    async def status(self) -> SyncStatus:
        """Return where every spoke stands."""
        return await self._store.read(lambda tx: read_status(tx, self.plans))

    async def list_conflicts(
        self, business_id: str, *, status: str | None = PENDING, limit: int = 100
    ) -> list[SyncConflict]:
        """Return a tenant's conflicts, newest first; those that wait, unless told otherwise."""
        return await self._store.read(
            partial(list_conflicts, business_id=business_id, status=status, limit=limit)
        )

    async def resolve_conflict(
        self, business_id: str, conflict_id: str, *, take: str, value: Any = None
    ) -> None:
        """
        End a conflict as a person says; see `dovetail.sync.review.resolve_conflict`.

        Raises:
            RecordMissingError: There is no such conflict.
            UsageError: It does not wait any more, or *take* is not one of its ways.
        """
        await self._store.write(
            lambda tx: resolve_conflict(
                tx, self._desk, business_id, conflict_id, take=take, value=value
            )
        )


def _by_resource(event: Event) -> str:
    return f"{event.payload['connection_id']}:{event.payload['resource']}"


def _by_connection(event: Event) -> str:
    return f"{event.payload['connection_id']}:{event.payload['entity']}"


def _by_entity(event: Event) -> str:
    return f"{event.business_id}:{event.type.rpartition('.')[0]}"
