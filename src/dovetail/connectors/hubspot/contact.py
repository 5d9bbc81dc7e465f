"""Contacts as HubSpot has them: their declaration, and values both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Capability, Guarantee, Resource
from dovetail.model.crm import Contact

KEY_PROPERTY = "dovetail_id"
"""Our unique property: HubSpot itself refuses a second contact with one `Write.key`."""
MODIFIED = "lastmodifieddate"  # of contacts; all other objects have hs_lastmodifieddate
MERGED = ("hs_merged_object_ids", "hs_calculated_merged_vids")
BATCH = 100

CONTACTS = Resource(
    name="contacts",
    entity=Contact,
    path="/crm/v3/objects/contacts",
    key_field="email",
    key_is_unique=True,
    modified_field=MODIFIED,
    fields={
        "email": "email",
        "firstname": "first_name",
        "lastname": "last_name",
        "phone": "phone",
        "mobilephone": "mobile_phone",
        "company": "company_name",
        "jobtitle": "job_title",
        "address": "street",
        "city": "city",
        "state": "state",
        "zip": "postal_code",
        "country": "country",
    },
    read_batch=BATCH,
    write_batch=BATCH,
    consistency_lag_s=60,
    capabilities=frozenset(
        {
            Capability.READ_CHANGES,
            Capability.READ_MANY,
            Capability.FIND,
            Capability.CREATE,
            Capability.UPDATE,
            Capability.DELETE,
            Capability.WEBHOOKS,
        }
    ),
    guarantees={
        "create": Guarantee.PLATFORM_KEY,
        "update": Guarantee.IDEMPOTENT,
        "delete": Guarantee.IDEMPOTENT,
    },
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record_of(item: Mapping[str, Any], fields: Iterable[str], asked_id: str = "") -> RemoteRecord:
    """Return a result of HubSpot as a record; under *asked_id* when it was merged into another."""
    properties = item.get("properties") or {}
    found = str(item["id"])
    return RemoteRecord(
        id=asked_id or found,
        # Without a value, HubSpot says null or the empty string, whichever way it was cleared.
        fields={name: properties[name] or None for name in fields if name in properties},
        modified_at=moment(properties.get(MODIFIED) or item.get("updatedAt")),
        created_at=moment(item["createdAt"]) if item.get("createdAt") else None,
        deleted=bool(item.get("archived")),
        merged_into=found if asked_id not in ("", found) else None,
    )


def merged_ids(item: Mapping[str, Any]) -> list[str]:
    """Return the ids of the records that were merged into this one."""
    properties = item.get("properties") or {}
    texts = [part for name in MERGED for part in (properties.get(name) or "").split(";")]
    ids = dict.fromkeys(text.partition(":")[0].strip() for text in texts)
    return [id for id in ids if id and id != str(item["id"])]


def moment(text: str | None) -> datetime:
    """Return a HubSpot time, ISO or milliseconds since 1970."""
    if not text:
        return _EPOCH
    if text.isdecimal():
        return _EPOCH + timedelta(milliseconds=int(text))
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def millis(at: datetime) -> int:
    """Return whole milliseconds since 1970, as searches take them."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def properties_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return values as HubSpot takes them: strings, the empty one to clear."""
    return {name: _text(value) for name, value in fields.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set):
        return ";".join(_text(item) for item in value)
    return str(value)


def chunks(items: Sequence[Any]) -> list[list[Any]]:
    """Cut into pieces of what one batch call takes."""
    return [list(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]
