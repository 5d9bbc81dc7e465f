"""What is kept in agreement: platforms, entities, direction, times, and who wins a conflict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator

from dovetail.service.declaration.base import Declaration, part
from dovetail.service.declaration.problem import (
    Problem,
    ProblemsError,
    kind_of,
    refuse,
    unknown,
)
from dovetail.service.declaration.table import Table
from dovetail.service.declaration.value import (
    EntityNames,
    Names,
    Period,
    Platforms,
    choice,
)
from dovetail.service.entity_catalog import (
    ENTITY_NAMES,
    find_entity,
    mappable_fields,
    plural,
    resolve_field,
    singular,
)
from dovetail.service.platform_catalog import is_platform, platform_names


class SyncMode(StrEnum):
    """Which way values flow between our records and the platforms."""

    BIDIRECTIONAL = "bidirectional"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class ConflictResolution(StrEnum):
    """Who wins when both sides changed one field to different values."""

    LAST_WRITE_WINS = "last-write-wins"
    MANUAL_REVIEW = "manual-review"
    PREFER_EXTERNAL = "prefer-external"
    PREFER_INTERNAL = "prefer-internal"


class SyncBy(StrEnum):
    """Who does the syncing: the runtime by itself, or the handlers of the user's module."""

    ENGINE = "engine"
    HANDLERS = "handlers"


class Deletes(StrEnum):
    """What becomes of a record on the other sides when one side deletes it."""

    KEEP = "keep"
    PROPAGATE = "propagate"


class ProcessorRouting(StrEnum):
    """How the processor of a payment is chosen."""

    INTELLIGENT = "intelligent"


PREFER_NON_BLANK = "prefer-non-blank"
"""A policy for one field: a value wins over a blank; two values are decided by time."""

FIELD_POLICIES: tuple[str, ...] = (*ConflictResolution, PREFER_NON_BLANK)
"""Policies that one field may have; the name of a platform (its owner) comes on top."""


def entity_names(value: object) -> list[str]:
    """Return the plural of each item that names an entity, "" in place of the others."""
    if not isinstance(value, list | tuple):
        return []
    found = [find_entity(item) if isinstance(item, str) else None for item in value]
    return [plural(entity) if entity else "" for entity in found]


class Schedule(Declaration):
    """
    When entities are synced.

    Entities named in neither list are realtime. Realtime means: as webhooks tell of changes,
    with a poll every `poll_interval` behind them for the webhooks that never arrive.
    """

    realtime: EntityNames = ()
    batch: EntityNames = ()
    batch_interval: Period = timedelta(minutes=15)
    poll_interval: Period = timedelta(minutes=1)

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse an entity that is in both lists."""
        realtime = set(entity_names(fields.get("realtime")))
        return [
            Problem(("batch", position), f"{name!r} is in realtime already; choose one.")
            for position, name in enumerate(entity_names(fields.get("batch")))
            if name in realtime
        ]


def read_field_policies(value: object) -> Table[Table[str]]:
    """
    Read entity -> field -> policy.

    Raises:
        ProblemsError: With every entity, field and policy that does not exist.
    """
    if not isinstance(value, Mapping):
        raise refuse(f"must be a table of entities, not {kind_of(value)}.")
    read: dict[str, Table[str]] = {}
    problems: list[Problem] = []
    for name, policies in value.items():
        entity = find_entity(name) if isinstance(name, str) else None
        if entity is None:
            problems.append(unknown(str(name), "an entity", ENTITY_NAMES, str(name)))
            continue
        if not isinstance(policies, Mapping):
            problems.append(Problem((name,), f"must be a table, not {kind_of(policies)}."))
            continue
        fields: dict[str, str] = {}
        for field, policy in policies.items():
            resolved = resolve_field(entity, str(field))
            if resolved is None:
                noun = f"a field of {entity.__name__}"
                problems.append(
                    unknown(str(field), noun, mappable_fields(entity), name, str(field))
                )
            elif str(policy) not in FIELD_POLICIES and not is_platform(str(policy)):
                noun = "a policy, nor a platform that owns the field"
                allowed = (*FIELD_POLICIES, *platform_names())
                problems.append(unknown(str(policy), noun, allowed, name, str(field)))
            else:
                fields[resolved] = str(policy)
        read[singular(entity)] = Table(fields)
    if problems:
        raise ProblemsError(problems)
    return Table(read)


class IntegrationConfig(Declaration):
    """The ``integration`` part of a service."""

    platforms: Platforms = ()
    processors: Platforms = ()
    entities: EntityNames = ()
    sync_mode: Annotated[SyncMode, BeforeValidator(choice(SyncMode, "a sync mode"))] | None = None
    conflict_resolution: Annotated[
        ConflictResolution, BeforeValidator(choice(ConflictResolution, "a conflict policy"))
    ] = ConflictResolution.LAST_WRITE_WINS
    field_policies: Annotated[Table[Table[str]], BeforeValidator(read_field_policies)] = Table({})
    schedule: Schedule = Schedule()
    sync_by: Annotated[SyncBy, BeforeValidator(choice(SyncBy, "who syncs"))] = SyncBy.ENGINE
    deletes: Annotated[Deletes, BeforeValidator(choice(Deletes, "a policy for deletes"))] = (
        Deletes.KEEP
    )
    workflows: Names = ()
    features: Names = ()
    campaigns: Names = ()
    routing: (
        Annotated[ProcessorRouting, BeforeValidator(choice(ProcessorRouting, "a way of routing"))]
        | None
    ) = None

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse schedules and policies of entities that are not synced, routing of nothing."""
        problems: list[Problem] = []
        entities = entity_names(fields.get("entities"))
        for mode in ("realtime", "batch"):
            for position, name in enumerate(entity_names(part(fields, "schedule", mode))):
                if name and name not in entities:
                    problems.append(_not_synced(name, entities, "schedule", mode, position))
        policies = fields.get("field_policies")
        for key in policies if isinstance(policies, Mapping) else ():
            (name,) = entity_names([key])
            if name and name not in entities:
                problems.append(_not_synced(name, entities, "field_policies", str(key)))
        if fields.get("routing") is not None and not fields.get("processors"):
            problems.append(Problem(("routing",), "has no processors to choose from."))
        return problems


def _not_synced(name: str, entities: list[str], *path: str | int) -> Problem:
    declared = tuple(entity for entity in entities if entity)
    problem = unknown(name, "among the entities of this integration", declared, *path)
    return problem if declared else Problem(path, f"{name!r} is not listed under entities.")
