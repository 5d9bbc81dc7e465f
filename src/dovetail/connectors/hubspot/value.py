"""Values both ways: HubSpot has strings, or null, for everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import BATCH, object_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_WEB = re.compile(r"^(?:[a-z]+://)?(?:www\.)?", re.IGNORECASE)


def record_of(
    resource: Resource, item: Mapping[str, Any], fields: Iterable[str], asked_id: str = ""
) -> RemoteRecord:
    """Return a result of HubSpot as a record; under *asked_id* when it was merged into another."""
    properties = item.get("properties") or {}
    found = str(item["id"])
    return RemoteRecord(
        id=asked_id or found,
        # Without a value, HubSpot says null or the empty string, whichever way it was cleared.
        fields={name: properties[name] or None for name in fields if name in properties},
        modified_at=modified_at(resource, item),
        created_at=moment(item["createdAt"]) if item.get("createdAt") else None,
        deleted=bool(item.get("archived")),
        merged_into=found if asked_id not in ("", found) else None,
    )


def modified_at(resource: Resource, item: Mapping[str, Any]) -> datetime:
    """Return when a result last changed, by the property that searches are sorted on."""
    properties = item.get("properties") or {}
    return moment(properties.get(resource.modified_field) or item.get("updatedAt"))


def next_after(reply: Mapping[str, Any]) -> str | None:
    """Return where the next page begins, of an answer or a part of one; None on the last."""
    after = ((reply.get("paging") or {}).get("next") or {}).get("after")
    return str(after) if after else None


def merged_ids(resource: Resource, item: Mapping[str, Any]) -> list[str]:
    """Return the ids of the records that were merged into this one."""
    properties, names = item.get("properties") or {}, object_of(resource).merged
    texts = [part for name in names for part in (properties.get(name) or "").split(";")]
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


def properties_of(resource: Resource, fields: Mapping[str, Any]) -> dict[str, str]:
    """Return values as HubSpot takes them: strings, the empty one to clear."""
    moments = object_of(resource).moments
    told = {name: _text(value) for name, value in fields.items()}
    return {
        name: f"{text}T00:00:00.000Z" if name in moments and _DAY.fullmatch(text) else text
        for name, text in told.items()
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set):
        return ";".join(_text(item) for item in value)
    if isinstance(value, float):
        value = Decimal(repr(value)).normalize()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def same_value(sent: str, back: str | None) -> bool:
    """Return whether HubSpot shows what it was sent, perhaps written in another way."""
    one, other = sent.strip(), (back or "").strip()
    if one.casefold() == other.casefold():
        return True
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        pass
    try:
        return moment(one) == moment(other)
    except (ValueError, OverflowError):
        return False


def domain_of(text: str) -> str:
    """Return a web domain as it is compared, from an address or from the domain itself."""
    return _WEB.sub("", text.strip()).split("/")[0].lower()


def chunks(items: Sequence[Any], size: int = BATCH) -> list[list[Any]]:
    """Cut into pieces of what one batch call takes."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
