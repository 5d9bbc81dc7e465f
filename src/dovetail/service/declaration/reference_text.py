"""Which references between records a declaration keeps, and which it leaves alone."""

from __future__ import annotations

from collections.abc import Mapping

from dovetail.service.declaration.section import Section
from dovetail.service.declaration.service import Service
from dovetail.service.entity_catalog import singular
from dovetail.service.platform_catalog import title_of

_LINE = (
    "A reference is kept where the record that it points to is synced through the same connection."
)


def references_of(
    service: Service, references: Mapping[tuple[str, str], Mapping[str, tuple[str, str]]]
) -> Section | None:
    """Return a row for each reference of the entities that a service syncs."""
    mappings = service.mappings
    synced = {one.name: singular(one.entity) for one in service.entities_synced}
    rows: list[tuple[str, ...]] = []
    for name, entity in synced.items():
        for platform in service.platform_names:
            declared = mappings[entity].get(platform) if entity in mappings else None
            for theirs, (ours, target) in references.get((platform, name), {}).items():
                if target not in synced:
                    kept = f"left alone: {target} are not among the entities"
                elif declared is not None and declared.get(theirs) != ours:
                    kept = "left alone: the mapping does not name it"
                else:
                    kept = "kept"
                rows.append((name, title_of(platform), theirs, ours, target, kept))
    if not rows:
        return None
    columns = ("Entity", "Platform", "Its field", "Our field", "Points to", "")
    return Section("References between records", (_LINE,), columns, tuple(rows))
