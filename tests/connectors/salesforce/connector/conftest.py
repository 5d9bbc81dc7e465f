"""An API that answers with what Salesforce's documentation shows, and the connector on it."""

import random
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.core import json
from dovetail.core.clock import LoopClock, SystemClock
from dovetail.core.transport import HttpRequest, HttpResponse, TransportError
from dovetail.simulator_sdk.background import served_sandbox
from dovetail.simulators.salesforce import Salesforce as SalesforceSimulator
from dovetail.testing.asgi import AsgiTransport

INSTANCE = "https://acme.my.salesforce.com"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
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

    def then_text(self, text):
        self.answers.append((200, text, {}))
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
        if isinstance(body, str):
            return HttpResponse(status=status, headers=headers, body=body.encode())
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
        return connector_on(script, INSTANCE, "00D5e000000abcd!AQcA", LoopClock(), **settings)

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


class World:
    """A simulated org in process: connectors on it, what they called, and what people do there."""

    def __init__(self, **options):
        self.clock = LoopClock(START)
        self.transport = AsgiTransport()
        self.calls = []
        self.lost = []
        self.stopped = []
        self.simulator = SalesforceSimulator(
            clock=self.clock,
            rng=random.Random(1),
            transport=self.transport,
            base_url=INSTANCE,
            **options,
        )
        self.transport.add(INSTANCE, self.simulator.app)

    def connector(self, **settings):
        token = self.simulator.credentials["access_token"]
        return connector_on(self, INSTANCE, token, self.clock, **settings)

    def lose(self, method, part):
        """Lose the answer to the next call of that method whose address has *part*."""
        self.lost.append((method, part))

    def stop(self, method, part):
        """Let the next call of that method whose address has *part* never arrive."""
        self.stopped.append((method, part))

    async def send(self, request):
        path = urlsplit(request.url).path
        for loss in self.stopped:
            if request.method == loss[0] and loss[1] in request.url:
                self.stopped.remove(loss)
                raise TransportError("connection lost", sent=True)
        self.calls.append(f"{request.method} {path.removeprefix('/services/data/v60.0')}")
        answer = await self.transport.send(request)
        for loss in self.lost:
            if request.method == loss[0] and loss[1] in request.url:
                self.lost.remove(loss)
                raise TransportError("connection lost", sent=True)
        return answer

    async def close(self):
        return None

    async def sandbox(self, name, body, method="POST"):
        request = HttpRequest(
            method=method,
            url=f"{INSTANCE}/_sandbox/{name}",
            headers={"Content-Type": "application/json"},
            body=json.encode(body),
        )
        answer = await self.transport.send(request)
        assert answer.status == 200, answer.body
        return json.decode(answer.body)


def connector_on(transport, base_url, token, clock, **settings):
    return connector_of(
        Salesforce,
        base_url=base_url,
        credentials=Credentials({"access_token": token}),
        transport=transport,
        clock=clock,
        store=MemoryBudgetStore(),
        account="s",
        settings=settings,
    )


@pytest.fixture(scope="session")
def new_world():
    return World


@pytest.fixture
def over_socket():
    """Run a story against a sandbox behind a real socket."""

    async def run(story, **settings):
        with served_sandbox(["salesforce"]) as sandbox:
            described = sandbox["salesforce"]
            transport = AiohttpTransport()
            token = described["credentials"]["access_token"]
            clock = SystemClock()
            try:
                await story(
                    connector_on(transport, described["base_url"], token, clock, **settings)
                )
            finally:
                await transport.close()

    return run


@pytest.fixture
def create():
    return lambda key, **fields: Write(action="create", key=key, fields=fields)


@pytest.fixture
def read_all():
    """Read changes to their end, waiting as the sync does; also tells the pages."""

    async def read(salesforce, resource, fields, cursor=None):
        found = SimpleNamespace(records=[], pages=[], cursor=cursor)
        while True:
            page = await salesforce.read_page(resource, fields, found.cursor)
            found.records += page.records
            found.pages.append(page)
            found.cursor = json.decode(json.encode(page.cursor))
            if not page.more:
                return found
            await salesforce.api.clock.sleep(page.wait_s)

    return read
