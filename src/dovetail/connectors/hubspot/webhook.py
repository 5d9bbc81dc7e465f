"""HubSpot's webhooks: signature v3, events, and the subscriptions of a public app."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.webhook import (
    WebhookEvent,
    WebhookRequest,
    check_age,
    check_signature,
    header,
)
from dovetail.connectors.hubspot.crm_object import OBJECTS, CrmObject
from dovetail.connectors.hubspot.edge import edges_among, without_edges
from dovetail.connectors.hubspot.value import moment
from dovetail.core import json
from dovetail.errors import WebhookRejectedError

_MAX_AGE = timedelta(minutes=5)
# The escapes that HubSpot writes out before it signs; others stay as they are.
_SIGNED_PLAIN = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
_KINDS: dict[str, Literal["created", "updated", "deleted"]] = {
    "creation": "created",
    "propertyChange": "updated",
    "restore": "updated",
    "associationChange": "updated",
    "deletion": "deleted",
    "privacyDeletion": "deleted",
}
_BY_NAME = {one.singular: one for one in OBJECTS.values()}
_BY_TYPE = {one.type_id: one for one in OBJECTS.values()}
_WHOLE = ("creation", "deletion", "merge", "restore")


def verify(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> None:
    """Accept a request that HubSpot signed in the last five minutes."""
    stamp = header(request, "x-hubspot-request-timestamp")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 16):
        raise WebhookRejectedError(
            "The request has no X-HubSpot-Request-Timestamp in milliseconds. Let HubSpot alone "
            "call this address.",
            status=401,
        )
    check_age(moment(stamp), now, _MAX_AGE)
    uri = _SIGNED_PLAIN.sub(lambda found: unquote(found[0]), request.url.partition("#")[0])
    signed = f"{request.method.upper()}{uri}".encode() + request.body + stamp.encode()
    check_signature(
        header(request, "x-hubspot-signature-v3"),
        [base64.b64encode(_hmac(secret, signed)).decode() for secret in secrets],
    )


def _hmac(secret: str, data: bytes) -> bytes:
    return hmac.digest(secret.encode(), data, "sha256")


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """Return the events of a body that concern objects we know."""
    try:
        items = json.decode(request.body)
        if not isinstance(items, list):
            raise TypeError
        return [event for item in items for event in _events(item)]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise WebhookRejectedError(
            "The body is not HubSpot's array of events. Nothing of it was taken: look at what "
            "calls this address.",
            status=400,
        ) from error


def _events(item: dict[str, Any]) -> Iterator[WebhookEvent]:
    subject, _, what = item["subscriptionType"].partition(".")
    crm_object = (
        _BY_TYPE.get(str(item.get("objectTypeId")))
        if subject == "object"
        else _BY_NAME.get(subject)
    )
    if crm_object is None:
        return
    object_id, occurred = _object_id(crm_object, what, item), int(item["occurredAt"])
    # eventId alone is not unique; with these it is the same for every repetition of one fact.
    parts = (
        item["eventId"],
        item.get("subscriptionId", ""),
        object_id,
        occurred,
        item.get("propertyName") or item.get("toObjectId") or "",
    )
    event = partial(
        WebhookEvent,
        resource=crm_object.resource.name,
        occurred_at=moment(str(occurred)),
        detail=item,
    )
    id = ":".join(str(part) for part in parts)
    if what == "merge":
        survivor = str(item.get("newObjectId") or item.get("primaryObjectId") or object_id)
        folded = [item.get("primaryObjectId"), *(item.get("mergedObjectIds") or []), object_id]
        for old in dict.fromkeys(str(one) for one in folded if one):
            if old != survivor:
                yield event(id=f"{id}:{old}", record_id=old, kind="merged", merged_into=survivor)
        yield event(id=id, record_id=survivor, kind="updated")
    elif what in _KINDS:
        yield event(id=id, record_id=object_id, kind=_KINDS[what])


def _object_id(crm_object: CrmObject, what: str, item: dict[str, Any]) -> str:
    if what != "associationChange":
        return str(item["objectId"])
    # An association is told with both its ends, in the order of its type: CONTACT_TO_COMPANY.
    first = str(item.get("associationType") or "").partition("_TO_")[0].lower()
    end = "fromObjectId" if first in ("", crm_object.singular) else "toObjectId"
    return str(item[end])


async def subscribe(api: Api, target_url: str, fields: Mapping[str, Sequence[str]]) -> bool:
    """Point the app's webhooks here and add the subscriptions that it lacks."""
    app_id, key = api.credentials.get("app_id"), api.credentials.get("developer_api_key")
    if not app_id or not key:
        return False
    # Whoever tries again begins with the list, and finds what was added.
    call = partial(
        api.request,
        query={"hapikey": key},
        repeatable=True,
        authenticated=False,
    )
    base = f"/webhooks/v3/{app_id}"
    await call(
        "PUT",
        f"{base}/settings",
        operation="set the webhook address",
        json={"targetUrl": target_url, "throttling": {"maxConcurrentRequests": 10}},
    )
    reply = await call(
        "GET",
        f"{base}/subscriptions",
        operation="list webhook subscriptions",
        expects=("results",),
    )
    found = {
        (one["eventType"], one.get("propertyName") or ""): one for one in reply.json["results"]
    }
    wanted = [
        one
        for name, names in fields.items()
        if name in OBJECTS
        for one in _subscriptions(OBJECTS[name], names)
    ]
    for event_type, name in wanted:
        known = found.get((event_type, name))
        if known is None:
            told = {"eventType": event_type, "active": True}
            body, method, path = told | ({"propertyName": name} if name else {}), "POST", ""
        elif not known.get("active"):
            body, method, path = {"active": True}, "PATCH", f"/{known['id']}"
        else:
            continue
        await call(
            method,
            f"{base}/subscriptions{path}",
            operation=f"subscribe to {event_type}",
            json=body,
        )
    return True


def _subscriptions(crm_object: CrmObject, names: Sequence[str]) -> list[tuple[str, str]]:
    whole = (*_WHOLE, "privacyDeletion") if crm_object.erasable else _WHOLE
    kind = crm_object.singular
    if edges_among(crm_object.resource.name, names):
        whole = (*whole, "associationChange")
    return [(f"{kind}.{what}", "") for what in whole] + [
        (f"{kind}.propertyChange", name) for name in without_edges(names)
    ]
