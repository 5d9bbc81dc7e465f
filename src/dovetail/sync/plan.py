"""
What a sync keeps in agreement: one plan per integration, made by the app from a service.

Our own records are the hub; every platform connection that holds one kind of them is a spoke.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from dovetail.errors import UsageError
from dovetail.model.entity import Entity, wire_name


class Mode(StrEnum):
    """Which way values flow between our records and the platforms."""

    BIDIRECTIONAL = "bidirectional"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Policy(StrEnum):
    """Who wins when two sides changed one field to different values."""

    LAST_WRITE_WINS = "last-write-wins"
    MANUAL_REVIEW = "manual-review"
    PREFER_EXTERNAL = "prefer-external"
    PREFER_INTERNAL = "prefer-internal"


class Deletes(StrEnum):
    """What becomes of a record on the other sides when one side deletes it."""

    KEEP = "keep"
    PROPAGATE = "propagate"


@dataclass(frozen=True)
class SpokePlan:
    """
    One platform connection that holds one kind of record.

    Args:
        connection_id: The connection.
        platform: Its platform.
        resource: The name of the connector's resource: ``contacts``.
        fields: The platform's field -> our field.
        priority: Settles ties in time; the lower number wins.
        inbound: Whether its changes are taken over.
        outbound: Whether it is written to.
        references: Our field -> the entity (its name on the wire) whose record it points to. Such
            a field holds their id there and ours here.
    """

    connection_id: str
    platform: str
    resource: str
    fields: Mapping[str, str]
    priority: int = 0
    inbound: bool = True
    outbound: bool = True
    references: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def their_fields(self) -> tuple[str, ...]:
        """The platform's fields that are read."""
        return tuple(self.fields)

    @cached_property
    def our_fields(self) -> tuple[str, ...]:
        """Our fields that take part, each once."""
        return tuple(dict.fromkeys(self.fields.values()))

    @cached_property
    def pointers(self) -> tuple[tuple[str, str, str], ...]:
        """Their field, our field and the target's entity of each reference."""
        targets = self.references
        return tuple(
            (their, our, targets[our]) for their, our in self.fields.items() if our in targets
        )


@dataclass(frozen=True)
class EntityPlan:
    """
    One kind of record of one integration, with its spokes.

    Args:
        entity: The class of our records.
        spokes: The connections that hold it.
        policies: Our field -> a `Policy`, ``prefer-non-blank``, ``union``, ``max``, ``min``, or
            the name of the platform that owns the field.
        poll_interval_s: Seconds between two polls.
    """

    entity: type[Entity]
    spokes: Sequence[SpokePlan]
    policies: Mapping[str, str] = field(default_factory=dict)
    poll_interval_s: float = 60.0

    @cached_property
    def name(self) -> str:
        """The entity's name on the wire."""
        return wire_name(self.entity)

    @cached_property
    def our_fields(self) -> tuple[str, ...]:
        """Our fields that any spoke maps."""
        return tuple(dict.fromkeys(name for spoke in self.spokes for name in spoke.our_fields))


@dataclass(frozen=True)
class SyncPlan:
    """Everything that one integration keeps in agreement."""

    integration_id: str
    business_id: str
    service: str
    entities: Sequence[EntityPlan]
    mode: Mode = Mode.BIDIRECTIONAL
    policy: Policy = Policy.LAST_WRITE_WINS
    deletes: Deletes = Deletes.KEEP

    @cached_property
    def referred(self) -> frozenset[str]:
        """The entities that any reference points to."""
        spokes = (spoke for entity in self.entities for spoke in entity.spokes)
        return frozenset(name for spoke in spokes for name in spoke.references.values())

    def reads(self, spoke: SpokePlan) -> bool:
        """Return whether changes of the spoke are taken over."""
        return spoke.inbound and self.mode is not Mode.OUTBOUND

    def writes(self, spoke: SpokePlan) -> bool:
        """Return whether the spoke is written to."""
        return spoke.outbound and self.mode is not Mode.INBOUND


@dataclass(frozen=True, slots=True)
class Route:
    """One entity of one integration: where a record of ours belongs."""

    plan: SyncPlan
    entity: EntityPlan

    def spoke(self, connection_id: str) -> SpokePlan | None:
        """Return the spoke of a connection."""
        return next((one for one in self.entity.spokes if one.connection_id == connection_id), None)


@dataclass(frozen=True, slots=True)
class SpokeRoute(Route):
    """A route that has come down to one spoke."""

    at: SpokePlan


class Plans:
    """Every plan of the app, found by what an event knows."""

    def __init__(self, plans: Iterable[SyncPlan] = ()) -> None:
        self.all: tuple[SyncPlan, ...] = ()
        self.replace(plans)

    def replace(self, plans: Iterable[SyncPlan]) -> None:
        """
        Take over a new set of plans (an integration was connected or removed).

        Raises:
            UsageError: Two plans claim one connection for the same entity.
        """
        self.all = tuple(plans)
        self._by_spoke: dict[tuple[str, str], SpokeRoute] = {}
        self._by_entity: dict[tuple[str, str], list[Route]] = {}
        self._by_integration: dict[tuple[str, str], Route] = {}
        for plan in self.all:
            for entity in plan.entities:
                self._add(plan, entity)

    def spoke(self, connection_id: str, entity: str) -> SpokeRoute | None:
        """Return the spoke that a connection is for an entity."""
        return self._by_spoke.get((connection_id, entity))

    def by_resource(self, connection_id: str, resource: str) -> SpokeRoute | None:
        """Return the spoke that holds a resource of a connection."""
        for (connection, _), route in self._by_spoke.items():
            if connection == connection_id and route.at.resource == resource:
                return route
        return None

    def routes(self, business_id: str, entity: str) -> Sequence[Route]:
        """Return every integration of a tenant that syncs an entity."""
        return self._by_entity.get((business_id, entity), ())

    def route(self, integration_id: str, entity: str) -> Route | None:
        """Return what an integration does with an entity."""
        return self._by_integration.get((integration_id, entity))

    def spokes(self) -> list[SpokeRoute]:
        """Return every spoke of every plan."""
        return list(self._by_spoke.values())

    def _add(self, plan: SyncPlan, entity: EntityPlan) -> None:
        route = Route(plan, entity)
        self._by_entity.setdefault((plan.business_id, entity.name), []).append(route)
        self._by_integration[plan.integration_id, entity.name] = route
        for spoke in entity.spokes:
            key = (spoke.connection_id, entity.name)
            if key in self._by_spoke:
                raise UsageError(
                    f"Two integrations sync {entity.name} through connection "
                    f"{spoke.connection_id}; remove one of them.",
                    connection=spoke.connection_id,
                )
            self._by_spoke[key] = SpokeRoute(plan, entity, spoke)
