"""The account, its properties, and what is left of its limits."""

from datetime import UTC, datetime

import pytest

from dovetail.connector_sdk.base import Account, Records, Webhooks
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
