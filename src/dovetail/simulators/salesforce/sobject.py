"""A kind of record: its fields, its key prefix, and what the platform derives by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from dovetail.simulators.salesforce.field import Field

Row = dict[str, Any]
"""One version of a record: every stored field by its API name. Never changed in place."""

Derivation = Callable[[Mapping[str, Any]], dict[str, Any]]


def _derive_nothing(_row: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class SObject:
    """
    One kind of record.

    Attributes:
        name: API name, as ``Contact``.
        plural: Label of several, which is also the resource name of the control endpoints.
        key_prefix: The first three characters of its ids.
        fields: All fields, in the order of `describe`.
        derive: The calculated fields of a row.
        columns: Canonical column name of a loaded file -> API name.
        is_mergeable: Whether a person can merge such records.
        is_writable: Whether the REST API may change such records here.
        imply: What else a write sets, by what it sets itself.
        needs_one_of: Fields of which a new row must have one.
        unique_sets: Sets of fields that no two rows may share, where all are filled.
        unique_message: What the platform says of a second one.
    """

    name: str
    plural: str
    key_prefix: str
    fields: tuple[Field, ...]
    derive: Derivation = _derive_nothing
    columns: Mapping[str, str] = field(default_factory=dict)
    is_mergeable: bool = False
    is_writable: bool = True
    imply: Derivation = _derive_nothing
    needs_one_of: tuple[str, ...] = ()
    unique_sets: tuple[tuple[str, ...], ...] = ()
    unique_message: str = ""

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {item.name.lower(): item for item in self.fields}

    @cached_property
    def _by_relationship(self) -> dict[str, Field]:
        return {item.relationship.lower(): item for item in self.fields if item.relationship}

    def find(self, name: str) -> Field | None:
        """Return the field of that API name, in any case, or None."""
        return self._by_name.get(name.lower())

    def find_relationship(self, name: str) -> Field | None:
        """Return the reference that is walked by that relationship name, or None."""
        return self._by_relationship.get(name.lower())

    @cached_property
    def key_fields(self) -> tuple[Field, ...]:
        """Fields an upsert can match on, apart from the id; they are indexed."""
        return tuple(item for item in self.fields if item.external_id or item.id_lookup)

    @cached_property
    def indexed(self) -> tuple[str, ...]:
        """Names of the fields by which rows are found without looking at all of them."""
        keys = [item.name for item in self.key_fields if item.name != "Id"]
        return tuple(dict.fromkeys([*keys, *(names[-1] for names in self.unique_sets)]))

    def describe_summary(self, base_path: str) -> dict[str, Any]:
        """Return the object as the list of objects shows it."""
        path = f"{base_path}/sobjects/{self.name}"
        return {
            "name": self.name,
            "label": self.name,
            "labelPlural": self.plural,
            "keyPrefix": self.key_prefix,
            "custom": False,
            "createable": self.is_writable,
            "updateable": self.is_writable,
            "deletable": self.is_writable,
            "queryable": True,
            "retrieveable": True,
            "replicateable": self.is_writable,
            "mergeable": self.is_mergeable,
            "urls": {
                "sobject": path,
                "describe": f"{path}/describe",
                "rowTemplate": f"{path}/{{ID}}",
            },
        }

    def describe(self, base_path: str, catalog: Mapping[str, SObject]) -> dict[str, Any]:
        """Return the whole description of the object, in an org that has those objects."""
        return self.describe_summary(base_path) | {
            "fields": [item.describe() for item in self.fields],
            "childRelationships": [
                {
                    "childSObject": relation.sobject.name,
                    "field": relation.field.name,
                    "relationshipName": relation.name,
                    "cascadeDelete": False,
                    "deprecatedAndHidden": False,
                    "restrictedDelete": False,
                }
                for relation in child_relations(self, catalog)
            ],
            "recordTypeInfos": [
                {
                    "active": True,
                    "available": True,
                    "defaultRecordTypeMapping": True,
                    "developerName": "Master",
                    "master": True,
                    "name": "Master",
                    "recordTypeId": "012000000000000AAA",
                }
            ],
        }


class ChildRelation(NamedTuple):
    """Rows of another object that point here by a field, under the name queries use."""

    name: str
    sobject: SObject
    field: Field


def child_relations(parent: SObject, catalog: Mapping[str, SObject]) -> list[ChildRelation]:
    """Return the relations to rows that belong to a row of *parent*."""
    relations: dict[str, ChildRelation] = {}
    for child in catalog.values():
        for item in child.fields:
            if parent.name in item.refers_to and item.relationship not in _NOT_CHILDREN:
                name = f"Child{child.plural}" if child.name == parent.name else child.plural
                relations.setdefault(name, ChildRelation(name, child, item))
    return list(relations.values())


_NOT_CHILDREN = frozenset({"CreatedBy", "LastModifiedBy", "Owner", "MasterRecord"})
