"""From declarations and connections to sync plans: which spoke holds what, under which mapping."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from dovetail.app.connections import Connections
from dovetail.connector_sdk.base import Connector, Records
from dovetail.connector_sdk.registry import platforms
from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.core.clock import Clock
from dovetail.core.ids import derive_id
from dovetail.errors import ConnectorError, UnsupportedCapabilityError
from dovetail.model.entity import wire_name
from dovetail.model.integration import Connection, Integration, PlatformBinding
from dovetail.runtime.record_table import change_record, insert_record, load_records
from dovetail.runtime.refusal import is_refused
from dovetail.runtime.store.port import Store, Tx
from dovetail.service.declaration import Service, SyncBy, SyncedEntity
from dovetail.sync.plan import Deletes, EntityPlan, Mode, Policy, SpokePlan, SyncPlan

log = structlog.get_logger("dovetail.plans")

_MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
"""Part of the derived ids of integrations, which depend on nothing but service and tenant."""
_ANSWER_S = 5.0
_WRITES = frozenset({Capability.CREATE, Capability.UPDATE, Capability.DELETE})


@dataclass(frozen=True, slots=True)
class Planned:
    """The plans, and in words what a declaration asks for that cannot be done now."""

    plans: list[SyncPlan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Planner:
    """Builds the plans of an app; run again whenever connections change."""

    def __init__(
        self, services: Sequence[Service], connections: Connections, store: Store, clock: Clock
    ) -> None:
        self._services = services
        self._connections = connections
        self._store = store
        self._clock = clock
        self._known: dict[tuple[str, str], frozenset[str] | None] = {}

    async def build(self) -> Planned:
        """Return a plan for each service and each tenant that has a connection for it."""
        planned = Planned()
        by_tenant: dict[str, dict[str, Connection]] = {}
        for connection in await self._connections.list():
            if connection.status == "active" and connection.platform:
                by_tenant.setdefault(connection.business_id, {})[connection.platform] = connection
        for service in self._services:
            for business_id, found in by_tenant.items():
                used = {name: found[name] for name in service.platform_names if name in found}
                if used:
                    await self._plan(service, business_id, used, planned)
        return planned

    async def _plan(
        self,
        service: Service,
        business_id: str,
        used: Mapping[str, Connection],
        planned: Planned,
    ) -> None:
        integration = _integration(service, business_id, used)
        kept = await self._store.write(lambda tx: _keep(tx, integration, self._clock.now()))
        enabled = {one.name for one in kept.platforms if one.enabled}
        used = {name: connection for name, connection in used.items() if name in enabled}
        config = service.integration
        if config is None or config.sync_mode is None or config.sync_by is SyncBy.HANDLERS:
            return
        planned.notes.extend(_absent(service, used))
        entities: list[EntityPlan] = []
        for synced in service.entities_synced:
            spokes = [
                spoke
                for priority, (name, connection) in enumerate(used.items())
                if (
                    spoke := await self._spoke(service, synced, name, connection, priority, planned)
                )
            ]
            if spokes:
                policies = config.field_policies.get(wire_name(synced.entity))
                entities.append(
                    EntityPlan(
                        entity=synced.entity,
                        spokes=tuple(spokes),
                        policies=dict(policies or {}),
                        poll_interval_s=synced.interval.total_seconds(),
                    )
                )
        if entities:
            planned.plans.append(
                SyncPlan(
                    integration_id=integration.id,
                    business_id=business_id,
                    service=service.name,
                    entities=tuple(entities),
                    mode=Mode(config.sync_mode.value),
                    policy=Policy(config.conflict_resolution.value),
                    deletes=Deletes(config.deletes.value),
                )
            )

    async def _spoke(
        self,
        service: Service,
        synced: SyncedEntity,
        platform: str,
        connection: Connection,
        priority: int,
        planned: Planned,
    ) -> SpokePlan | None:
        if platform not in platforms():
            return None
        connector = await self._connections.connector(connection.id)
        try:
            resource = connector.resource(synced.name)
        except UnsupportedCapabilityError:
            planned.notes.append(f"{connector.title} does not hold {synced.name} in this version.")
            return None
        if not isinstance(connector, Records):
            return None
        fields = dict(mapping_of(service, synced.name, platform, resource))
        references = _refer(service, synced, connector, resource, fields, planned)
        for name in await self._missing(connector, resource, connection.id, fields):
            ours = fields.pop(name)
            references.pop(ours, None)
            planned.notes.append(
                f"{connector.title} has no field {name!r} on {synced.name}: {ours} is not synced "
                f"there. Create the field at {connector.title}, or take it out of "
                f"mappings.{wire_name(synced.entity)}.{platform}."
            )
        return SpokePlan(
            connection_id=connection.id,
            platform=platform,
            resource=synced.name,
            fields=fields,
            priority=priority,
            outbound=bool(resource.capabilities & _WRITES),
            references=references,
        )

    async def _missing(
        self,
        connector: Connector,
        resource: Resource,
        connection_id: str,
        fields: Mapping[str, str],
    ) -> list[str]:
        key = (connection_id, resource.name)
        if key not in self._known:
            if await self._store.read(lambda tx: is_refused(tx, connection_id)):
                return []
            # The platform is down, busy or out of quota (for hours, perhaps): the others must not
            # wait for it, so the mapping is taken at its word until it answers.
            try:
                async with asyncio.timeout(_ANSWER_S):
                    self._known[key] = await connector.known_fields(resource)
            except (ConnectorError, TimeoutError) as error:
                reason = str(error) or f"no answer in {_ANSWER_S:.0f} s"
                log.warning("fields_unknown", platform=connector.platform, error=reason)
                return []
        known = self._known[key]
        return [] if known is None else [name for name in fields if name not in known]


def mapping_of(
    service: Service | None, entity: str, platform: str, resource: Resource
) -> Mapping[str, str]:
    """Return the platform's field -> our field: as declared, else the connector's own."""
    if service is not None and entity in service.mappings:
        declared = service.mappings[entity]
        if platform in declared:
            return declared[platform].pairs
    return resource.fields


def _refer(
    service: Service,
    synced: SyncedEntity,
    connector: Connector,
    resource: Resource,
    fields: dict[str, str],
    planned: Planned,
) -> dict[str, str]:
    """
    Return our field -> the entity that it points to, and bring *fields* in line.

    A reference is synced where its target is. The connector's own mapping gains what can be
    synced; a declared one has what it names, and loses, with a note, what cannot.
    """
    targets = {
        one.name: wire_name(one.entity)
        for one in service.entities_synced
        if _holds(connector, one.name)
    }
    declared = connector.platform in service.mappings.get(wire_name(synced.entity), {})
    references: dict[str, str] = {}
    for theirs, reference in resource.references.items():
        if declared and fields.get(theirs) != reference.field:
            continue
        if reference.resource in targets:
            fields[theirs] = reference.field
            references[reference.field] = targets[reference.resource]
        elif fields.pop(theirs, None) is not None:
            planned.notes.append(
                f"{synced.name} have {reference.field} at {connector.title}, which is left alone: "
                f"{service.name} does not sync {reference.resource} there. Add "
                f"{reference.resource!r} to its entities, or take {theirs!r} out of "
                f"mappings.{wire_name(synced.entity)}.{connector.platform}."
            )
    return references


def _holds(connector: Connector, name: str) -> bool:
    try:
        connector.resource(name)
    except UnsupportedCapabilityError:
        return False
    return True


def _absent(service: Service, used: Mapping[str, Connection]) -> list[str]:
    notes: list[str] = []
    for name in service.platform_names:
        if name not in platforms():
            notes.append(f"{name} is declared, but this version has no connector for it.")
        elif name not in used:
            notes.append(f"{name} is declared, but not connected: run `dovetail connect {name}`.")
    return notes


def _integration(service: Service, business_id: str, used: Mapping[str, Connection]) -> Integration:
    config = service.integration
    return Integration(
        id=derive_id(_MOMENT, "integration", service.name, business_id),
        business_id=business_id,
        name=service.name,
        service=service.name,
        type=service.kind,
        status="active",
        platforms=[
            PlatformBinding(name=name, enabled=True, connection_id=connection.id)
            for name, connection in used.items()
        ],
        sync_mode=config.sync_mode.value if config and config.sync_mode else None,
        conflict_resolution=config.conflict_resolution.value if config else None,
    )


def _keep(tx: Tx, wanted: Integration, now: datetime) -> Integration:
    """Create the Integration record, or bring what the declaration says up to date."""
    known = load_records(tx, Integration, wanted.business_id, [wanted.id]).get(wanted.id)
    if known is None:
        return insert_record(tx, wanted, now)
    # Whether a platform takes part is a person's choice and stays as it was set.
    enabled = {one.name: one.enabled for one in known.platforms}
    bindings = [
        PlatformBinding(
            name=one.name,
            enabled=enabled.get(one.name, True),
            connection_id=one.connection_id,
        )
        for one in wanted.platforms
    ]
    changes = {
        "type": wanted.type,
        "platforms": bindings,
        "sync_mode": wanted.sync_mode,
        "conflict_resolution": wanted.conflict_resolution,
    }
    changed = change_record(tx, Integration, wanted.business_id, wanted.id, changes, now=now)
    return changed[1] if changed is not None else known
