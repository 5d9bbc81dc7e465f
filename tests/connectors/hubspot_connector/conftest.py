"""A connection to HubSpot that plays scripted answers."""

import importlib.util
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.record import Write
from dovetail.connectors.hubspot import HubSpot
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpResponse
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.testing.asgi import AsgiTransport

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CONTACTS = HubSpot.resource("contacts")
OBJECTS = "/crm/v3/objects/contacts"
FIELDS = ("email", "firstname")
KEY_READY = ("GET", "/crm/v3/properties/contacts/dovetail_id", 200, {"name": "dovetail_id"})


def _load(name):
    """Import a file of the folder above: the tests are no package."""
    path = Path(__file__).parents[1] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_digest = _load("hubspot_digest")


def ms(at):
    return int(at.timestamp() * 1000)


def iso(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def contact(id, at=START, **properties):
    properties = {"email": f"c{id}@example.com", "firstname": "Ada", **properties}
    told = {"hs_object_id": str(id), "lastmodifieddate": iso(at), **properties}
    return {
        "id": str(id),
        "properties": told,
        "createdAt": iso(START),
        "updatedAt": iso(at),
        "archived": False,
    }


class Script:
    """Plays (method, path, status, body[, headers]) in turn; a wrong call fails the test."""

    def __init__(self, steps):
        self.steps = list(steps)
        self.bodies = []
        self.requests = []

    async def send(self, request):
        path = request.url.removeprefix(HubSpot.base_url).partition("?")[0]
        assert self.steps, f"an unexpected call: {request.method} {path}"
        method, expected, status, body, *headers = self.steps.pop(0)
        assert (request.method, path) == (method, expected)
        self.requests.append(request)
        self.bodies.append(json.loads(request.body) if request.body else None)
        if isinstance(body, Exception):
            raise body
        return HttpResponse(
            status=status,
            headers=headers[0] if headers else {},
            body=b"" if body is None else json.dumps(body).encode(),
        )


def connect(*steps, **credentials):
    clock, script = LoopClock(START), Script(steps)
    hubspot = connector_of(
        HubSpot,
        base_url=HubSpot.base_url,
        credentials=Credentials({"access_token": "pat-na1-000", **credentials}),
        transport=script,
        clock=clock,
        store=MemoryBudgetStore(),
        account="h",
    )
    return hubspot, script


def listing(results, after=None):
    paging = {"paging": {"next": {"after": after}}} if after else {}
    return ("GET", OBJECTS, 200, {"results": results, **paging})


def search(results, more=False):
    paging = {"paging": {"next": {"after": "200"}}} if more else {}
    body = {"total": len(results), "results": results, **paging}
    return ("POST", f"{OBJECTS}/search", 200, body)


def batch(call, results, errors=(), status=None):
    body = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    return ("POST", f"{OBJECTS}/batch/{call}", status or (207 if errors else 200), body)


def key_ready(unique=True):
    return (*KEY_READY[:3], {"name": "dovetail_id", "hasUniqueValue": unique})


def filters(body):
    (group,) = body["filterGroups"]
    return [(one["propertyName"], one["operator"], one["value"]) for one in group["filters"]]


def create(key, email="ada@example.com", **fields):
    return Write(action="create", key=key, fields={"email": email, **fields})


@pytest.fixture
def hub():
    """What the tests of this folder write their scripts with."""
    return SimpleNamespace(
        ms=ms,
        iso=iso,
        contact=contact,
        connect=connect,
        listing=listing,
        search=search,
        batch=batch,
        key_ready=key_ready,
        described=described,
        filters=filters,
        create=create,
    )


def described(inner):
    """Return a transport that holds every call against the vendor's description, if it is here."""
    return _digest.VendorDigest(inner, HubSpot.base_url) if _digest.SPECS.is_dir() else inner


def simulated(**credentials):
    """Return a connector to a simulator in process, with every call held against the digest."""
    clock, inner = LoopClock(START), AsgiTransport()
    simulator = HubSpotSimulator(
        clock=clock,
        rng=random.Random(1),
        transport=inner,
        base_url=HubSpot.base_url,
        seed=1,
        search_lag_s=0,
    )
    inner.add(HubSpot.base_url, simulator.app)
    digest = _digest.VendorDigest(inner, HubSpot.base_url)
    hubspot = connector_of(
        HubSpot,
        base_url=HubSpot.base_url,
        credentials=Credentials({**simulator.credentials, **credentials}),
        transport=digest,
        clock=clock,
        store=MemoryBudgetStore(),
        account="h",
    )
    return hubspot, digest


@pytest.fixture
def portal():
    """Make a connector to a simulator; skip without the vendor's description."""
    if not _digest.SPECS.is_dir():
        pytest.skip(f"no description of HubSpot's calls at {_digest.SPECS}")
    return simulated
