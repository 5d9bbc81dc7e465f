"""Creating, changing, deleting and merging rows by the platform's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.identifier import to_id18
from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.refusal import (
    SalesforceError,
    entity_is_deleted,
    json_error,
    not_found,
)
from dovetail.simulators.salesforce.sobject import Row, SObject
from dovetail.simulators.salesforce.value import clean

_MAX_MERGED = 3


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did."""

    id: str
    created: bool


class AmbiguousKeyError(SalesforceError):
    """Several rows have the key of an upsert; nothing was written."""

    def __init__(self, field: Field, ids: list[str]) -> None:
        message = f"{field.name}: more than one record found for external id field: {ids}"
        super().__init__(300, "DUPLICATE_EXTERNAL_ID", message.replace("'", ""), (field.name,))
        self.ids = ids


class DuplicatesDetectedError(SalesforceError):
    """A duplicate rule found rows like the new one; the caller may insist."""

    def __init__(self, sobject: SObject, ids: list[str]) -> None:
        super().__init__(400, "DUPLICATES_DETECTED", "Use one of these records?")
        self._object_name = sobject.name
        self._ids = ids

    def to_body(self) -> list[dict[str, Any]]:
        """Return the error with the rows that were found."""
        found = [
            {
                "matchConfidence": 100,
                "record": {"attributes": {"type": self._object_name}, "Id": row_id},
            }
            for row_id in self._ids
        ]
        result = {
            "allowSave": True,
            "duplicateRule": f"{self._object_name}s_DR",
            "duplicateRuleEntityType": self._object_name,
            "errorMessage": self.message,
            "matchResults": [
                {
                    "entityType": self._object_name,
                    "errors": [],
                    "matchRecords": found,
                    "rule": f"{self._object_name}s_MR",
                    "size": len(found),
                    "success": True,
                }
            ],
        }
        # The platform really misspells this key.
        return [{"duplicateResut": result, "errorCode": self.code, "message": self.message}]


class Writer:
    """Applies writes to an org, one row at a time; a refused write leaves no trace."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def create(
        self, sobject: SObject, sent: Mapping[str, Any], *, allow_duplicates: bool = False
    ) -> str:
        """Create a row and return its id."""
        self._check_writable(sobject)
        values = self._clean_all(sobject, sent)
        values |= sobject.imply(values)
        missing = [
            field.name
            for field in sobject.fields
            if field.required and values.get(field.name) is None
        ]
        if missing:
            raise _required_missing(missing)
        if sobject.needs_one_of and not any(values.get(name) for name in sobject.needs_one_of):
            raise _required_missing(list(sobject.needs_one_of))
        self._check_unique(sobject, values, own_id=None)
        self._check_unique_sets(sobject, values)
        if self._org.has_duplicate_rule and not allow_duplicates:
            self._check_duplicate_rule(sobject, values)
        row = self._org.insert(sobject.name, values, at=moment.to_text(self._org.now()))
        return str(row["Id"])

    def update(
        self,
        sobject: SObject,
        row_id: str,
        sent: Mapping[str, Any],
        *,
        is_automated: bool = False,
    ) -> Row:
        """Set the sent fields of a row; return its new version."""
        self._check_writable(sobject)
        row = self.existing(sobject, row_id)
        values = self._clean_all(sobject, sent, is_update=True)
        values |= sobject.imply(values)
        emptied = [
            field.name
            for field in sobject.fields
            if field.required and field.name in values and values[field.name] is None
        ]
        if emptied:
            raise _required_missing(emptied)
        self._check_unique(sobject, values, own_id=row_id)
        return self._org.replace(row, values, is_automated=is_automated)

    def upsert(
        self,
        sobject: SObject,
        key_field: Field,
        key: str,
        sent: Mapping[str, Any],
        *,
        update_only: bool = False,
        allow_duplicates: bool = False,
    ) -> Upserted:
        """
        Update the one row that has the key, or create it.

        Raises:
            AmbiguousKeyError: Several rows have it.
        """
        if key_field.name == "Id":
            return Upserted(self.update(sobject, key, sent)["Id"], created=False)
        ids = self.live_ids_by_key(sobject, key_field, key)
        if len(ids) > 1:
            raise AmbiguousKeyError(key_field, ids)
        if ids:
            self.update(sobject, ids[0], sent)
            return Upserted(ids[0], created=False)
        if update_only:
            raise not_found()
        whole = {**sent, key_field.name: key}
        return Upserted(
            self.create(sobject, whole, allow_duplicates=allow_duplicates), created=True
        )

    def delete(self, sobject: SObject, row_id: str) -> None:
        """Move a row to the bin."""
        self._check_writable(sobject)
        self._org.replace(self.existing(sobject, row_id), {"IsDeleted": True})

    def undelete(self, sobject: SObject, row_id: str) -> Row:
        """Take a row out of the bin; it keeps its id."""
        row = self._org.table(sobject).committed.rows.get(row_id)
        if row is None or not row["IsDeleted"]:
            raise not_found()
        self._check_unique(sobject, row, own_id=row_id)
        changes: dict[str, Any] = {"IsDeleted": False}
        if "MasterRecordId" in row:
            changes["MasterRecordId"] = None
        return self._org.replace(row, changes)

    def merge(self, sobject: SObject, winner_id: str, loser_ids: list[str]) -> Row:
        """
        Merge rows as a person does: losers go to the bin, their children move, the winner changes.

        Blank fields of the winner stay blank: which values survive is the person's choice, and
        whoever wants some passes them in an edit of their own.
        """
        if not sobject.is_mergeable:
            raise SalesforceError(400, "INVALID_OPERATION", f"{sobject.name} cannot be merged")
        if winner_id in loser_ids or not 1 <= len(loser_ids) < _MAX_MERGED:
            raise SalesforceError(
                400, "INVALID_OPERATION", f"merge 2 or {_MAX_MERGED} different records"
            )
        winner = self.existing(sobject, winner_id)
        losers = [self.existing(sobject, loser_id) for loser_id in loser_ids]
        for loser in losers:
            self._org.replace(loser, {"IsDeleted": True, "MasterRecordId": winner_id})
            self._move_children(sobject, loser["Id"], winner_id)
        return self._org.replace(winner, {})

    def existing(self, sobject: SObject, row_id: str) -> Row:
        """
        Return a row that is not in the bin.

        Raises:
            SalesforceError: NOT_FOUND or ENTITY_IS_DELETED (404).
        """
        row = self._org.table(sobject).committed.rows.get(row_id)
        if row is None:
            raise not_found()
        if row.get("IsDeleted"):
            raise entity_is_deleted()
        return row

    def live_ids_by_key(self, sobject: SObject, key_field: Field, key: str) -> list[str]:
        """Return the ids of the rows that have this key and are not in the bin."""
        index = self._org.table(sobject).committed
        found = index.ids_by_key(key_field.name, key.strip())
        return sorted(row_id for row_id in found if not index.rows[row_id]["IsDeleted"])

    def _check_writable(self, sobject: SObject) -> None:
        if not sobject.is_writable:
            raise SalesforceError(
                400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"{sobject.name} cannot be written"
            )

    def _clean_all(
        self, sobject: SObject, sent: Mapping[str, Any], *, is_update: bool = False
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        read_only = []
        for name, raw in sent.items():
            if name == "attributes":
                continue
            field = sobject.find(name)
            if field is None:
                values.update(self._relate_by_key(sobject, name, raw))
            elif not field.is_writable or (is_update and field.create_only):
                read_only.append(field.name)
            else:
                values[field.name] = self._check_reference(field, clean(field, raw))
        if read_only:
            raise SalesforceError(
                400,
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {', '.join(read_only)}. Please check the"
                " security settings of this field and verify that it is read/write for your"
                " profile or permission set.",
                tuple(read_only),
            )
        return values

    def _check_reference(self, field: Field, value: Any) -> Any:
        if field.type != "reference" or value is None:
            return value
        for target in field.refers_to:
            row = self._org.lookup(target, value)
            if row is not None and not row.get("IsDeleted"):
                return value
        raise SalesforceError(
            400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (field.name,)
        )

    def _relate_by_key(self, sobject: SObject, name: str, raw: Any) -> dict[str, Any]:
        """Read ``"Account": {"Hub_Key__c": "acc-1"}``: a reference by the key of its target."""
        reference = sobject.find_relationship(name)
        if reference is None:
            raise SalesforceError(
                400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}"
            )
        if not isinstance(raw, Mapping):
            raise json_error(f"Unexpected value for '{name}': an object is expected")
        target = self._org.catalog[reference.refers_to[0].lower()]
        keys = [(target.find(key), value) for key, value in raw.items() if key != "attributes"]
        if len(keys) != 1 or keys[0][0] not in target.key_fields or not keys[0][1]:
            raise SalesforceError(
                400, "INVALID_FIELD", f"The relationship '{name}' needs exactly one external id"
            )
        (field, value), ids = keys[0], []
        if field is not None:
            ids = self.live_ids_by_key(target, field, str(value))
        if len(ids) != 1:
            raise SalesforceError(
                400,
                "INVALID_FIELD",
                f"Foreign key external ID: {value} not found for field"
                f" {raw and next(iter(raw))} in entity {target.name}",
            )
        return {reference.name: ids[0]}

    def _check_unique(
        self, sobject: SObject, values: Mapping[str, Any], *, own_id: str | None
    ) -> None:
        for field in sobject.key_fields:
            value = values.get(field.name)
            if not field.unique or value is None:
                continue
            for row_id in self.live_ids_by_key(sobject, field, value):
                if row_id != own_id:
                    raise SalesforceError(
                        400,
                        "DUPLICATE_VALUE",
                        f"duplicate value found: {field.name} duplicates value on record with"
                        f" id: {row_id}",
                        (),
                    )

    def _check_unique_sets(self, sobject: SObject, values: Mapping[str, Any]) -> None:
        index = self._org.table(sobject).committed
        for names in sobject.unique_sets:
            wanted: list[Any] = [values.get(name) for name in names]
            if None in wanted:
                continue
            for row_id in index.ids_by_key(names[-1], wanted[-1]):
                row = index.rows[row_id]
                if not row["IsDeleted"] and [row[name] for name in names] == wanted:
                    raise SalesforceError(400, "DUPLICATE_VALUE", sobject.unique_message, ())

    def _check_duplicate_rule(self, sobject: SObject, values: Mapping[str, Any]) -> None:
        field, email = sobject.find("Email"), values.get("Email")
        if sobject.name != "Contact" or field is None or email is None:
            return
        ids = self.live_ids_by_key(sobject, field, email)
        if ids:
            raise DuplicatesDetectedError(sobject, ids)

    def _move_children(self, parent: SObject, old_id: str, new_id: str) -> None:
        for child in self._org.catalog.values():
            for field in child.fields:
                if field.refers_to != (parent.name,) or field.name == "MasterRecordId":
                    continue
                rows = self._org.table(child).committed.rows
                for row in [row for row in rows.values() if row[field.name] == old_id]:
                    self._org.replace(row, {field.name: new_id}, is_automated=True)


def row_id_of(text: str, sobject: SObject) -> str | None:
    """Return the 18-character id when *text* is an id of that object."""
    id18 = to_id18(text)
    return id18 if id18 is not None and id18.startswith(sobject.key_prefix) else None


def _required_missing(names: list[str]) -> SalesforceError:
    return SalesforceError(
        400,
        "REQUIRED_FIELD_MISSING",
        f"Required fields are missing: [{', '.join(names)}]",
        tuple(names),
    )
