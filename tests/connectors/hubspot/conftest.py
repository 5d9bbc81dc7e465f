"""A HubSpot simulator in process, and short ways to call it."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from urllib.parse import urlencode

import pytest

from dovetail.core import json
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpRequest
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.testing.asgi import AsgiTransport

BASE = "https://api.hubapi.com"


def _load(name):
    """Import a file of the folder above: the tests are no package."""
    path = Path(__file__).parents[1] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_digest = _load("hubspot_digest")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.raw = response.body

    @property
    def json(self):
        return json.decode(self.raw)

    @property
    def ids(self):
        return [record["id"] for record in self.json["results"]]


class Portal:
    def __init__(self, *, seed=1, **options):
        options.setdefault("search_lag_s", 0)
        options.setdefault("burst_limit", 10_000)
        options.setdefault("search_limit", 10_000)
        self.clock = LoopClock()
        self.transport = AsgiTransport()
        self.simulator = HubSpotSimulator(
            clock=self.clock,
            rng=random.Random(seed),
            transport=self.transport,
            base_url=BASE,
            seed=seed,
            **options,
        )
        self.transport.add(BASE, self.simulator.app)
        self.token = self.simulator.credentials["access_token"]

    async def call(self, method, path, body=None, *, query=None, headers=None, raw=None):
        url = BASE + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        named = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        content = raw if raw is not None else b"" if body is None else json.encode(body)
        request = HttpRequest(
            method=method, url=url, headers={**named, **(headers or {})}, body=content
        )
        return Answer(await self.transport.send(request))

    async def get(self, path, **query):
        return await self.call("GET", path, query=query)

    async def post(self, path, body):
        return await self.call("POST", path, body)

    async def patch(self, path, body, **query):
        return await self.call("PATCH", path, body, query=query)

    async def delete(self, path):
        return await self.call("DELETE", path)

    async def put(self, path, body=None):
        return await self.call("PUT", path, body)

    async def new(self, kind, *associations, **properties):
        body = {"properties": properties, "associations": list(associations)}
        answer = await self.post(f"/crm/v3/objects/{kind}", body)
        assert answer.status == 201, answer.raw
        return answer.json["id"]

    async def add(self, **properties):
        answer = await self.post("/crm/v3/objects/contacts", {"properties": properties})
        assert answer.status == 201, answer.raw
        return answer.json["id"]

    async def batch(self, name, *inputs, **more):
        path = f"/crm/v3/objects/contacts/batch/{name}"
        return await self.post(path, {"inputs": list(inputs), **more})

    async def search(self, *filters, **more):
        groups = [{"filters": list(filters)}] if filters else []
        body = {"filterGroups": groups, **more}
        return await self.post("/crm/v3/objects/contacts/search", body)

    async def control(self, name, body=None):
        return await self.call("GET" if body is None else "POST", f"/_sandbox/{name}", body)

    async def developer(self, method, path, body=None):
        credentials = self.simulator.credentials
        return await self.call(
            method,
            f"/webhooks/v3/{credentials['app_id']}/{path}",
            body,
            query={"hapikey": credentials["developer_api_key"]},
        )


class Receiver:
    """Takes webhooks; answers with the next of `answers`, then 200."""

    def __init__(self, portal, *, url="https://app.example.com/hooks?a=%40b", answers=()):
        self.url = url
        self.calls = []
        self.answers = list(answers)
        portal.transport.add("https://app.example.com", self)

    @property
    def events(self):
        return [event for _, body in self.calls for event in json.decode(body)]

    def of(self, kind):
        return [event for event in self.events if event["subscriptionType"] == kind]

    async def __call__(self, scope, receive, send):
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append((headers, message["body"]))
        status = self.answers.pop(0) if self.answers else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Spec:
    def __init__(self, name):
        described = json.decode((_digest.SPECS / f"{name}.json").read_bytes())
        self.operations = {each["sdk"]: each for each in described["operations"]}
        self.models = described["models"]

    def check(self, operation, answer):
        responses = self.operations[operation]["responses"]
        if not responses:
            assert answer.status == 204
            return
        assert str(answer.status) in responses, f"{operation}: {answer.status} {answer.raw}"
        self.fits(answer.json, responses[str(answer.status)], operation)

    def fits(self, value, kind, where):
        _digest.fits(value, kind, self.models, where)


@pytest.fixture
def load_spec():
    if not _digest.SPECS.is_dir():
        pytest.skip(f"no API descriptions at {_digest.SPECS}; set DOVETAIL_SPECS")
    return Spec


@pytest.fixture
def make_portal():
    return Portal


@pytest.fixture
def make_receiver():
    return Receiver


@pytest.fixture
def portal():
    return Portal()
