"""Whatever is posted to the webhook door: never a 5xx, and stored only what was verified."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from dovetail.app.app import App
from dovetail.core import json
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest
from dovetail.runtime.store.schema import events
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.simulators.hubspot.signature import sign_v3
from dovetail.testing.app import IN_MEMORY, seeded_ports
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.loop import run

pytestmark = pytest.mark.search

SECRET = "a secret of the app"
HOST = "http://dovetail.test"
EVENT = {
    "eventId": 17,
    "subscriptionId": 1,
    "portalId": 2,
    "appId": 3,
    "occurredAt": 1772355600000,
    "subscriptionType": "contact.propertyChange",
    "propertyName": "city",
    "objectId": 42,
    "mergedObjectIds": [1, 2],
    "newObjectId": 42,
}
NAMES = st.sampled_from(
    ["x-hubspot-signature-v3", "x-hubspot-request-timestamp", "content-type", "content-length", "x"]
)
HEADERS = st.dictionaries(NAMES, st.text(st.characters(max_codepoint=255), max_size=40), max_size=3)


async def post_all(requests):
    """Post to a fresh app; return each status with the events stored until then."""
    transport = AsgiTransport({})
    ports = seeded_ports(1, transport)
    (hubspot,) = build_simulators(["hubspot"], clock=ports.clock, transport=transport)
    hubspot.base_url = "http://hubspot.test"
    transport.add(hubspot.base_url, hubspot.app)
    app = App(settings=Settings(database=IN_MEMORY, public_url=HOST), ports=ports)
    await app.open()
    connection = await app.connections.add(
        platform="hubspot",
        business_id="acme",
        secrets=hubspot.credentials,
        base_url=hubspot.base_url,
        webhook_secret=SECRET,
    )
    transport.add(HOST, app.asgi())
    told = []
    for build in requests:
        path = f"/hooks/hubspot/{connection.id}"
        request = build(path, round(ports.clock.now().timestamp() * 1000))
        answer = await transport.send(request)
        stored = await app.store.read(
            lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(events))
        )
        told.append((answer.status, answer.body, stored))
    await app.stop()
    await hubspot.close()
    return told


def signed(body):
    def build(path, now):
        url = f"{HOST}{path}"
        headers = {
            "content-type": "application/json",
            "x-hubspot-request-timestamp": str(now),
            "x-hubspot-signature-v3": sign_v3(SECRET, "POST", url, body, str(now)),
        }
        return HttpRequest(method="POST", url=url, headers=headers, body=body)

    return build


def test_signed_bodies_are_taken_whole_or_refused_whole(fuzzing, mutated):
    kinds = ["contact.creation", "contact.merge", "contact.propertyChange", "object.merge", "x"]
    items = [{**EVENT, "eventId": n, "subscriptionType": kind} for n, kind in enumerate(kinds)]

    @fuzzing
    @given(mutated(items))
    def check(body):
        ((status, answer, stored),) = run(post_all([signed(json.encode(body))]))
        assert status in (200, 400)
        if status == 200:
            # Two events that became the same fact are stored once.
            assert stored <= json.decode(answer)["accepted"]
        else:
            assert stored == 0

    check()


def test_bytes_that_are_no_events_are_refused(fuzzing):
    @fuzzing
    @given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
    def check(body):
        ((status, _, stored),) = run(post_all([signed(body)]))
        assert status in (200, 400)
        assert stored == 0

    check()


def test_nothing_unsigned_is_stored_whatever_the_headers_say(fuzzing):
    @fuzzing
    @given(HEADERS, st.binary(max_size=100), st.sampled_from(["", "?a=%zz", "/..", "%00", "?\xe9"]))
    def check(headers, body, end):
        def build(path, now):
            return HttpRequest(method="POST", url=HOST + path + end, headers=headers, body=body)

        def valid_but_for_a_byte(path, now):
            request = signed(json.encode([EVENT]))(path, now)
            return HttpRequest(
                method="POST", url=request.url, headers=request.headers, body=request.body + b" "
            )

        for status, _, stored in run(post_all([build, valid_but_for_a_byte])):
            assert 400 <= status < 500
            assert stored == 0

    check()


def test_a_repeated_body_is_stored_once(fuzzing):
    @fuzzing
    @given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=8))
    def check(numbers):
        bodies = [signed(json.encode([{**EVENT, "eventId": n}])) for n in numbers]
        told = run(post_all(bodies))
        assert [status for status, _, _ in told] == [200] * len(numbers)
        assert told[-1][2] == len(set(numbers))

    check()
