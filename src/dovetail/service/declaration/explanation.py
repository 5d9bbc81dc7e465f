"""What a declaration means, in words and tables; plain data that the command line prints."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dovetail.core.duration import format_duration
from dovetail.service.declaration.integration import (
    PREFER_NON_BLANK,
    ConflictResolution,
    Deletes,
    IntegrationConfig,
    SyncBy,
)
from dovetail.service.declaration.price_text import money_text, rate_lines
from dovetail.service.declaration.reference_text import references_of
from dovetail.service.declaration.section import Section
from dovetail.service.declaration.service import Service, SyncedEntity
from dovetail.service.entity_catalog import singular
from dovetail.service.platform_catalog import kind_of_platform, title_of

__all__ = ["ENGINES", "Section", "explain"]

ENGINES: frozenset[str] = frozenset({"sync"})
"""
Which engines this version has.

The others that a declaration may ask for: ``field-policies``, ``deletes``, ``routing``,
``payments``, ``workflows``, ``campaigns``, ``metering``.
"""

_POLICIES = {
    ConflictResolution.LAST_WRITE_WINS: "the value that was changed last wins, by the clock of "
    "the platform it was changed on",
    ConflictResolution.MANUAL_REVIEW: "both values are kept as a SyncConflict for a person to "
    "decide; the rest of the record goes on",
    ConflictResolution.PREFER_EXTERNAL: "the platform's value wins",
    ConflictResolution.PREFER_INTERNAL: "our value wins",
    PREFER_NON_BLANK: "a value wins over a blank; of two values, the one that was changed last",
}


def explain(
    service: Service,
    *,
    connectors: Mapping[str, Collection[str]] | None = None,
    references: Mapping[tuple[str, str], Mapping[str, tuple[str, str]]] | None = None,
    engines: Collection[str] = ENGINES,
) -> list[Section]:
    """
    Return what the declaration means, section by section; parts not declared are left out.

    Args:
        service: The declaration.
        connectors: The connectors there are: platform -> the resources it holds (``contacts``).
            When not given, nothing is said about connectors.
        references: Platform and resource -> the platform's field -> our field and the resource
            that it points to.
        engines: The engines there are.
    """
    config = _config(service)
    sections = [
        _summary(service),
        _platforms(service, connectors),
        _sync(service, config, connectors),
        _conflicts(service, config),
        *_mappings(service),
        _unmapped(service, connectors),
        references_of(service, references or {}),
        _routing(service),
        _payments(config),
        _named("Workflows", config.workflows),
        _named("Campaigns", config.campaigns),
        _price(service),
        _not_run(service, config, connectors, engines),
    ]
    return [section for section in sections if section is not None]


def _config(service: Service) -> IntegrationConfig:
    return service.integration or IntegrationConfig()


def _summary(service: Service) -> Section:
    label = f"{service.type}, {service.subtype}" if service.subtype else str(service.type)
    return Section(service.name, (f"A service of the kind {service.kind} ({label}).",))


def _platforms(
    service: Service, connectors: Mapping[str, Collection[str]] | None
) -> Section | None:
    names = service.platform_names
    if not names:
        return None
    idle = not service.entities_synced and len(names) > len(_config(service).processors)
    lines = ("No entities are declared under integration, so nothing is synced.",) if idle else ()
    columns: tuple[str, ...] = ("Platform", "Name", "Kind")
    rows = [(title_of(name), name, str(kind_of_platform(name))) for name in names]
    if connectors is None:
        return Section("Platforms", lines, columns, tuple(rows))
    held = [", ".join(sorted(connectors.get(name, ()))) or "none yet" for name in names]
    with_held = tuple((*row, text) for row, text in zip(rows, held, strict=True))
    return Section("Platforms", lines, (*columns, "Connector"), with_held)


def _sync(
    service: Service,
    config: IntegrationConfig,
    connectors: Mapping[str, Collection[str]] | None,
) -> Section | None:
    if not service.entities_synced:
        return None
    lines = [
        "The handlers of the module do the syncing; the engine leaves these entities alone."
        if config.sync_by is SyncBy.HANDLERS
        else "The engine keeps these entities the same on every platform; no handler is needed."
    ]
    if config.deletes is Deletes.PROPAGATE:
        lines.append("A record that is deleted on one side is deleted on the others.")
    else:
        lines.append("A record that is deleted on one side is kept on the others.")
    direction = _direction(service)
    columns: tuple[str, ...] = ("Entity", "Direction", "When")
    rows = [(synced.name, direction, _timing(synced)) for synced in service.entities_synced]
    if connectors is None:
        return Section("What is synced", tuple(lines), columns, tuple(rows))
    held = [_holders(service, connectors, synced.name) for synced in service.entities_synced]
    with_held = tuple((*row, text) for row, text in zip(rows, held, strict=True))
    return Section("What is synced", tuple(lines), (*columns, "Runs with"), with_held)


def _holders(service: Service, connectors: Mapping[str, Collection[str]], entity: str) -> str:
    holders = [name for name in service.platform_names if entity in connectors.get(name, ())]
    return ", ".join(title_of(name) for name in holders) or "none yet"


def _direction(service: Service) -> str:
    if service.syncs_inbound and service.syncs_outbound:
        return "both ways"
    return "from the platforms to us" if service.syncs_inbound else "from us to the platforms"


def _timing(synced: SyncedEntity) -> str:
    interval = format_duration(synced.interval)
    if synced.mode == "batch":
        return f"batch, every {interval}"
    return f"realtime: by webhook, with a poll every {interval} behind it"


def _conflicts(service: Service, config: IntegrationConfig) -> Section | None:
    if not service.entities_synced:
        return None
    policy = config.conflict_resolution
    lines = (
        "Only a field that was changed on both sides to different values is a conflict.",
        f"{policy}: {_POLICIES[policy]}.",
    )
    rows = tuple(
        (entity, field, named, _POLICIES.get(named, f"the value of {title_of(named)} wins"))
        for entity, fields in config.field_policies.items()
        for field, named in fields.items()
    )
    columns = ("Entity", "Field", "Policy", "Meaning") if rows else ()
    return Section("On a conflict", lines, columns, rows)


def _mappings(service: Service) -> list[Section]:
    return [
        Section(
            f"Mapping of {entity} on {title_of(platform)}",
            (),
            (f"{title_of(platform)} field", f"{entity} field"),
            tuple(mapping.items()),
        )
        for entity, platforms in service.mappings.items()
        for platform, mapping in platforms.items()
    ]


def _unmapped(service: Service, connectors: Mapping[str, Collection[str]] | None) -> Section | None:
    rows: list[tuple[str, str]] = []
    for synced in service.entities_synced:
        mapped: Mapping[str, object] = service.mappings.get(singular(synced.entity), {})
        titles = [
            title_of(platform)
            for platform in service.platform_names
            if platform not in mapped
            and (connectors is None or synced.name in connectors.get(platform, ()))
        ]
        if titles:
            rows.append((synced.name, ", ".join(titles)))
    if not rows:
        return None
    line = "No mapping is declared for these; the connector's own is used."
    return Section("Mapped by the connector", (line,), ("Entity", "Platforms"), tuple(rows))


def _routing(service: Service) -> Section | None:
    if service.routing is None:
        return None
    columns = ("Rule", "From", "Events", "To", "Transformed")
    rows = tuple(
        (
            rule.id,
            ", ".join(rule.source),
            ", ".join(rule.events),
            ", ".join(rule.destination),
            "yes" if rule.transform else "no",
        )
        for rule in service.routing.rules
    )
    return Section("Routing of events", (), columns, rows)


def _payments(config: IntegrationConfig) -> Section | None:
    lines: list[str] = []
    if config.routing is not None:
        titles = ", ".join(title_of(name) for name in config.processors)
        lines.append(f"Each payment goes to the processor that suits it best, of {titles}.")
    if config.features:
        lines.append(f"Features: {', '.join(config.features)}.")
    return Section("Payments", tuple(lines)) if lines else None


def _named(title: str, names: tuple[str, ...]) -> Section | None:
    return Section(title, (f"{', '.join(names)}.",)) if names else None


def _price(service: Service) -> Section | None:
    if service.pricing is None:
        return None
    rows = tuple(
        (estimate.usage, money_text(estimate.amount, service.pricing.currency))
        for estimate in service.pricing.estimates()
    )
    lines = tuple(rate_lines(service.pricing))
    return Section("What it costs", lines, ("For example", "Price"), rows)


def _not_run(
    service: Service,
    config: IntegrationConfig,
    connectors: Mapping[str, Collection[str]] | None,
    engines: Collection[str],
) -> Section | None:
    asked = {
        "field-policies": ("field policies", bool(config.field_policies)),
        "deletes": ("propagating deletes", config.deletes is Deletes.PROPAGATE),
        "routing": ("routing rules", service.routing is not None),
        "payments": ("payment processing", bool(config.processors or config.features)),
        "workflows": ("workflows", bool(config.workflows)),
        "campaigns": ("campaigns", bool(config.campaigns)),
        "metering": ("pricing (usage is not metered)", service.pricing is not None),
    }
    parts = [text for name, (text, wanted) in asked.items() if wanted and name not in engines]
    if connectors is not None:
        parts += _not_connected(service, connectors)
    if not parts:
        return None
    line = "Declared and kept; no engine in this version runs it:"
    return Section("Not run in this version", (line,), ("Part",), tuple((p,) for p in parts))


def _not_connected(service: Service, connectors: Mapping[str, Collection[str]]) -> list[str]:
    if not service.entities_synced:
        missing = [name for name in service.platform_names if name not in connectors]
        return [f"{title_of(name)} (no connector)" for name in missing]
    parts: list[str] = []
    for platform in service.platform_names:
        names = [synced.name for synced in service.entities_synced]
        lacking = [name for name in names if name not in connectors.get(platform, ())]
        if platform not in connectors:
            parts.append(f"{title_of(platform)} (no connector)")
        elif lacking:
            parts.append(f"{', '.join(lacking)} on {title_of(platform)}")
    return parts
