"""HubSpot's webhooks: who is believed, what is understood, what is subscribed to."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from dovetail.connector_sdk.webhook import WebhookRequest
from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import (
    WebhookRejectedError,
)

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
FIELDS = ("email", "firstname")


def millis(at):
    return int(at.timestamp() * 1000)


URL = "https://hooks.example.com/in/hubspot?to=a%40b.c%20d#part"
SIGNED_URL = "https://hooks.example.com/in/hubspot?to=a@b.c%20d"
SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"


def signed(body, *, secret=SECRET, at=START, url=URL):
    stamp = str(millis(at))
    text = f"POST{SIGNED_URL}".encode() + body + stamp.encode()
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    headers = {
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": stamp,
    }
    return WebhookRequest(method="POST", url=url, headers=headers, body=body)


def event(kind, **facts):
    return {
        "eventId": 1,
        "subscriptionId": 12345,
        "portalId": 62515,
        "occurredAt": millis(START),
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": 123,
        **facts,
    }


def parsed(*events):
    hubspot = HubSpot(None)  # parsing needs no connection
    body = json.dumps(events).encode()
    return hubspot.parse(WebhookRequest(method="POST", url=URL, headers={}, body=body))


@pytest.mark.parametrize("secrets", [(SECRET,), ("old", SECRET)])
def test_a_signed_request_is_accepted_under_any_of_the_secrets(secrets):
    HubSpot(None).verify(signed(b"[]"), secrets, START + timedelta(minutes=4))


@pytest.mark.parametrize(
    "request_",
    [
        signed(b"[]", secret="wrong"),
        signed(b"[]", at=START - timedelta(minutes=6)),
        signed(b"[]", at=START + timedelta(minutes=6)),
        signed(b"[]", url=URL.replace("hooks", "books")),
        WebhookRequest(method="POST", url=URL, headers={}, body=b"[]"),
        WebhookRequest(
            method="POST",
            url=URL,
            headers={"X-HubSpot-Request-Timestamp": str(millis(START))},
            body=b"[]",
        ),
        WebhookRequest(method="POST", url=URL, headers=signed(b"[]").headers, body=b"[ ]"),
        WebhookRequest(
            method="POST",
            url=URL,
            headers={**signed(b"[]").headers, "X-HubSpot-Signature-v3": "ünsigned"},
            body=b"[]",
        ),
    ],
    ids=["secret", "old", "future", "url", "nothing", "unsigned", "body", "no-ascii"],
)
def test_anything_else_is_rejected_with_401(request_):
    with pytest.raises(WebhookRejectedError) as caught:
        HubSpot(None).verify(request_, (SECRET,), START)

    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("contact.creation", "created"),
        ("contact.propertyChange", "updated"),
        ("contact.restore", "updated"),
        ("contact.deletion", "deleted"),
        ("contact.privacyDeletion", "deleted"),
    ],
)
def test_an_event_tells_the_contact_and_what_happened(kind, expected):
    (found,) = parsed(event(kind, propertyName="email"))

    assert (found.record_id, found.kind, found.occurred_at) == ("123", expected, START)
    assert found.id == f"1:12345:123:{millis(START)}:email"
    assert found.detail["subscriptionType"] == kind


def test_repetitions_of_one_fact_have_one_id():
    (first,) = parsed(event("contact.creation", attemptNumber=0))
    (second,) = parsed(event("contact.creation", attemptNumber=3))

    assert first.id == second.id


def test_a_merge_redirects_every_record_that_went_into_it():
    found = parsed(
        event("contact.merge", primaryObjectId=123, mergedObjectIds=[123, 9], newObjectId=500)
    )

    told = [(one.record_id, one.kind, one.merged_into) for one in found]
    assert told == [("123", "merged", "500"), ("9", "merged", "500"), ("500", "updated", None)]
    assert len({one.id for one in found}) == 3


def test_events_of_other_objects_are_left_out():
    found = parsed(
        event("product.creation"),
        event("object.creation", objectTypeId="0-7"),
        event("object.creation", objectTypeId="0-1"),
        event("contact.conversationChange"),
    )

    assert [one.kind for one in found] == ["created"]


def test_an_association_is_told_by_the_record_that_it_begins_at():
    both = {"fromObjectId": 7, "toObjectId": 9, "associationRemoved": False}
    first, second = (
        event("contact.associationChange", associationType="CONTACT_TO_COMPANY", **both),
        event("contact.associationChange", associationType="COMPANY_TO_CONTACT", **both),
    )
    for one in (first, second):
        one.pop("objectId", None)

    assert [(one.record_id, one.kind) for one in parsed(first, second)] == [
        ("7", "updated"),
        ("9", "updated"),
    ]


@pytest.mark.parametrize(
    ("singular", "type_id", "resource"),
    [("company", "0-2", "companies"), ("deal", "0-3", "deals"), ("ticket", "0-5", "tickets")],
)
def test_every_object_is_told_by_its_name_or_by_its_number(singular, type_id, resource):
    found = parsed(
        event(f"{singular}.propertyChange", propertyName="x"),
        event("object.deletion", objectTypeId=type_id),
        event(f"{singular}.merge", primaryObjectId=123, mergedObjectIds=[9], newObjectId=500),
    )

    assert {one.resource for one in found} == {resource}
    told = [(one.record_id, one.kind) for one in found]
    assert told == [
        ("123", "updated"),
        ("123", "deleted"),
        ("123", "merged"),
        ("9", "merged"),
        ("500", "updated"),
    ]


async def test_each_object_is_subscribed_to_by_its_own_name(hub):
    base = "/webhooks/v3/54321"
    added = [("POST", f"{base}/subscriptions", 201, {"id": str(number)}) for number in range(6)]
    hubspot, script = hub.connect(
        ("PUT", f"{base}/settings", 200, {}),
        ("GET", f"{base}/subscriptions", 200, {"results": []}),
        *added,
        app_id="54321",
        developer_api_key="dev-key-1",
    )

    await hubspot.subscribe("https://x.test/in", {"deals": ("amount", "dealstage")})

    told = [(body["eventType"], body.get("propertyName")) for body in script.bodies[2:]]
    assert told == [
        ("deal.creation", None),
        ("deal.deletion", None),
        ("deal.merge", None),
        ("deal.restore", None),
        ("deal.propertyChange", "amount"),
        ("deal.propertyChange", "dealstage"),
    ]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'[{"subscriptionType": "contact.creation"}]', b"<html>", b"[{}]"]
)
def test_a_body_that_is_no_array_of_events_is_rejected_with_400(body):
    with pytest.raises(WebhookRejectedError) as caught:
        HubSpot(None).parse(WebhookRequest(method="POST", url=URL, headers={}, body=body))

    assert caught.value.status == 400


async def test_without_a_developer_key_nothing_is_subscribed(hub):
    hubspot, _ = hub.connect()

    assert await hubspot.subscribe("https://x.test/in", {"contacts": FIELDS}) is False


async def test_only_the_subscriptions_that_are_missing_are_added(hub):
    there = [
        {"id": "1", "eventType": f"contact.{what}", "active": True}
        for what in ("creation", "deletion", "merge", "restore")
    ]
    there += [
        {"id": "2", "eventType": "contact.privacyDeletion", "active": False},
        {"id": "3", "eventType": "contact.propertyChange", "propertyName": "email", "active": True},
    ]
    base = "/webhooks/v3/54321"
    hubspot, script = hub.connect(
        ("PUT", f"{base}/settings", 200, {}),
        ("GET", f"{base}/subscriptions", 200, {"results": there}),
        ("PATCH", f"{base}/subscriptions/2", 200, {}),
        ("POST", f"{base}/subscriptions", 201, {"id": "25"}),
        app_id="54321",
        developer_api_key="dev-key-1",
    )

    assert await hubspot.subscribe("https://x.test/in", {"contacts": FIELDS}) is True

    assert script.bodies[0]["targetUrl"] == "https://x.test/in"
    assert script.bodies[3] == {
        "eventType": "contact.propertyChange",
        "active": True,
        "propertyName": "firstname",
    }
    assert all("hapikey=dev-key-1" in request.url for request in script.requests)
    assert all("Authorization" not in request.headers for request in script.requests)
