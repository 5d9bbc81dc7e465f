"""What the Salesforce connector declares, and how it names errors."""

from datetime import UTC, datetime

import pytest

from dovetail.connector_sdk.base import Account, Records, Webhooks
from dovetail.connector_sdk.registry import connector_class
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connectors.salesforce import Salesforce
from dovetail.errors import (
    AuthenticationError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)
from dovetail.sync.sweep import needs_sweep

DATA = "/services/data/v60.0"
CONTACTS = Salesforce.resource("contacts")
FIELDS = ("LastName", "Email")


def errors(code, message="no", **more):
    return [{"message": message, "errorCode": code, **more}]


# --- what it declares


def test_it_is_found_by_its_name_and_has_no_webhooks(salesforce):
    assert connector_class("salesforce") is Salesforce
    assert isinstance(salesforce, Account)
    assert isinstance(salesforce, Records)
    assert not isinstance(salesforce, Webhooks)


@pytest.mark.parametrize("resource", Salesforce.resources, ids=lambda one: one.name)
def test_what_left_the_recycle_bin_is_looked_for(resource):
    assert resource.tombstones_for_s == 15 * 86_400
    assert needs_sweep(resource)


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("api-usage=10018/100000", {"daily": 89982}),
        ("api-bursts=1/750; api-usage=10/100; per-app-api-usage=17/250(appName=x)", {"daily": 90}),
        ("api-usage=101/100", {"daily": 0}),
        ("", {}),
    ],
)
def test_the_calls_left_of_the_day_are_read_segment_by_segment(header, left):
    assert Salesforce.remaining({"sforce-limit-info": header}) == left


async def test_the_account_is_the_org(salesforce, script, page):
    script.then(page({"Id": "00D5e000000abcdEAA", "Name": "Acme"}))

    assert await salesforce.identify() == "00D5e000000abcdEAA"


async def test_known_fields_are_those_that_can_be_written(salesforce, script, described):
    script.then(described)

    known = await salesforce.known_fields(CONTACTS)

    assert {"LastName", "Score__c", "Opt__c"} <= known
    assert "Id" not in known


async def test_the_version_is_a_setting(connect, script, page):
    script.then(page())

    await connect(api_version="62.0").read_page(CONTACTS, FIELDS, None)

    assert script.path() == "/services/data/v62.0/queryAll"


# --- errors of whole calls


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, errors("INVALID_SESSION_ID", "Session expired or invalid"), AuthenticationError),
        (403, errors("INVALID_SESSION_ID"), AuthenticationError),
        (400, errors("UNABLE_TO_LOCK_ROW"), TransientError),
        (503, errors("SERVER_UNAVAILABLE"), PlatformUnavailableError),
        (420, None, PlatformUnavailableError),
        (406, None, PlatformUnavailableError),
        (404, errors("ENTITY_IS_DELETED", fields=[]), RecordNotFoundError),
        (400, errors("MALFORMED_QUERY"), RecordInvalidError),
        (400, {"error": "invalid_grant", "error_description": "expired"}, RecordInvalidError),
    ],
)
async def test_errors_mean_what_salesforce_says(salesforce, script, status, body, kind):
    script.then(body, status)

    with pytest.raises(kind) as caught:
        await salesforce.identify()

    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("message", "wait"),
    [
        ("TotalRequests Limit exceeded.", 900),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", 60),
    ],
)
async def test_a_limit_is_a_403_and_waits_long(salesforce, script, message, wait):
    script.then(errors("REQUEST_LIMIT_EXCEEDED", message), 403)

    with pytest.raises(RateLimitedError) as caught:
        await salesforce.identify()

    assert caught.value.retry_after_s == wait


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("TotalRequests Limit exceeded.", "daily"),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", None),
        ("DailyBulkV2QueryJobs exceeded.", None),
    ],
)
def test_only_the_limit_that_was_reached_is_waited_for(message, limit):
    answer = ApiResponse(
        status=403,
        json=errors("REQUEST_LIMIT_EXCEEDED", message),
        received_at=datetime(2026, 3, 1, tzinfo=UTC),
    )

    assert Salesforce.explain(answer).limit == limit


async def test_a_missing_column_is_named(salesforce, script):
    script.then(errors("INVALID_FIELD", "No such column 'Foo__c' on entity 'Contact'"), 400)

    with pytest.raises(RecordInvalidError) as caught:
        await salesforce.read_page(CONTACTS, ["Foo__c"], None)

    assert list(caught.value.fields) == ["Foo__c"]
