"""Field mappings, read both ways: a platform's field names to ours and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dovetail.model.entity import Entity
from dovetail.service.declaration.problem import (
    Problem,
    ProblemsError,
    kind_of,
    refuse,
    unknown,
)
from dovetail.service.declaration.table import Table
from dovetail.service.entity_catalog import (
    ENTITIES,
    find_entity,
    mappable_fields,
    resolve_field,
    singular,
)
from dovetail.service.platform_catalog import is_platform, platform_names
from dovetail.service.spelling import closest


class FieldMapping(Table[str]):
    """
    One entity on one platform: the platform's field -> our field.

    Our field may lie deeper: ``custom.vip``, ``shipping_address.postal_code``.
    """

    __slots__ = ()

    @property
    def pairs(self) -> Mapping[str, str]:
        """The platform's field -> our field, in the order declared."""
        return self

    def outbound(self, record: Entity | Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the record's mapped values under the platform's names.

        A field that the record does not have is left out; one that is None is None.
        """
        values = ((external, _reach(record, ours)) for external, ours in self.items())
        return {external: value for external, value in values if value is not msgspec.UNSET}

    def inbound(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return a platform's values under our names, as ``db.create`` and ``db.update`` take them.

        A field that the platform did not tell is left out; one that is None is None.
        """
        values: dict[str, Any] = {}
        for external, ours in self.items():
            if external in fields:
                _put(values, ours, fields[external])
        return values


class EntityMappings(Table[FieldMapping]):
    """One entity's mapping per platform: ``mappings.contact.hubspot``."""

    __slots__ = ()

    def __getattr__(self, platform: str) -> FieldMapping:
        # Copying asks for special methods before there is anything in the table.
        if platform.startswith("_"):
            raise AttributeError(platform)
        if platform not in self:
            raise _no_attribute(platform, self, "mapping for platform")
        return self[platform]


class Mappings(Table[EntityMappings]):
    """Every mapping of a service, by entity (singular or plural): ``mappings["contact"]``."""

    __slots__ = ()

    def __getitem__(self, entity: str) -> EntityMappings:
        found = find_entity(entity)
        return super().__getitem__(singular(found) if found else entity)

    def __getattr__(self, entity: str) -> EntityMappings:
        if entity.startswith("_"):
            raise AttributeError(entity)
        if entity not in self:
            raise _no_attribute(entity, self, "mapping of entity")
        return self[entity]


def read_mappings(value: object) -> Mappings:
    """
    Read entity -> platform -> the platform's field -> our field.

    Raises:
        ProblemsError: With every entity, platform and field that does not exist.
    """
    if isinstance(value, Mappings):
        return value
    if not isinstance(value, Mapping):
        raise refuse(f"must be a table of entities, not {kind_of(value)}.")
    read: dict[str, EntityMappings] = {}
    problems: list[Problem] = []
    for name, platforms in value.items():
        entity = find_entity(name) if isinstance(name, str) else None
        if entity is None:
            names = tuple(singular(known) for known in ENTITIES)
            problems.append(unknown(str(name), "an entity", names, str(name)))
        elif not isinstance(platforms, Mapping):
            message = f"must be a table of platforms, not {kind_of(platforms)}."
            problems.append(Problem((name,), message))
        elif singular(entity) in read:
            problems.append(Problem((name,), f"{singular(entity)} is mapped twice."))
        else:
            mapped, wrong = _read_platforms(entity, platforms)
            problems += [problem.under(name) for problem in wrong]
            read[singular(entity)] = EntityMappings(mapped)
    if problems:
        raise ProblemsError(problems)
    return Mappings(read)


def _read_platforms(
    entity: type[Entity], platforms: Mapping[Any, Any]
) -> tuple[dict[str, FieldMapping], list[Problem]]:
    read: dict[str, FieldMapping] = {}
    problems: list[Problem] = []
    for platform, pairs in platforms.items():
        name = str(platform)
        if not is_platform(name):
            problems.append(unknown(name, "a platform", platform_names(), name))
        if not isinstance(pairs, Mapping):
            message = f"must be a table of fields, not {kind_of(pairs)}."
            problems.append(Problem((name,), message))
            continue
        fields: dict[str, str] = {}
        for external, ours in pairs.items():
            resolved = resolve_field(entity, ours.strip()) if isinstance(ours, str) else None
            if not isinstance(external, str) or not external.strip():
                message = f"{external!r} is not the name of a field on a platform."
                problems.append(Problem((name, str(external)), message))
            elif resolved is None:
                problems.append(_no_field(entity, ours).under(name, external))
            else:
                fields[external] = resolved
        read[name] = FieldMapping(fields)
    return read, problems


def _no_field(entity: type[Entity], given: object) -> Problem:
    if not isinstance(given, str):
        return Problem((), f"must name a field of {entity.__name__}, not {kind_of(given)}.")
    fields = mappable_fields(entity)
    message = f"{given!r} is not a field of {entity.__name__} that can be mapped."
    return Problem((), message, (*fields, "custom.<name>"), _nearest_field(entity, given))


def _nearest_field(entity: type[Entity], given: str) -> str | None:
    head, dot, rest = given.partition(".")
    if head == "custom":
        return "custom.<name>"
    near = closest(head, (*mappable_fields(entity), *(["custom"] if dot else [])))
    if near is None or not dot:
        return near
    return resolve_field(entity, f"{near}.{rest}") or near


def _reach(record: object, path: str) -> Any:
    for name in path.split("."):
        if record is None:
            return None
        if isinstance(record, Mapping):
            record = record.get(name, msgspec.UNSET)
        else:
            record = getattr(record, name, msgspec.UNSET)
        if record is msgspec.UNSET:
            return record
    return record


def _put(values: dict[str, Any], path: str, value: object) -> None:
    *outer, name = path.split(".")
    for part in outer:
        values = values.setdefault(part, {})
    values[name] = value


def _no_attribute(name: str, table: Mapping[str, Any], noun: str) -> AttributeError:
    near = closest(name, table)
    hint = f" Did you mean {near!r}?" if near else f" Declared: {', '.join(table) or 'none'}."
    return AttributeError(f"There is no {noun} {name!r}.{hint}")
