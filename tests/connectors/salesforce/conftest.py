"""A Salesforce org in process, and a client that speaks to it as an integration would."""

import random
from urllib.parse import quote, urlencode

import pytest

from dovetail.core import json
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpRequest
from dovetail.simulators.salesforce import Salesforce
from dovetail.testing.asgi import AsgiTransport

INSTANCE = "https://acme.my.salesforce.com"
DATA = "/services/data/v60.0"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.body.decode()

    @property
    def body(self):
        return json.decode(self.text)

    @property
    def code(self):
        return self.body[0]["errorCode"]


class OrgClient:
    def __init__(self, simulator):
        self.simulator = simulator
        self.token = simulator.credentials["access_token"]
        self._transport = AsgiTransport({INSTANCE: simulator.app})

    async def call(self, method, path, body=None, headers=None, token=None):
        sent = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        request = HttpRequest(method=method, url=INSTANCE + path, headers=sent, body=data)
        return Answer(await self._transport.send(request))

    async def get(self, path, headers=None):
        return await self.call("GET", DATA + path, headers=headers)

    async def post(self, path, body, headers=None):
        return await self.call("POST", DATA + path, body, headers)

    async def patch(self, path, body, headers=None):
        return await self.call("PATCH", DATA + path, body, headers)

    async def delete(self, path, headers=None):
        return await self.call("DELETE", DATA + path, headers=headers)

    async def query(self, soql, headers=None, endpoint="query"):
        return await self.get(f"/{endpoint}?q={quote(soql, safe='')}", headers)

    async def rows(self, soql, endpoint="query"):
        answer = await self.query(soql, endpoint=endpoint)
        assert answer.status == 200, answer.text
        return answer.body["records"]

    async def create(self, kind="Contact", **fields):
        answer = await self.post(f"/sobjects/{kind}", fields)
        assert answer.status == 201, answer.text
        return answer.body["id"]

    async def contact(self, row_id):
        answer = await self.get(f"/sobjects/Contact/{row_id}")
        assert answer.status == 200, answer.text
        return answer.body

    async def form(self, path, fields, headers=None):
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self.call("POST", path, urlencode(fields).encode(), sent)

    async def sandbox(self, method, name, body=None):
        return await self.call(method, f"/_sandbox/{name}", body)


@pytest.fixture
def new_org():
    def build(**options):
        simulator = Salesforce(
            clock=LoopClock(),
            rng=random.Random(7),
            transport=AsgiTransport(),
            base_url=INSTANCE,
            **options,
        )
        return OrgClient(simulator)

    return build


@pytest.fixture
def org(new_org):
    return new_org(external_id_fields=("Hub_Key__c",))
