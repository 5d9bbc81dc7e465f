"""
The CRM objects of one portal: what a write does, whoever asks for it.

Every rule is here once; the API, the control endpoints and loaded files all write through it.
Checking comes before writing, so that a batch can be refused as a whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dovetail.simulator_sdk.record import Record, Table
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulator_sdk.replica import Replica
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.association import AssociationStore
from dovetail.simulators.hubspot.catalog import (
    DEFAULT_VALUES,
    OBJECT_TYPES,
    ObjectType,
    first_group,
    group_of,
    native_properties,
)
from dovetail.simulators.hubspot.merging import merged_fields, moved_fields
from dovetail.simulators.hubspot.pipeline import PipelineStore
from dovetail.simulators.hubspot.property import (
    InvalidValueError,
    Property,
    iso,
    later_stage,
    stored_value,
)
from dovetail.simulators.hubspot.unique_key import UniqueKeys

Fields = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a record, for whoever subscribed to it."""

    kind: ObjectType
    event: str
    record: Record
    at: datetime
    source: str
    facts: Mapping[str, Any]


class ObjectStore:
    """
    The records of every type, their properties, unique keys and search indexes.

    Args:
        now: The platform's clock.
        rng: Gaps between ids.
        owners: Known owner ids.
        tell: Called with each change.
        keeps_primary_id: Whether what a merge leaves has the id of the primary record.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
        owners: frozenset[str],
        tell: Callable[[Change], None],
        keeps_primary_id: bool = False,
    ) -> None:
        self._now = now
        self._rng = rng
        self._owners = owners
        self._tell = tell
        self._keeps_primary_id = keeps_primary_id
        self._last_id = 100
        self.tables = {
            name: Table(name, history=kind.history) for name, kind in OBJECT_TYPES.items()
        }
        self.search = {name: Replica() for name in OBJECT_TYPES}
        self.properties: dict[str, dict[str, Property]] = {
            name: native_properties(kind) for name, kind in OBJECT_TYPES.items()
        }
        self.groups: dict[str, dict[str, dict[str, Any]]] = {
            name: {group_of(kind): first_group(kind)} for name, kind in OBJECT_TYPES.items()
        }
        self.links = AssociationStore()
        self.pipelines = PipelineStore(self.properties, iso(now()))
        self.keys = UniqueKeys(self.properties)

    # Reading

    def resolve(self, kind: ObjectType, id: str) -> Record | None:
        """Return the live record of an id; ids of merged records lead to what they became."""
        table = self.tables[kind.name]
        record = table.get(id)
        while record is not None and record.merged_into is not None:
            record = table.get(record.merged_into)
        return record if record is not None and not record.deleted else None

    def find(self, kind: ObjectType, id_property: str | None, key: str) -> Record | None:
        """
        Return the live record with this id, or with this value of a unique property.

        Raises:
            RefusedError: The property cannot be used to find records.
        """
        if id_property is None:
            return self.resolve(kind, key)
        self.check_id_property(kind, id_property)
        id = self.keys.owner(kind, id_property, key)
        return self.tables[kind.name].live(id) if id is not None else None

    def check_id_property(
        self, kind: ObjectType, id_property: str, *, action: str = "read"
    ) -> None:
        """Refuse a property that does not identify records."""
        definition = self.properties[kind.name].get(id_property)
        if definition is None or definition.archived or not definition.unique:
            raise refusal.invalid(
                f"Unable to perform {action} by non-unique {kind.type_id} property {id_property}"
            )

    def value(self, kind: ObjectType, record: Any, name: str) -> str | None:
        """Return a property of a record or snapshot, system properties too."""
        if name == "createdate":
            return iso(record.created_at)
        if name == kind.modified:
            return iso(record.modified_at)
        if name == "hs_object_id":
            return str(record.id)
        if name == "hs_is_closed_won":
            stage = record.fields.get("pipeline"), record.fields.get("dealstage")
            return str(self.pipelines.is_won(*stage)).lower()
        value: str | None = record.fields.get(name)
        return value

    # Checking

    def clean(
        self, kind: ObjectType, properties: Mapping[str, Any], *, before: Record | None
    ) -> Fields:
        """
        Return the values as they will be stored.

        Raises:
            RefusedError: Some values are not valid; all are named.
        """
        cleaned: Fields = {}
        problems: list[tuple[str, str, str]] = []
        for name, sent in properties.items():
            definition = self.properties[kind.name].get(name)
            if definition is None or definition.archived:
                message = f'Property "{name}" does not exist'
                problems.append((name, "PROPERTY_DOESNT_EXIST", message))
                continue
            if sent is None:
                continue
            if definition.read_only:
                message = f'"{name}" is a read only property; its value cannot be set.'
                problems.append((name, "READ_ONLY_VALUE", message))
                continue
            present = before.fields.get(name) if before is not None else None
            try:
                cleaned[name] = self._stored(definition, _text(name, sent), present)
            except InvalidValueError as exc:
                problems.append((name, exc.code, exc.message))
        if problems:
            raise refusal.invalid_properties(problems)
        return cleaned

    def check_create(self, kind: ObjectType, properties: Mapping[str, Any]) -> Fields:
        """Return the values of a new record, or refuse it."""
        cleaned = self.clean(kind, properties, before=None)
        fields: Fields = dict(DEFAULT_VALUES[kind.name])
        fields.update({name: value for name, value in cleaned.items() if value is not None})
        if kind.needs_one_of and not any(fields.get(name) for name in kind.needs_one_of):
            listed = ", ".join(kind.needs_one_of)
            raise refusal.invalid(
                f"Error creating {kind.name.upper()}. Some required properties were not set: "
                f"one of [{listed}] is needed.",
                field=kind.needs_one_of[0],
            )
        self._check_stage(kind, fields, {})
        self.keys.check(kind, fields, owner=None)
        return fields

    def check_update(
        self, kind: ObjectType, record: Record, properties: Mapping[str, Any]
    ) -> Fields:
        """Return the values to change in a record, or refuse them."""
        changes = self.clean(kind, properties, before=record)
        if "lifecyclestage" in changes:
            before = record.fields.get("lifecyclestage")
            changes["lifecyclestage"] = later_stage(before, changes["lifecyclestage"])
        self._check_stage(kind, changes, record.fields)
        self.keys.check(kind, changes, owner=record.id)
        return changes

    # Writing: the values were checked

    def create(self, kind: ObjectType, fields: Fields, *, source: str) -> Record:
        """Add a record of checked values."""
        at = self._now()
        record = self.insert(kind, fields, created_at=at, modified_at=at, source=source)
        self._tell(Change(kind, "creation", record, at, source, {"changeFlag": "NEW"}))
        for name, value in fields.items():
            self._tell_property(kind, record, name, value, at, source)
        return record

    def insert(
        self,
        kind: ObjectType,
        fields: Fields,
        *,
        created_at: datetime,
        modified_at: datetime,
        source: str,
        indexed_at: datetime | None = None,
    ) -> Record:
        """Add a record without telling anybody; search learns of it when it was modified."""
        self._last_id += self._rng.randrange(1, 60)
        record = self.tables[kind.name].insert(
            str(self._last_id), fields, at=created_at, modified_at=modified_at, source=source
        )
        self.keys.claim(kind, record.id, fields)
        self.search[kind.name].put(record, at=indexed_at or modified_at)
        return record

    def update(self, kind: ObjectType, record: Record, changes: Fields, *, source: str) -> Record:
        """Change checked values of a record. Its modification time moves in any case."""
        at = self._now()
        differing = {
            name: value for name, value in changes.items() if record.fields.get(name) != value
        }
        before = {name: record.fields.get(name) for name in differing}
        self.keys.release(kind, record.id, before)
        self.keys.claim(kind, record.id, differing)
        self.tables[kind.name].update(record.id, changes, at=at, source=source)
        self.search[kind.name].put(record, at=at)
        for name, value in differing.items():
            self._tell_property(kind, record, name, value, at, source)
        return record

    def archive(self, kind: ObjectType, record: Record, *, source: str) -> Record:
        """Delete a record softly."""
        at = self._now()
        self.keys.release(kind, record.id, record.fields)
        self.tables[kind.name].delete(record.id, at=at, source=source)
        self.search[kind.name].put(record, at=at)
        self._tell(Change(kind, "deletion", record, at, source, {"changeFlag": "DELETED"}))
        return record

    def restore(self, kind: ObjectType, id: str, *, source: str) -> Record:
        """
        Take a record out of the archive, as people can; its id and links come back.

        Raises:
            RefusedError: It is not archived, or another record has its e-mail address by now.
        """
        record = self.tables[kind.name].get(id)
        if record is None or not record.deleted or record.merged_into is not None:
            raise refusal.not_found(f"no archived {kind.singular} {id!r}")
        self.keys.check(kind, record.fields, owner=id)
        at = self._now()
        self.tables[kind.name].restore(id, at=at)
        self.keys.claim(kind, id, record.fields)
        self.search[kind.name].put(record, at=at)
        self._tell(Change(kind, "restore", record, at, source, {}))
        return record

    def erase(self, kind: ObjectType, record: Record, *, source: str) -> None:
        """Delete a record and everything that it held."""
        self.archive(kind, record, source=source)
        self.links.drop(kind.name, record.id)
        record.fields.clear()
        record.history.clear()
        at = self._now()
        self._tell(Change(kind, "privacyDeletion", record, at, source, {"changeFlag": "DELETED"}))

    def merge(self, kind: ObjectType, primary: Record, other: Record, *, source: str) -> Record:
        """Merge two records into a new one (or the primary one), which both old ids lead to."""
        at, keeps_id, moved = self._now(), self._keeps_primary_id, moved_fields(primary, other)
        fields = merged_fields(kind, primary, other, at=at, keeps_id=keeps_id)
        for record in (primary, other):
            self.keys.release(kind, record.id, record.fields)
        if keeps_id:
            merged = self.tables[kind.name].update(primary.id, fields, at=at, source=source)
            self.keys.claim(kind, merged.id, fields)
            self.search[kind.name].put(merged, at=at)
        else:
            created_at = min(primary.created_at, other.created_at)
            merged = self.insert(kind, fields, created_at=created_at, modified_at=at, source=source)
        for record in (other,) if keeps_id else (primary, other):
            self.tables[kind.name].delete(record.id, at=at, source=source, merged_into=merged.id)
            self.search[kind.name].put(record, at=at)
            self.links.move(kind.name, record.id, merged.id)
        facts = {
            "primaryObjectId": int(primary.id),
            "mergedObjectIds": [int(other.id)],
            "newObjectId": int(merged.id),
            "numberOfPropertiesMoved": len(moved),
        }
        self._tell(Change(kind, "merge", merged, at, source, facts))
        return merged

    def _stored(self, definition: Property, value: str, present: str | None) -> str | None:
        stored = stored_value(definition, value, before=present)
        if definition.name != "hubspot_owner_id" or stored is None or stored in self._owners:
            return stored
        raise InvalidValueError("INVALID_OWNER_ID", f"Owner with id {stored} does not exist")

    def _check_stage(self, kind: ObjectType, changes: Fields, before: Fields) -> None:
        problem = self.pipelines.problem(kind.name, changes, before)
        if problem is not None:
            raise refusal.invalid_properties([problem])

    def _tell_property(
        self,
        kind: ObjectType,
        record: Record,
        name: str,
        value: str | None,
        at: datetime,
        source: str,
    ) -> None:
        facts = {"propertyName": name, "propertyValue": value or ""}
        self._tell(Change(kind, "propertyChange", record, at, source, facts))


def _text(name: str, sent: Any) -> str:
    if isinstance(sent, bool):
        return str(sent).lower()
    if isinstance(sent, str | int | float):
        return str(sent)
    raise RefusedError(
        f"Invalid input JSON: the value of {name} is not a text", code="VALIDATION_ERROR"
    )
