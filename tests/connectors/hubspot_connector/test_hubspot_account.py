"""The account, its properties, and what is left of its limits."""

from datetime import UTC, datetime

import pytest

from dovetail.connector_sdk.base import Account, Records, Webhooks
from dovetail.connector_sdk.record import Write
from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import (
    RateLimitedError,
    RecordInvalidError,
)

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CONTACTS = HubSpot.resource("contacts")
OBJECTS = "/crm/v3/objects/contacts"
KEY = ("GET", "/crm/v3/properties/contacts/dovetail_id")
FIELDS = ("email", "firstname")


async def test_the_account_is_its_portal(hub):
    hubspot, _ = hub.connect(("GET", "/account-info/v3/details", 200, {"portalId": 62515}))

    assert await hubspot.identify() == "62515"
    assert isinstance(hubspot, Account)
    assert isinstance(hubspot, Records)
    assert isinstance(hubspot, Webhooks)


async def test_the_fields_of_the_account_are_known(hub):
    properties = {"results": [{"name": "email"}, {"name": "erp_id"}]}
    hubspot, _ = hub.connect(("GET", "/crm/v3/properties/contacts", 200, properties))

    assert await hubspot.known_fields(CONTACTS) == {
        "email",
        "erp_id",
        "associations.companies",
    }


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [("TEN_SECONDLY_ROLLING", 10), ("SECONDLY", 1), ("DAILY", 15 * 3600), ("NEW", None)],
)
async def test_a_limit_without_a_header_is_waited_for_by_its_policy(hub, policy, seconds):
    body = {"status": "error", "errorType": "RATE_LIMIT", "policyName": policy, "message": "limit"}
    hubspot, _ = hub.connect(("GET", "/account-info/v3/details", 429, body))

    with pytest.raises(RateLimitedError) as caught:
        await hubspot.identify()

    assert caught.value.retry_after_s == (pytest.approx(seconds, abs=1) if seconds else None)


def test_headers_tell_what_is_left():
    headers = {"x-hubspot-ratelimit-remaining": "97", "x-hubspot-ratelimit-daily-remaining": "8"}

    assert HubSpot.remaining(headers) == {"burst": 97, "daily": 8}
    assert HubSpot.remaining({}) == {}


async def test_an_error_outside_of_the_format_is_still_told_as_what_it_is(hub):
    body = {"status": "error", "message": "no such portal", "errors": ["oops", {"message": "x"}]}
    hubspot, _ = hub.connect(("GET", "/account-info/v3/details", 400, body))

    with pytest.raises(RecordInvalidError, match="no such portal"):
        await hubspot.identify()


PROPERTIES = [
    {"name": "email", "type": "string", "fieldType": "text"},
    {"name": "vip", "type": "bool", "fieldType": "booleancheckbox"},
    {"name": "shoe_size", "type": "number", "fieldType": "number"},
    {"name": "colours", "type": "enumeration", "fieldType": "checkbox"},
    {"name": "shape", "type": "enumeration", "fieldType": "select"},
    {"name": "born", "type": "date", "fieldType": "date"},
]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("vip", "true", True),
        ("vip", "false", False),
        ("vip", "", None),
        ("shoe_size", "42", 42),
        ("shoe_size", "42.50", 42.5),
        ("shoe_size", "0.10000000000000000555", "0.10000000000000000555"),
        ("shoe_size", "9007199254740993", "9007199254740993"),
        ("shoe_size", "large", "large"),
        ("colours", "red;blue", ["blue", "red"]),
        ("colours", "red", ["red"]),
        ("shape", "round", "round"),
        ("born", "1815-12-10", "1815-12-10"),
        ("born", "1772323200000", "2026-03-01"),
    ],
)
async def test_a_property_of_the_account_is_told_as_what_it_is(hub, name, text, value):
    found = {"results": [hub.contact(5, **{name: text})]}
    hubspot, _ = hub.connect(
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, found),
        ("GET", "/crm/v3/properties/contacts", 200, {"results": PROPERTIES}),
    )
    (record,) = await hubspot.read_many(CONTACTS, ["5"], ["email", name])

    assert record.fields == {"email": "c5@example.com", name: value}
    assert type(record.fields[name]) is type(value)


async def test_what_a_property_is_is_asked_once(hub):
    found = {"results": [hub.contact(5, vip="true")]}
    hubspot, script = hub.connect(
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, found),
        ("GET", "/crm/v3/properties/contacts", 200, {"results": PROPERTIES}),
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, found),
    )
    for _ in range(2):
        (record,) = await hubspot.read_many(CONTACTS, ["5"], ["vip"])
        assert record.fields == {"vip": True}
    assert script.steps == []


async def test_without_the_right_to_see_properties_texts_stay_texts(hub):
    refused = {"status": "error", "category": "MISSING_SCOPES", "message": "no"}
    found = {"results": [hub.contact(5, vip="true")]}
    hubspot, _ = hub.connect(
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, found),
        ("GET", "/crm/v3/properties/contacts", 403, refused),
    )
    (record,) = await hubspot.read_many(CONTACTS, ["5"], ["vip"])
    assert record.fields == {"vip": "true"}


async def test_typed_values_are_written_as_hubspot_takes_them(hub):
    back = hub.contact(5, vip="true", shoe_size="42.5", colours="blue;red")
    hubspot, script = hub.connect(
        hub.key_ready(),
        ("GET", "/crm/v3/properties/contacts", 200, {"results": PROPERTIES}),
        hub.batch("update", [back]),
    )
    fields = {"vip": True, "shoe_size": 42.5, "colours": ["blue", "red"]}
    write = Write(action="update", key="k", id="5", fields=fields)
    (result,) = await hubspot.write(CONTACTS, [write], list(fields))

    assert script.bodies[2]["inputs"][0]["properties"] == {
        "vip": "true",
        "shoe_size": "42.5",
        "colours": "blue;red",
    }
    assert result.record.fields == fields
