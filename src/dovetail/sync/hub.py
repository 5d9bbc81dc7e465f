"""Our own record as the sync sees it: canonical values, stamps of who changed what when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import to_micros
from dovetail.model.entity import Entity
from dovetail.runtime.record_document import entity_name as _name
from dovetail.runtime.record_document import read_record
from dovetail.runtime.record_table import load_records
from dovetail.runtime.store.port import Tx, upsert
from dovetail.runtime.store.schema import records
from dovetail.sync.canonical import canonical, literal
from dovetail.sync.identity import key_field
from dovetail.sync.policy import INTERNAL, Claim
from dovetail.sync.schema import sync_identities


@dataclass(slots=True)
class Hub:
    """
    One record of ours.

    `record` is None when it was deleted; `stamps` is field -> [changed at, origin, value hash].
    """

    id: str
    entity: type[Entity]
    record: Entity | None
    natural_key: str | None = None
    stamps: dict[str, list[Any]] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    is_new: bool = False
    is_identified: bool = False
    is_changed: bool = False

    def value(self, name: str) -> Any:
        """Return the canonical value of one of our fields."""
        if name in self.changes:
            return self.changes[name]
        try:
            found = literal(self.entity, name, _reach(self.record, name))
        except ValueError:
            return None
        return canonical(self.entity, name, found)

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Return canonical values by field."""
        return {name: self.value(name) for name in names}

    def claim(self, name: str) -> Claim:
        """
        Return our value and who stands for it.

        A value that its stamp does not fit was written here since: it counts as ours.
        """
        value = self.value(name)
        stamp = self.stamps.get(name)
        if stamp is not None and stamp[2] == value_hash(value):
            return Claim(value, stamp[0], stamp[1])
        if value is None and stamp is None:
            return Claim(None, 0, INTERNAL)
        updated_at = self.record.updated_at if self.record is not None else None
        return Claim(value, to_micros(updated_at) if updated_at else 0, INTERNAL)

    def stamp(self, name: str, claim: Claim) -> None:
        """Record who stands for a value."""
        wanted = [claim.changed_at, claim.origin, value_hash(claim.value)]
        if self.stamps.get(name) != wanted:
            self.stamps[name] = wanted
            self.is_changed = True

    def tidy(self, names: Iterable[str]) -> None:
        """Make our own record hold what everybody else is given: trimmed, in canonical case."""
        for name in names:
            held = _reach(self.record, name)
            value = self.value(name)
            if (
                isinstance(held, str)
                and held != value
                and held.strip().casefold() == (value.casefold() if isinstance(value, str) else "")
            ):
                self.change(name, value)

    def stamp_all(self, names: Iterable[str]) -> None:
        """Stamp what was written here since the last look."""
        for name in names:
            claim = self.claim(name)
            if claim.changed_at:
                self.stamp(name, claim)

    def change(self, name: str, value: Any) -> None:
        """Give a field a new value; written with the ledger."""
        self.changes[name] = value
        self.is_changed = True

    def record_changes(self) -> dict[str, Any]:
        """Return the changes as the record table takes them."""
        return nested(self.record, self.changes)


def value_hash(value: Any) -> str:
    """Return a short hash of a canonical value."""
    return hashlib.blake2b(json.canonical(value), digest_size=8).hexdigest()


def nested(record: Entity | None, values: dict[str, Any]) -> dict[str, Any]:
    """Return values by dotted field as values by top-level field, the rest kept as it is."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        head, dot, rest = name.partition(".")
        if not dot:
            result[head] = value
            continue
        if head not in result:
            held = getattr(record, head, None) if record is not None else None
            result[head] = msgspec.to_builtins(held) if held and head != "custom" else {}
        inner = result[head]
        *path, last = rest.split(".") if head != "custom" else [rest]
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return result


def fits(entity: type[Entity], name: str, value: Any) -> bool:
    """Return whether a record of ours can hold a canonical value."""
    try:
        msgspec.convert(nested(None, {name: value}), entity)
    except msgspec.ValidationError:
        return False
    return True


def load_hubs(
    tx: Tx, integration_id: str, business_id: str, entity: type[Entity], ids: Iterable[str]
) -> dict[str, Hub]:
    """Return our records with their identities; those that were deleted have no `record`."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    held = load_records(tx, entity, business_id, wanted)
    hubs = {id: Hub(id, entity, held.get(id)) for id in wanted}
    params: dict[str, Any] = {"of_integration": integration_id, "of_entity": _name(entity)}
    for start in range(0, len(wanted), 500):
        for row in tx.rows(_LOAD, params | {"of_ids": wanted[start : start + 500]}):
            hub = hubs[row.internal_id]
            hub.natural_key = row.natural_key
            hub.stamps = json.decode(row.stamps) if row.stamps else {}
            hub.is_identified = True
    return hubs


def find_by_keys(
    tx: Tx, integration_id: str, business_id: str, entity: type[Entity], keys: Sequence[str]
) -> dict[str, str]:
    """Return natural key -> our id, for the keys that are known."""
    found: dict[str, str] = {}
    table = sync_identities.c
    for start in range(0, len(keys), 500):
        for row in tx.rows(
            sa.select(table.natural_key, table.internal_id).where(
                table.integration_id == integration_id,
                table.entity == _name(entity),
                table.natural_key.in_(keys[start : start + 500]),
            )
        ):
            found[row.natural_key] = row.internal_id
    missing = [key for key in keys if key not in found]
    name = key_field(_name(entity))
    if name is None:
        return found
    # A record made here a moment ago may not have been given its identity yet. Unordered: an order
    # by id would make SQLite go through all of the tenant's records instead of the field's index.
    for start in range(0, len(missing), 500):
        unidentified = tx.rows(
            sa.select(records).where(
                records.c.entity == sa.literal_column(f"'{_name(entity)}'"),
                records.c.business_id == business_id,
                tx.json_field(name, "text").in_(missing[start : start + 500]),
            )
        )
        for row in sorted(unidentified, key=lambda row: row.id, reverse=True):
            held = read_record(entity, row)
            found[str(getattr(held, name))] = row.id
    return found


def save_identities(tx: Tx, integration_id: str, hubs: Iterable[Hub]) -> None:
    """Write the identities of the records that have changed."""
    changed = [hub for hub in hubs if hub.is_changed]
    # Keys are released before others take them, so that two records may swap theirs.
    tx.run(
        _RELEASE,
        [
            {"of_integration": integration_id, "of_entity": _name(hub.entity), "of_id": hub.id}
            for hub in changed
            if hub.is_identified
        ],
    )
    rows = [
        {
            "integration_id": integration_id,
            "entity": _name(hub.entity),
            "internal_id": hub.id,
            "natural_key": hub.natural_key,
            "stamps": json.encode(hub.stamps) if hub.stamps else None,
        }
        for hub in changed
    ]
    tx.run(_PUT(tx), rows)
    for hub in changed:
        hub.is_identified, hub.is_changed = True, False


def forget_identity(tx: Tx, integration_id: str, entity: str, internal_id: str) -> None:
    """Remove the identity of a record that was deleted."""
    tx.run(_FORGET, {"of_integration": integration_id, "of_entity": entity, "of_id": internal_id})


_PUT = upsert(sync_identities, "natural_key", "stamps")
_LOAD = sa.select(sync_identities).where(
    sync_identities.c.integration_id == sa.bindparam("of_integration"),
    sync_identities.c.entity == sa.bindparam("of_entity"),
    sync_identities.c.internal_id.in_(sa.bindparam("of_ids", expanding=True)),
)
_ONE = (
    sync_identities.c.integration_id == sa.bindparam("of_integration"),
    sync_identities.c.entity == sa.bindparam("of_entity"),
    sync_identities.c.internal_id == sa.bindparam("of_id"),
)
_RELEASE = sa.update(sync_identities).where(*_ONE).values(natural_key=None)
_FORGET = sa.delete(sync_identities).where(*_ONE)


def _reach(record: Any, path: str) -> Any:
    if "." not in path:
        return getattr(record, path, None)
    head, _, rest = path.partition(".")
    found = getattr(record, head, None)
    parts = [rest] if head == "custom" else rest.split(".")
    for part in parts:
        found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
    return found
