"""What a field of an object is: the facts of `describe`, which also drive validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TEXT_TYPES = frozenset({"string", "textarea", "phone", "email", "url", "picklist"})
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})


_ALWAYS_SET = frozenset(
    {
        "OwnerId",
        "CreatedDate",
        "CreatedById",
        "LastModifiedDate",
        "LastModifiedById",
        "SystemModstamp",
    }
)


@dataclass(frozen=True, slots=True)
class Field:
    """
    One field of an object.

    Attributes:
        name: API name.
        type: The vendor's type: string, textarea, phone, email, url, picklist, boolean, int,
            double, currency, percent, date, datetime, reference, id, address.
        label: What people see; also how STRING_TOO_LONG names the field.
        length: Characters at most, for text.
        required: A create without it is refused.
        read_only: Neither a create nor an update may set it.
        create_only: A create may set it, an update may not.
        calculated: Derived from other fields, so never stored.
        external_id: Flagged External ID: an upsert can match on it.
        id_lookup: An upsert can match on it.
        unique: No two rows may hold the same value (ignoring case).
        refers_to: The objects a reference may point to.
        relationship: The name by which a query walks the reference.
        picklist: Values offered; others are accepted unless *restricted*.
        restricted: Only values of the picklist are accepted.
        default: What a create without the field stores.
    """

    name: str
    type: str = "string"
    label: str = ""
    length: int = 0
    required: bool = False
    read_only: bool = False
    create_only: bool = False
    calculated: bool = False
    external_id: bool = False
    id_lookup: bool = False
    unique: bool = False
    refers_to: tuple[str, ...] = ()
    relationship: str | None = None
    picklist: tuple[str, ...] = ()
    restricted: bool = False
    default: Any = None

    @property
    def is_text(self) -> bool:
        """Whether values are strings that the platform trims."""
        return self.type in TEXT_TYPES

    @property
    def is_filterable(self) -> bool:
        """Whether WHERE may use it."""
        return self.type != "address" and not (self.type == "textarea" and self.length > 255)

    @property
    def is_writable(self) -> bool:
        """Whether a create or update may set it."""
        return not (self.read_only or self.calculated)

    @property
    def display_label(self) -> str:
        """The label, which defaults to the API name."""
        return self.label or self.name

    def describe(self) -> dict[str, Any]:
        """Return the field as `describe` lists it."""
        return {
            "name": self.name,
            "label": self.display_label,
            "type": self.type,
            "length": self.length,
            "nillable": self._is_nillable,
            "createable": self.is_writable,
            "updateable": self.is_writable and not self.create_only,
            "defaultedOnCreate": self._is_defaulted,
            "custom": self.name.endswith("__c"),
            "externalId": self.external_id,
            "idLookup": self.id_lookup or self.external_id,
            "unique": self.unique,
            "filterable": self.is_filterable,
            "sortable": self.is_filterable,
            "calculated": False,
            "restrictedPicklist": self.restricted,
            "referenceTo": list(self.refers_to),
            "relationshipName": self.relationship,
            "picklistValues": [
                {
                    "value": value,
                    "label": value,
                    "active": True,
                    "defaultValue": value == self.default,
                }
                for value in self.picklist
            ],
        }

    @property
    def _is_defaulted(self) -> bool:
        return self.default is not None or not (self._is_nillable or self.required)

    @property
    def _is_nillable(self) -> bool:
        if self.required or self.type in {"boolean", "id"}:
            return False
        return self.name not in _ALWAYS_SET
