"""Whatever a platform answers: a connector returns, or says what happened in its own errors."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.registry import connector_class
from dovetail.core import json
from dovetail.core.transport import HttpResponse, TransportError
from dovetail.errors import ConnectorError
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.app import seeded_ports
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.loop import run

FIELDS = {"hubspot": ["email", "city"], "salesforce": ["Email", "MailingCity", "LastName"]}
KEY = {"hubspot": "email", "salesforce": "Email"}
SINCE = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
STATUSES = st.sampled_from([200, 201, 204, 207, 301, 302, 400, 401, 403, 404, 409, 410, 413, 429])
SERVER = st.sampled_from([500, 502, 503, 504, 520, 599])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "content-type", "x-hubspot-ratelimit-remaining", "sforce-limit-info",
         "x-hubspot-ratelimit-secondly-remaining", "content-encoding", "location"]
    ),
    st.sampled_from(["", "-1", "nan", "1e999", "Fri, 31 Dec 1999 23:59:59 GMT", "api-usage=1/2",
                     "api-usage=x/y", "abc", "99999999999", "text/html", "0"]),
    max_size=3,
)  # fmt: skip
OPERATIONS = ("read_page", "read_on", "read_many", "find_many", "create", "update", "delete",
              "look_up", "identify", "known_fields", "prepare", "subscribe")  # fmt: skip


class Hostile:
    """Passes requests on to a simulator and spoils the answer of the *nth*."""

    def __init__(self, inner, spoil, nth):
        self.inner, self.spoil, self.nth = inner, spoil, nth
        self.count = 0

    async def send(self, request):
        self.count += 1
        assert self.count < 300, "the connector does not stop asking"
        answer = await self.inner.send(request)
        return self.spoil(answer) if self.count >= self.nth else answer

    async def close(self):
        return None


def connect(platform, spoil, nth):
    inner = AsgiTransport({})
    ports = seeded_ports(1, inner)
    (simulator,) = build_simulators([platform], clock=ports.clock, transport=inner, records=5)
    simulator.base_url = f"http://{platform}.test"
    inner.add(simulator.base_url, simulator.app)
    connector = connector_of(
        connector_class(platform),
        base_url=simulator.base_url,
        credentials=Credentials(simulator.credentials),
        transport=Hostile(inner, spoil, nth),
        clock=ports.clock,
        store=MemoryBudgetStore(),
        account="a",
    )
    return connector, simulator


async def operate(connector, simulator, operation):
    contacts = connector.resource("contacts")
    fields, key = FIELDS[connector.platform], KEY[connector.platform]
    ids = [record.id for record in simulator.table("contacts")][:2]
    new = {key: "new@example.com"} | ({"LastName": "New"} if key == "Email" else {})
    create = Write(action="create", key="k1", fields=new)
    update = Write(action="update", key="k2", id=ids[0], fields={fields[1]: "Oslo"})
    delete = Write(action="delete", key="k3", id=ids[0], fields={})
    cursor = connector.cursor_at(contacts, SINCE)
    calls = {
        "read_page": lambda: connector.read_page(contacts, fields, None),
        "read_on": lambda: connector.read_page(contacts, fields, cursor),
        "read_many": lambda: connector.read_many(contacts, [*ids, "999"], fields),
        "find_many": lambda: connector.find_many(contacts, key, ["a@example.com"], fields),
        "look_up": lambda: connector.look_up(contacts, [create], SINCE, fields),
        "create": lambda: connector.write(contacts, [create], fields),
        "update": lambda: connector.write(contacts, [update], fields),
        "delete": lambda: connector.write(contacts, [delete], fields),
        "subscribe": lambda: subscribed(connector, fields),
        "identify": connector.identify,
        "known_fields": lambda: connector.known_fields(contacts),
        "prepare": lambda: connector.prepare(contacts),
    }
    found = await calls[operation]()
    asked = {"read_many": 3, "look_up": 1, "create": 1, "update": 1, "delete": 1}
    assert operation not in asked or len(found) == asked[operation]


async def subscribed(connector, fields):
    if hasattr(connector, "subscribe"):
        await connector.subscribe("https://us.test/hooks", {"contacts": fields})


def attempt(platform, operation, spoil, nth):
    async def body():
        connector, simulator = connect(platform, spoil, nth)
        try:
            async with asyncio.timeout(10**7):
                await operate(connector, simulator, operation)
        except ConnectorError as error:
            assert error.message
        finally:
            await simulator.close()

    run(body())


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
def test_answers_with_wrong_parts_end_in_connector_errors(fuzzing, mutated, platform):
    @fuzzing
    @given(st.sampled_from(OPERATIONS), st.integers(1, 3), st.data())
    def check(operation, nth, data):
        def spoil(answer):
            try:
                value = json.decode(answer.body)
            except ValueError:
                value = {}
            return HttpResponse(
                status=answer.status,
                headers=answer.headers,
                body=json.encode(data.draw(mutated(value))),
            )

        attempt(platform, operation, spoil, nth)

    check()


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
def test_any_status_with_any_body_ends_in_connector_errors(fuzzing, hostile, platform):
    bodies = st.binary(max_size=80) | hostile.map(json.encode) | st.just(b"<html>busy</html>")

    @fuzzing
    @given(st.sampled_from(OPERATIONS), st.integers(1, 3), STATUSES | SERVER, HEADERS, bodies)
    def check(operation, nth, status, headers, body):
        answer = HttpResponse(status=status, headers=headers, body=body)
        attempt(platform, operation, lambda _: answer, nth)

    check()


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
def test_a_broken_exchange_ends_in_connector_errors(fuzzing, platform):
    @fuzzing
    @given(st.sampled_from(OPERATIONS), st.integers(1, 3), st.booleans(), st.integers(0, 60))
    def check(operation, nth, cut, kept):
        def spoil(answer):
            if cut:
                raise TransportError("cut", sent=True)
            return HttpResponse(
                status=answer.status, headers=answer.headers, body=answer.body[:kept]
            )

        attempt(platform, operation, spoil, nth)

    check()
