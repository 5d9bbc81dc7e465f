"""What two records become when a person says that they are the same."""

from __future__ import annotations

from datetime import datetime

from dovetail.simulator_sdk.record import Record
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.property import later_stage

Fields = dict[str, str | None]


def moved_fields(primary: Record, other: Record) -> Fields:
    """Return the values of the other record for what is blank in the primary one."""
    return {
        name: value
        for name, value in other.fields.items()
        if value is not None and primary.fields.get(name) is None
    }


def merged_fields(
    kind: ObjectType, primary: Record, other: Record, *, at: datetime, keeps_id: bool
) -> Fields:
    """
    Return the values of the record that remains.

    The primary one's values hold, the later lifecycle stage holds, the other one's e-mail address
    becomes a secondary one, and the ids of both are noted (not the primary's if it keeps it).
    """
    fields: Fields = {**primary.fields, **moved_fields(primary, other)}
    stages = [each.fields.get("lifecyclestage") for each in (primary, other)]
    if all(stages):
        fields["lifecyclestage"] = later_stage(stages[1], stages[0])
    gone = [other] if keeps_id else [primary, other]
    earlier = [each.fields.get("hs_merged_object_ids") for each in (primary, other)]
    ids = [*(known for known in earlier if known), *(each.id for each in gone)]
    fields["hs_merged_object_ids"] = ";".join(ids)
    if kind.name == "contacts":
        fields |= _contact_notes(primary, other, gone, at)
    return fields


def _contact_notes(primary: Record, other: Record, gone: list[Record], at: datetime) -> Fields:
    millis = round(at.timestamp() * 1000)
    vids = [each.fields.get("hs_calculated_merged_vids") for each in (primary, other)]
    noted = [*(text for text in vids if text), *(f"{each.id}:{millis}" for each in gone)]
    secondary = [
        address
        for each in (primary, other)
        for address in (each.fields.get("hs_additional_emails") or "").split(";")
    ]
    address = other.fields.get("email")
    if primary.fields.get("email") is not None and address is not None:
        secondary.append(address)
    return {
        "hs_calculated_merged_vids": ";".join(noted),
        "hs_additional_emails": ";".join(filter(None, secondary)) or None,
    }
