"""A service: everything that one declaration says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, NotRequired, Required, Self, TypedDict, Unpack

from pydantic import BeforeValidator, ValidationError

from dovetail.model.entity import Entity
from dovetail.service.declaration.base import Declaration, part
from dovetail.service.declaration.integration import IntegrationConfig, SyncMode
from dovetail.service.declaration.mapping import Mappings, read_mappings
from dovetail.service.declaration.pricing import AnyPricing, PricingModel, read_pricing
from dovetail.service.declaration.problem import (
    Problem,
    as_written,
    declaration_error,
    problems_of,
)
from dovetail.service.declaration.routing import Routing
from dovetail.service.declaration.value import Platforms, Text, choice
from dovetail.service.entity_catalog import find_entity, resolve_field
from dovetail.service.platform_catalog import Kind, is_platform, kind_of_platform, platform_names
from dovetail.service.spelling import closest, snake_case


class ServiceType(StrEnum):
    """What sort of service it is; Dovetail runs automation."""

    AUTOMATION = "automation"


@dataclass(frozen=True, slots=True)
class SyncedEntity:
    """
    An entity that a service syncs.

    `interval` is how often the platforms are read: for batch the whole timing, for realtime the
    poll behind the webhooks.
    """

    name: str
    entity: type[Entity]
    mode: Literal["realtime", "batch"]
    interval: timedelta


class ServiceFields(TypedDict):
    """The keyword arguments of `Service.create`; the tables take camelCase keys as well."""

    name: Required[str]
    type: NotRequired[ServiceType | str | None]
    subtype: NotRequired[str | None]
    platforms: NotRequired[list[str] | tuple[str, ...]]
    integration: NotRequired[IntegrationConfig | Mapping[str, Any] | None]
    mappings: NotRequired[Mapping[str, Any]]
    routing: NotRequired[Routing | Mapping[str, Any] | None]
    pricing: NotRequired[PricingModel | Mapping[str, Any] | None]


class Service(Declaration):
    """
    A declared service: which systems must agree, which events go where, what it costs.

    Make one with `Service.create`. It never changes afterwards, can be compared and hashed, and
    does nothing by itself: ``dovetail run`` runs it.
    """

    name: Text
    type: Annotated[ServiceType, BeforeValidator(choice(ServiceType, "a type of service"))] = (
        ServiceType.AUTOMATION
    )
    subtype: Text | None = None
    platforms: Platforms = ()
    integration: IntegrationConfig | None = None
    mappings: Annotated[Mappings, BeforeValidator(read_mappings)] = Mappings({})
    routing: Routing | None = None
    pricing: Annotated[AnyPricing | None, BeforeValidator(read_pricing)] = None

    @classmethod
    def create(cls, **fields: Unpack[ServiceFields]) -> Self:
        """
        Declare a service. Keys may be snake_case or camelCase, at every depth.

        Raises:
            DeclarationError: `problems` lists everything that is wrong, each with its path.
        """
        return cls.from_data(fields)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """
        Declare a service from plain data, as a YAML or JSON file holds it.

        Raises:
            DeclarationError: `problems` lists everything that is wrong, each with its path.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems = [as_written(problem, data) for problem in problems_of(error)]
            name = data.get("name")
            subject = f"the service {name!r}" if isinstance(name, str) else "the service"
            raise declaration_error(problems, subject) from error

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse platforms that are named twice, and mappings that belong to no platform."""
        return [*_check_platforms(fields), *_check_mappings(fields)]

    @classmethod
    def unknown_key(cls, key: str) -> Problem:
        """Return the problem of an unknown key, or say where in the declaration it belongs."""
        if snake_case(key) in IntegrationConfig.model_fields:
            return Problem((key,), f"belongs under integration: write integration.{key}.")
        return super().unknown_key(key)

    @property
    def platform_names(self) -> tuple[str, ...]:
        """Every platform of the service, processors included, in the order declared."""
        config = self._config
        return (*self.platforms, *config.platforms, *config.processors)

    @property
    def entities_synced(self) -> tuple[SyncedEntity, ...]:
        """What is synced, and when; empty for a service that declares no entities."""
        schedule = self._config.schedule
        synced: list[SyncedEntity] = []
        for name in self._config.entities:
            entity = find_entity(name)
            if entity is None:  # the validator let only known names through
                raise AssertionError(name)
            if name in schedule.batch:
                synced.append(SyncedEntity(name, entity, "batch", schedule.batch_interval))
            else:
                synced.append(SyncedEntity(name, entity, "realtime", schedule.poll_interval))
        return tuple(synced)

    @property
    def kind(self) -> Kind:
        """
        What the service is about: the `type` of its Integration records.

        The most frequent kind among its platforms; of equally frequent ones, the first named.
        """
        config = self._config
        if config.processors:
            return "payment"
        if config.campaigns:
            return "marketing"
        kinds = Counter(kind_of_platform(name) for name in self.platform_names)
        # Nobody says what a platform is for that another package adds; the others tell.
        del kinds["generic"]
        if kinds:
            return kinds.most_common(1)[0][0]
        return "routing" if self.routing else "generic"

    @property
    def syncs_inbound(self) -> bool:
        """Whether platforms' changes reach our records."""
        return self._config.sync_mode is not SyncMode.OUTBOUND

    @property
    def syncs_outbound(self) -> bool:
        """Whether our changes reach the platforms."""
        return self._config.sync_mode is not SyncMode.INBOUND

    @property
    def _config(self) -> IntegrationConfig:
        return self.integration or IntegrationConfig()


def _check_platforms(fields: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for path in (("platforms",), ("integration", "platforms"), ("integration", "processors")):
        names = part(fields, *path)
        where = ".".join(path)
        for position, name in enumerate(names if isinstance(names, list | tuple) else ()):
            if isinstance(name, str) and seen.setdefault(name, where) != where:
                message = f"{name!r} is listed under {seen[name]} already."
                problems.append(Problem((*path, position), message))
    return problems


def _declared_platforms(fields: Mapping[str, Any]) -> set[str]:
    lists = (
        part(fields, "platforms"),
        part(fields, "integration", "platforms"),
        part(fields, "integration", "processors"),
    )
    # A misspelt platform is reported where it stands; here it counts as what was meant.
    return {
        name if is_platform(name) else closest(name, platform_names()) or name
        for names in lists
        if isinstance(names, list | tuple)
        for name in names
        if isinstance(name, str)
    }


def _check_mappings(fields: Mapping[str, Any]) -> list[Problem]:
    mappings = fields.get("mappings")
    if not isinstance(mappings, Mapping):
        return []
    declared = _declared_platforms(fields)
    one_way = part(fields, "integration", "sync_mode") == SyncMode.OUTBOUND
    problems: list[Problem] = []
    for entity, platforms in mappings.items():
        for platform, pairs in platforms.items() if isinstance(platforms, Mapping) else ():
            path = ("mappings", str(entity), str(platform))
            if is_platform(str(platform)) and platform not in declared:
                message = f"{platform!r} is not a platform of this service."
                options = tuple(sorted(declared))
                problems.append(Problem(path, message, options, closest(platform, options)))
            if isinstance(pairs, Mapping) and not one_way:
                problems += [problem.under(*path) for problem in _check_targets(entity, pairs)]
    return problems


def _check_targets(name: object, pairs: Mapping[Any, Any]) -> list[Problem]:
    """Refuse two platform fields that would both be read into one of ours."""
    entity = find_entity(name) if isinstance(name, str) else None
    problems: list[Problem] = []
    sources: dict[str, str] = {}
    for external, ours in pairs.items():
        field = resolve_field(entity, ours) if entity and isinstance(ours, str) else None
        if field is not None and sources.setdefault(field, external) != external:
            message = (
                f"and {sources[field]} are both mapped to {field}, which could then only be read "
                "from one of them. Map one, or declare sync_mode: outbound."
            )
            problems.append(Problem((str(external),), message))
    return problems
