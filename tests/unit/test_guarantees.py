"""What a connection keeps single, and how: the truth of the instance, not of the class."""

import pytest

from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.registry import connector_class
from dovetail.connector_sdk.spec import Guarantee
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpResponse


class Answers:
    """Gives the same answer to every call."""

    def __init__(self, status, body=b"{}"):
        self._answer = HttpResponse(status=status, headers={}, body=body)

    async def send(self, request):
        return self._answer

    async def close(self):
        pass


def new_connector(platform, transport=None, **settings):
    kind = connector_class(platform)
    return connector_of(
        kind,
        base_url=kind.base_url,
        credentials=Credentials({"access_token": "a-token"}),
        transport=transport or Answers(404),
        clock=LoopClock(),
        store=MemoryBudgetStore(),
        account="a",
        settings=settings,
    )


def test_an_external_id_field_lets_salesforce_itself_keep_creates_single():
    plain, keyed = (
        new_connector("salesforce"),
        new_connector("salesforce", external_id_field="Hub_Key__c"),
    )
    contacts = plain.resource("contacts")

    assert plain.guarantees(contacts)["create"] is Guarantee.LOOK_UP
    assert keyed.guarantees(contacts)["create"] is Guarantee.PLATFORM_KEY
    assert keyed.guarantees(contacts)["update"] is Guarantee.IDEMPOTENT


@pytest.mark.parametrize(
    ("status", "body", "kept"),
    [
        (200, b'{"name": "dovetail_id", "hasUniqueValue": true}', Guarantee.PLATFORM_KEY),
        (200, b'{"name": "dovetail_id", "hasUniqueValue": false}', Guarantee.LOOK_UP),
        (403, b"{}", Guarantee.LOOK_UP),
    ],
)
async def test_without_its_property_hubspot_says_that_creates_are_looked_up(status, body, kept):
    connector = new_connector("hubspot", Answers(status, body))
    contacts = connector.resource("contacts")

    await connector.prepare(contacts)

    assert connector.guarantees(contacts)["create"] is kept
