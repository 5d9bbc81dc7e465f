"""An API that answers with what Salesforce's documentation shows, and the connector on it."""

from urllib.parse import parse_qs, urlsplit

import pytest

from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connectors.salesforce import Salesforce
from dovetail.core import json
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpResponse, TransportError

DESCRIBE = {
    "name": "Contact",
    "fields": [
        {"name": "Id", "type": "id", "createable": False, "updateable": False},
        {"name": "LastName", "type": "string", "createable": True, "updateable": True},
        {"name": "FirstName", "type": "string", "createable": True, "updateable": True},
        {"name": "Email", "type": "email", "createable": True, "updateable": True},
        {"name": "Phone", "type": "phone", "createable": True, "updateable": True},
        {"name": "Score__c", "type": "double", "createable": True, "updateable": False},
        {"name": "Opt__c", "type": "boolean", "createable": False, "updateable": True},
        {
            "name": "Hub_Key__c",
            "type": "string",
            "createable": True,
            "updateable": True,
            "externalId": True,
            "unique": True,
        },
    ],
}


class Script:
    """A transport that answers in the order in which it was told, and keeps what it was asked."""

    def __init__(self):
        self.answers = []
        self.asked = []

    def then(self, body=None, status=200, headers=None):
        self.answers.append((status, body, headers or {}))
        return self

    def lose(self):
        self.answers.append(None)
        return self

    async def send(self, request):
        self.asked.append(request)
        assert self.answers, f"not expected: {request.method} {request.url}"
        answer = self.answers.pop(0)
        if answer is None:
            raise TransportError("connection lost", sent=True)
        status, body, headers = answer
        return HttpResponse(
            status=status, headers=headers, body=b"" if body is None else json.encode(body)
        )

    async def close(self):
        return None

    def path(self, number=-1):
        return urlsplit(self.asked[number].url).path

    def soql(self, number=-1):
        return parse_qs(urlsplit(self.asked[number].url).query)["q"][0]

    def body(self, number=-1):
        return json.decode(self.asked[number].body)

    @property
    def methods(self):
        return [request.method for request in self.asked]


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def connect(script):
    def build(**settings):
        clock = LoopClock()
        budget = StoredBudget(
            store=MemoryBudgetStore(),
            account="salesforce:00D",
            limits=Salesforce.limits,
            clock=clock,
            remaining_header=Salesforce.remaining,
        )
        api = Api(
            platform="salesforce",
            title="Salesforce",
            base_url="https://acme.my.salesforce.com",
            auth=Salesforce.auth,
            credentials=Credentials({"access_token": "00D5e000000abcd!AQcA"}),
            transport=script,
            budget=budget,
            clock=clock,
            error_rules=Salesforce.error_rules,
            explain=Salesforce.explain,
            settings=settings,
        )
        return Salesforce(api)

    return build


@pytest.fixture
def salesforce(connect):
    return connect()


@pytest.fixture
def row():
    return contact_row


@pytest.fixture
def page():
    return page_of


@pytest.fixture
def described():
    return DESCRIBE


def id_of(number):
    return f"0035e{number:010d}AAA"


def stamp(second):
    return f"2026-03-01T15:{second // 60:02d}:{second % 60:02d}.000+0000"


def contact_row(number, second=0, **more):
    return {
        "attributes": {"type": "Contact"},
        "Id": id_of(number),
        "IsDeleted": False,
        "MasterRecordId": None,
        "CreatedDate": stamp(0),
        "SystemModstamp": stamp(second),
        "LastName": "Byron",
        "Email": f"p{number}@example.com",
        **more,
    }


def page_of(*rows, locator=None, total=None):
    body = {"totalSize": total or len(rows), "done": locator is None, "records": list(rows)}
    return body | ({"nextRecordsUrl": locator} if locator else {})
