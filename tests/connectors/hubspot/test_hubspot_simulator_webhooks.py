"""Subscriptions, events, signatures, retries."""

import base64
import hashlib
import hmac

import pytest

from dovetail.core import json
from dovetail.simulators.hubspot.signature import decode_uri, sign_v2, sign_v3

CONTACTS = "/crm/v3/objects/contacts"


async def subscribe(portal, receiver, *kinds):
    body = {"targetUrl": receiver.url, "throttling": {"maxConcurrentRequests": 10}}
    assert (await portal.developer("PUT", "settings", body)).status == 200
    for kind in kinds:
        event_type, _, name = kind.partition(":")
        wanted = {"eventType": event_type, "active": True}
        if name:
            wanted["propertyName"] = name
        answer = await portal.developer("POST", "subscriptions", wanted)
        assert answer.status == 201, answer.raw


def test_the_vendors_own_example_of_version_2():
    secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
    signature = sign_v2(secret, "GET", "https://www.example.com/webhook_uri", b"")

    assert signature == "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"


def test_version_3_as_computed_apart():
    uri = "https://app.example.com/hooks?a=%40b%20c"
    signed = b'POSThttps://app.example.com/hooks?a=@b%20c[{"eventId":1}]1772377539902'
    expected = base64.b64encode(hmac.digest(b"secret", signed, hashlib.sha256)).decode()

    assert sign_v3("secret", "POST", uri, b'[{"eventId":1}]', "1772377539902") == expected


def test_twelve_escapes_are_decoded_and_others_stay():
    escaped = "https://h/p%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B%3b%20%26%25#part"

    assert decode_uri(escaped) == "https://h/p:/?@!$'()*,;;%20%26%25"


async def test_a_webhook_is_signed_in_versions_1_and_3(portal, make_receiver):
    receiver = make_receiver(portal)
    await subscribe(portal, receiver, "contact.creation")
    await portal.add(email="ada@example.com")
    await portal.simulator.drain()
    (headers, body), secret = receiver.calls[0], portal.simulator.webhook_secret.encode()
    timestamp = headers["x-hubspot-request-timestamp"]
    signed = b"POSThttps://app.example.com/hooks?a=@b" + body + timestamp.encode()

    mac = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    assert headers["x-hubspot-signature-v3"] == mac
    assert headers["x-hubspot-signature"] == hashlib.sha256(secret + body).hexdigest()
    assert headers["x-hubspot-signature-version"] == "v1"
    assert abs(int(timestamp) / 1000 - portal.clock.now().timestamp()) < 5


async def test_events_have_the_fields_of_the_card(portal, make_receiver):
    receiver = make_receiver(portal)
    await subscribe(portal, receiver, "contact.creation", "contact.propertyChange:lifecyclestage")
    id = await portal.add(email="ada@example.com", lifecyclestage="lead")
    await portal.patch(f"{CONTACTS}/{id}", {"properties": {"lifecyclestage": "customer"}})
    await portal.simulator.drain()

    [creation] = receiver.of("contact.creation")
    changes = receiver.of("contact.propertyChange")
    assert creation["changeFlag"] == "NEW"
    assert creation["objectId"] == int(id)
    assert creation["portalId"] == portal.simulator.portal_id
    assert creation["appId"] == int(portal.simulator.credentials["app_id"])
    assert creation["attemptNumber"] == 0
    assert [event["propertyValue"] for event in changes] == ["lead", "customer"]
    assert changes[1]["propertyName"] == "lifecyclestage"
    assert changes[1]["changeSource"] == "INTEGRATION"
    assert isinstance(changes[1]["occurredAt"], int)


async def test_only_subscribed_properties_that_really_changed_are_told(portal, make_receiver):
    receiver = make_receiver(portal)
    id = await portal.add(email="ada@example.com", phone="1")
    await subscribe(portal, receiver, "contact.propertyChange:phone")
    await portal.patch(f"{CONTACTS}/{id}", {"properties": {"phone": "1", "city": "London"}})
    await portal.simulator.drain()
    assert receiver.events == []

    edit = {"resource": "contacts", "id": id, "fields": {"phone": "2"}}
    await portal.control("edit", edit)
    await portal.simulator.drain()
    assert [event["propertyValue"] for event in receiver.events] == ["2"]
    assert receiver.events[0]["changeSource"] == "CRM_UI"


async def test_deletion_and_merge_are_told(portal, make_receiver):
    receiver = make_receiver(portal)
    one, two, three = [await portal.add(email=f"{name}@example.com") for name in "abc"]
    await subscribe(portal, receiver, "contact.deletion", "contact.merge")
    await portal.delete(f"{CONTACTS}/{three}")
    merge = {"resource": "contacts", "id": one, "merge": two}
    merged = (await portal.control("edit", merge)).json["record"]["id"]
    await portal.simulator.drain()

    assert [event["objectId"] for event in receiver.of("contact.deletion")] == [int(three)]
    [event] = receiver.of("contact.merge")
    assert event["primaryObjectId"] == int(one)
    assert event["mergedObjectIds"] == [int(two)]
    assert event["newObjectId"] == int(merged)


async def test_events_travel_in_batches_of_at_most_a_hundred(portal, make_receiver):
    receiver = make_receiver(portal)
    await subscribe(portal, receiver, "contact.creation")
    for start in range(0, 250, 50):
        rows = [{"properties": {"email": f"p{start + n}@example.com"}} for n in range(50)]
        await portal.batch("create", *rows)
    await portal.simulator.drain()
    sizes = [len(json.decode(body)) for _, body in receiver.calls]

    assert sum(sizes) == 250
    assert max(sizes) == 100


async def test_a_failed_delivery_is_retried_with_another_attempt_number(portal, make_receiver):
    receiver = make_receiver(portal, answers=[500, 404])
    await subscribe(portal, receiver, "contact.creation")
    await portal.add(email="ada@example.com")
    await portal.simulator.drain()

    assert [event["attemptNumber"] for event in receiver.events] == [0, 1, 2]
    signatures = {headers["x-hubspot-signature-v3"] for headers, _ in receiver.calls}
    assert len(signatures) == 3


async def test_after_ten_retries_within_a_day_it_is_given_up(portal, make_receiver):
    receiver = make_receiver(portal, answers=[503] * 50)
    await subscribe(portal, receiver, "contact.creation")
    await portal.add(email="ada@example.com")
    start = portal.clock.now()
    await portal.simulator.drain()

    assert len(receiver.calls) == 11
    assert portal.simulator.webhooks.given_up == 1
    assert (portal.clock.now() - start).total_seconds() < 24 * 3600


async def test_a_receiver_that_cannot_be_reached_breaks_nothing(portal, make_receiver):
    receiver = make_receiver(portal)
    portal.transport.remove("https://app.example.com")
    await subscribe(portal, receiver, "contact.creation")

    assert await portal.add(email="ada@example.com")
    await portal.simulator.drain()
    assert portal.simulator.webhooks.failed == 11


async def test_the_developer_key_is_needed_and_the_portal_token_is_not_enough(portal):
    app_id = portal.simulator.credentials["app_id"]
    refused = await portal.get(f"/webhooks/v3/{app_id}/settings")

    assert refused.status == 401
    assert (await portal.developer("GET", "settings")).status == 404


async def test_subscriptions_are_listed_paused_and_removed(portal, make_receiver):
    receiver = make_receiver(portal)
    await subscribe(portal, receiver, "contact.creation")
    paused = await portal.developer("POST", "subscriptions", {"eventType": "contact.deletion"})
    [one, two] = (await portal.developer("GET", "subscriptions")).json["results"]
    off = await portal.developer("PATCH", f"subscriptions/{one['id']}", {"active": False})
    await portal.delete(f"{CONTACTS}/{await portal.add(email='ada@example.com')}")
    await portal.simulator.drain()

    assert paused.json["active"] is False
    assert two["id"] == paused.json["id"]
    assert off.json["active"] is False
    assert receiver.calls == []
    assert (await portal.developer("DELETE", f"subscriptions/{one['id']}")).status == 204
    assert (await portal.developer("GET", f"subscriptions/{one['id']}")).status == 404
    batch = {"inputs": [{"id": int(two["id"]), "active": True}]}
    again = await portal.developer("POST", "subscriptions/batch/update", batch)
    assert again.json["results"][0]["active"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"eventType": "contact.explosion"},
        {"eventType": "contact.propertyChange"},
        {"eventType": "object.creation"},
        {},
    ],
    ids=str,
)
async def test_a_wrong_subscription_is_refused(portal, body):
    assert (await portal.developer("POST", "subscriptions", body)).status == 400


async def test_generic_subscriptions_name_the_type(portal, make_receiver):
    receiver = make_receiver(portal)
    await subscribe(portal, receiver)
    wanted = {"eventType": "object.creation", "objectTypeId": "0-1", "active": True}
    await portal.developer("POST", "subscriptions", wanted)
    await portal.add(email="ada@example.com")
    await portal.simulator.drain()

    [event] = receiver.events
    assert event["subscriptionType"] == "object.creation"
    assert event["objectTypeId"] == "0-1"


async def test_the_control_endpoint_subscribes_to_everything(portal, make_receiver):
    receiver = make_receiver(portal)
    await portal.control("webhooks", {"url": receiver.url})
    await portal.add(email="ada@example.com", phone="1")
    await portal.simulator.drain()

    assert {event["subscriptionType"] for event in receiver.events} == {
        "contact.creation",
        "contact.propertyChange",
    }
    await portal.control("webhooks", {"url": None})
    await portal.add(email="bob@example.com")
    await portal.simulator.drain()
    assert len(receiver.calls) == 1
