"""Finding records by what identifies them, and creates whose answer was lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import KEY_PROPERTY, object_of
from dovetail.connectors.hubspot.fetch import Item, batch_read, read_whole
from dovetail.connectors.hubspot.property import Properties
from dovetail.connectors.hubspot.search import search_all
from dovetail.connectors.hubspot.value import (
    chunks,
    domain_of,
    millis,
    moment,
    properties_of,
    record_of,
    same_value,
)
from dovetail.errors import UnsupportedCapabilityError

_VALUES_LENGTH = 2000  # a search body may have 3,000 characters
_Found = dict[str, list[RemoteRecord]]


async def find_many(
    api: Api,
    resource: Resource,
    field: str,
    values: Sequence[str],
    fields: Sequence[str],
    properties: Properties,
) -> _Found:
    """Return value -> the records that have it, by a domain or by a property that is unique."""
    if field == object_of(resource).domain_field:
        return await find_by_domain(api, resource, field, values, fields)
    if not await properties.is_unique(resource, field):
        raise UnsupportedCapabilityError(
            f"HubSpot finds {resource.name} by a property whose values are unique, and "
            f"{field!r} is none. Choose another, or read the changes.",
            platform="hubspot",
            resource=resource.name,
        )
    return await find_unique(api, resource, field, values, fields)


async def find_unique(
    api: Api, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
) -> _Found:
    """Return value -> the record by a unique property. Never by search, which lags behind."""
    is_email = resource.key_is_unique and field == resource.key_field
    asked = {value: value.strip().lower() if is_email else value for value in values}
    by_value: dict[str, Item] = {}
    told = [*fields, field, *(["hs_additional_emails"] if is_email else [])]
    for chunk in chunks([value for value in dict.fromkeys(asked.values()) if value]):
        items, _ = await batch_read(api, resource, chunk, told, id_property=field)
        for item in items:
            properties = item["properties"]
            own = [properties.get(field) or ""]
            if is_email:
                own += (properties.get("hs_additional_emails") or "").split(";")
            # A contact without secondary addresses must not be found by a blank value.
            keys = [text.strip().lower() if is_email else text for text in own]
            by_value |= {key: item for key in keys if key}
    return {
        value: [record_of(resource, by_value[key], fields)]
        for value, key in asked.items()
        if key in by_value
    }


async def find_by_domain(
    api: Api, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
) -> _Found:
    """
    Return value -> the records with that web domain, oldest first.

    HubSpot finds domains by search alone, so that one of the last minute may be missing; what is
    found is read again, so that it has the domain now.
    """
    asked = {value: key for value in values if (key := domain_of(value))}
    spelled = {text for value, key in asked.items() for text in (value.strip(), key, f"www.{key}")}
    ids: list[str] = []
    for chunk in _short(sorted({text.lower() for text in spelled})):
        among = {"propertyName": field, "operator": "IN", "values": chunk}
        ids += [str(item["id"]) for item in await search_all(api, resource, [among], [field])]
    found: dict[str, list[RemoteRecord]] = {}
    items = await read_whole(api, resource, list(dict.fromkeys(ids)), [*fields, field])
    for item in sorted(items.values(), key=lambda one: moment(one.get("createdAt"))):
        key = domain_of(item["properties"].get(field) or "")
        found.setdefault(key, []).append(record_of(resource, item, fields))
    return {value: found[key] for value, key in asked.items() if key in found}


async def look_up(
    api: Api,
    resource: Resource,
    creates: Sequence[Write],
    since: datetime,
    fields: Sequence[str],
    *,
    has_key: bool,
) -> list[RemoteRecord | None]:
    """Return, per create whose answer was lost, the record that it made."""
    if has_key:
        keys = [write.key for write in creates]
        found = await find_unique(api, resource, KEY_PROPERTY, keys, fields)
        return [found[key][0] if key in found else None for key in keys]
    # An older record is someone else's; our clock may be a little ahead.
    earliest = since - timedelta(seconds=resource.consistency_lag_s)
    name = resource.key_field
    if not name or not resource.key_is_unique:
        return await _by_values(api, resource, creates, earliest, fields)
    texts = [str(write.fields.get(name) or "") for write in creates]
    by_text = await find_unique(api, resource, name, texts, fields)
    records = [by_text[text][0] if text in by_text else None for text in texts]
    return [
        record if record and (record.created_at or since) >= earliest else None
        for record in records
    ]


async def _by_values(
    api: Api,
    resource: Resource,
    creates: Sequence[Write],
    earliest: datetime,
    fields: Sequence[str],
) -> list[RemoteRecord | None]:
    """Nothing identifies these but what they say: the young records are compared with it."""
    after = {"propertyName": "createdate", "operator": "GTE", "value": str(millis(earliest))}
    ids = [str(item["id"]) for item in await search_all(api, resource, [after])]
    told = {name for write in creates for name in write.fields}
    items = await read_whole(api, resource, ids, [*fields, *sorted(told)])
    young = [one for one in items.values() if moment(one.get("createdAt")) >= earliest]
    records: list[RemoteRecord | None] = []
    for write in creates:
        sent = properties_of(resource, write.fields)
        item = next((one for one in young if sent and _fits(resource, one, sent)), None)
        if item is not None:
            young.remove(item)
        records.append(record_of(resource, item, fields) if item is not None else None)
    return records


def _fits(resource: Resource, item: Item, sent: dict[str, str]) -> bool:
    properties, domain = item["properties"], object_of(resource).domain_field
    return all(
        domain_of(text) == domain_of(properties.get(name) or "")
        if name == domain
        else same_value(text, properties.get(name))
        for name, text in sent.items()
    )


def _short(values: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for value in values:
        if chunk and (
            len(chunk) == 100 or sum(len(one) + 4 for one in chunk) + len(value) > _VALUES_LENGTH
        ):
            yield chunk
            chunk = []
        chunk.append(value)
    if chunk:
        yield chunk
