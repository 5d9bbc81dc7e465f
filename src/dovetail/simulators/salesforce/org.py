"""The state of one org: its objects, their rows, who is logged in, and undoing half a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.catalog import STANDARD_OBJECTS, add_external_ids
from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.identifier import IdSequence
from dovetail.simulators.salesforce.refusal import SalesforceError, not_found
from dovetail.simulators.salesforce.sobject import Row, SObject
from dovetail.simulators.salesforce.table import Table

_OBJECTS_WITH_EXTERNAL_IDS = frozenset(
    {"Contact", "Account", "Lead", "Opportunity", "Case", "Campaign"}
)


_OWN_USER = "Integration"
_USERS = (
    (_OWN_USER, "User", True),
    ("Grace", "Hopper", True),
    ("Alan", "Turing", True),
    ("Gone", "Away", False),
)


class Org:
    """
    One org.

    Args:
        now: The platform's time, in whole seconds.
        name: What the org is called.
        external_id_fields: Custom fields, External ID and Unique, of the objects that people keep.
        custom_fields: By object name, further fields of its own.
        has_duplicate_rule: Whether a contact with the e-mail address of another is questioned.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        name: str,
        external_id_fields: tuple[str, ...] = (),
        custom_fields: Mapping[str, Sequence[Field]] | None = None,
        has_duplicate_rule: bool = False,
    ) -> None:
        self.now = now
        self.has_duplicate_rule = has_duplicate_rule
        self.catalog: dict[str, SObject] = {}
        self._tables: dict[str, Table] = {}
        self._ids: dict[str, IdSequence] = {}
        self._journal: list[tuple[Table, str, Row | None]] | None = None
        self._case_number = 1000
        for sobject in STANDARD_OBJECTS:
            whole = sobject
            if sobject.name in _OBJECTS_WITH_EXTERNAL_IDS:
                whole = add_external_ids(sobject, external_id_fields)
            own = tuple((custom_fields or {}).get(sobject.name, ()))
            whole = replace(whole, fields=whole.fields + own)
            self.catalog[whole.name.lower()] = whole
            self._tables[whole.name] = Table(whole)
            self._ids[whole.name] = IdSequence(whole.key_prefix)
        self.id = self._ids["Organization"].new()
        self.user_id = self._ids["User"].new()
        self.founded_at = moment.to_text(now())
        self._found(name)

    def _found(self, name: str) -> None:
        self.insert(
            "Organization",
            {
                "Name": name,
                "OrganizationType": "Enterprise Edition",
                "InstanceName": "SBX1",
                "IsSandbox": True,
            },
            row_id=self.id,
            at=self.founded_at,
        )
        for first, last, active in _USERS:
            email = f"{first}@sandbox.example.com".lower()
            is_own = first == _OWN_USER
            self.insert(
                "User",
                {
                    "Username": email,
                    "FirstName": first,
                    "LastName": last,
                    "Name": f"{first} {last}",
                    "Email": email,
                    "IsActive": active,
                },
                row_id=self.user_id if is_own else None,
                at=self.founded_at,
            )

    def sobject(self, name: str) -> SObject:
        """
        Return the object of that name, in any case.

        Raises:
            SalesforceError: There is none (404).
        """
        found = self.catalog.get(name.lower())
        if found is None:
            raise not_found()
        return found

    def add_field(self, sobject: SObject, field: Field) -> None:
        """
        Add a field to an object; rows that exist have its default.

        Raises:
            SalesforceError: The object has such a field.
        """
        if sobject.find(field.name) is not None:
            message = f"There is already a field named {field.name} on {sobject.name}."
            raise SalesforceError(400, "DUPLICATE_DEVELOPER_NAME", message, (field.name,))
        wider = replace(sobject, fields=(*sobject.fields, field))
        self.catalog[wider.name.lower()] = wider
        self._tables[wider.name].widen(wider, field.name, field.default)

    def table(self, sobject: SObject) -> Table:
        """Return the rows of an object."""
        return self._tables[sobject.name]

    def lookup(self, object_name: str, row_id: str) -> Row | None:
        """Return the row, also a deleted one."""
        return self._tables[object_name].committed.rows.get(row_id)

    def sobject_of_id(self, id18: str) -> SObject | None:
        """Return the object whose ids start like this one."""
        for sobject in self.catalog.values():
            if sobject.key_prefix == id18[:3]:
                return sobject
        return None

    def new_id(self, sobject: SObject) -> str:
        """Return the next id of an object."""
        return self._ids[sobject.name].new()

    def insert(
        self,
        object_name: str,
        values: dict[str, Any],
        *,
        row_id: str | None = None,
        at: str,
        modified_at: str | None = None,
    ) -> Row:
        """Store a new row of clean *values* with its system fields; return it."""
        sobject = self.catalog[object_name.lower()]
        row: Row = {field.name: values.get(field.name, field.default) for field in sobject.fields}
        row["Id"] = row_id or self.new_id(sobject)
        if sobject.find("OwnerId") and row["OwnerId"] is None:
            row["OwnerId"] = self.user_id
        if sobject.name == "Case":
            self._case_number += 1
            row["CaseNumber"] = f"{self._case_number:08d}"
        row["CreatedDate"] = at
        row["LastModifiedDate"] = row["SystemModstamp"] = modified_at or at
        row["CreatedById"] = row["LastModifiedById"] = self.user_id
        row.update(sobject.derive(row))
        self._put(row["Id"], row, self._tables[object_name])
        return row

    def replace(self, row: Row, changes: dict[str, Any], *, is_automated: bool = False) -> Row:
        """
        Store a new version of a row and return it.

        Every write moves SystemModstamp, also one that changes nothing; a workflow or a job
        (*is_automated*) leaves LastModifiedDate where it was.
        """
        sobject = self.sobject_of_id(row["Id"])
        if sobject is None:
            msg = f"no object has ids like {row['Id']}"
            raise LookupError(msg)
        now = moment.to_text(self.now())
        changed = row | changes
        changed["SystemModstamp"] = now
        if not is_automated:
            changed["LastModifiedDate"] = now
            changed["LastModifiedById"] = self.user_id
        changed.update(sobject.derive(changed))
        self._put(row["Id"], changed, self._tables[sobject.name])
        return changed

    def forget(self, sobject: SObject, row_id: str) -> None:
        """Remove a row for good, as emptying the bin does."""
        self._put(row_id, None, self._tables[sobject.name])

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Undo every write inside when the block is left by a `SalesforceError`."""
        outer, self._journal = self._journal, []
        try:
            yield
        except SalesforceError:
            for table, row_id, before in reversed(self._journal):
                table.take_back(row_id, before)
            self._journal = outer
            raise
        if outer is not None:
            outer.extend(self._journal)
        self._journal = outer

    def _put(self, row_id: str, row: Row | None, table: Table) -> None:
        before = table.put(row_id, row, self.now())
        if self._journal is not None:
            self._journal.append((table, row_id, before))
