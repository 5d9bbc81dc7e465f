"""Fields that many objects have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.simulators.salesforce.field import Field

_ADDRESS_COLUMNS = ("street", "city", "state", "postal_code", "country")
_ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country")
_ADDRESS_LENGTHS = (255, 40, 80, 20, 80)
_ADDRESS_LABELS = ("Street", "City", "State/Province", "Zip/Postal Code", "Country")


def system_fields() -> tuple[Field, ...]:
    """Return what the platform notes of every row."""
    return (
        Field("CreatedDate", "datetime", "Created Date", read_only=True),
        user_reference("CreatedById", "Created By ID", "CreatedBy", read_only=True),
        Field("LastModifiedDate", "datetime", "Last Modified Date", read_only=True),
        user_reference("LastModifiedById", "Last Modified By ID", "LastModifiedBy", True),
        Field("SystemModstamp", "datetime", "System Modstamp", read_only=True),
    )


def identity(object_name: str) -> tuple[Field, ...]:
    """Return the id and the mark of the bin."""
    return (
        Field("Id", "id", f"{object_name} ID", length=18, read_only=True, id_lookup=True),
        Field("IsDeleted", "boolean", "Deleted", read_only=True, default=False),
    )


def master(object_name: str) -> Field:
    """Return where a merged row went."""
    return Field(
        "MasterRecordId",
        "reference",
        "Master Record ID",
        length=18,
        read_only=True,
        refers_to=(object_name,),
        relationship="MasterRecord",
    )


def reference(name: str, label: str, target: str, relationship: str) -> Field:
    """Return a reference to another object."""
    return Field(
        name, "reference", label, length=18, refers_to=(target,), relationship=relationship
    )


def user_reference(name: str, label: str, relationship: str, read_only: bool = False) -> Field:
    """Return a reference to a user."""
    return Field(
        name,
        "reference",
        label,
        length=18,
        read_only=read_only,
        refers_to=("User",),
        relationship=relationship,
    )


def owner() -> Field:
    """Return the owner, whom the platform sets when nobody does."""
    return user_reference("OwnerId", "Owner ID", "Owner")


def address(kind: str) -> tuple[Field, ...]:
    """Return the parts of an address and the compound of them."""
    parts = tuple(
        Field(
            f"{kind}{part}",
            "textarea" if part == "Street" else "string",
            f"{kind} {label}".strip(),
            length=length,
        )
        for part, label, length in zip(
            _ADDRESS_PARTS, _ADDRESS_LABELS, _ADDRESS_LENGTHS, strict=True
        )
    )
    compound = Field(f"{kind}Address", "address", f"{kind} Address".strip(), calculated=True)
    return (*parts, compound)


def phone(name: str, label: str) -> Field:
    """Return a phone number."""
    return Field(name, "phone", label, length=40)


def loaded_columns(kind: str, **others: str) -> dict[str, str]:
    """Return our column names and the fields they load, those of an address included."""
    address = {
        column: kind + part for column, part in zip(_ADDRESS_COLUMNS, _ADDRESS_PARTS, strict=True)
    }
    return others | address


def join_address(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the compound address of a row."""
    parts = {part[0].lower() + part[1:]: row.get(kind + part) for part in _ADDRESS_PARTS}
    if not any(parts.values()):
        return {f"{kind}Address": None}
    unlocated = {"geocodeAccuracy": None, "latitude": None, "longitude": None}
    return {f"{kind}Address": parts | unlocated}
