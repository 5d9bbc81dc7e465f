"""
The first sync beside the loop that anybody would write: a look-up a record, then a call a write.

Each call is answered after 50 ms, on virtual time, through the same transport, and nothing limits
the loop, which HubSpot would refuse otherwise. Latency alone is one row; the other adds the
processor's time, that of the simulators in the same process included.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.crm import Synced, crms, first_sync, stopwatch
from benchmarks.row import FEW_ROUNDS, Row
from dovetail.core import json
from dovetail.core.log import configure_logging
from dovetail.core.transport import HttpRequest, HttpResponse
from dovetail.testing.app import seeded_ports
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.loop import run

LATENCY_S = 0.05
NO_LIMITS = {"hubspot": {"burst_limit": 10**9, "search_limit": 10**9}}
# HubSpot's field -> Salesforce's, as in examples/crm_sync.py.
FIELDS = {
    "firstname": "FirstName",
    "lastname": "LastName",
    "email": "Email",
    "phone": "Phone",
    "jobtitle": "Title",
    "city": "MailingCity",
}
OBJECTS = "/crm/v3/objects/contacts"
DATA = "/services/data/v60.0"


def measure(folder: Path, items: int) -> list[Row]:
    del folder
    configure_logging("error")
    people = max(items // 20, 20)
    rounds = [(run(ours(people)), run(naive(people))) for _ in range(FEW_ROUNDS)]

    def rate(number: int, *, with_processor: bool) -> float:
        return statistics.median(
            one[number].records / (one[number].virtual_s + with_processor * one[number].cpu_s)
            for one in rounds
        )

    synced, looped = rounds[-1]
    note = (
        f"{looped.virtual_s:,.0f} s and {looped.calls:,} calls beside {synced.virtual_s:.1f} s and "
        f"{synced.calls:,}; "
    )
    return [
        Row(
            f"first sync of {synced.records:,} contacts, 50 ms an answer, {what}",
            rate(0, with_processor=with_processor),
            "records/s",
            "a loop, one call a record, same transport",
            rate(1, with_processor=with_processor),
            at_least=30,
            note=note + more,
        )
        for what, with_processor, more in (
            ("latency alone", False, "virtual time"),
            (
                "latency and processor",
                True,
                f"virtual time, and {synced.cpu_s:.1f} s of the processor beside "
                f"{looped.cpu_s:.1f} s, simulators included",
            ),
        )
    ]


async def ours(people: int) -> Synced:
    return await first_sync(people, latency_s=LATENCY_S)


async def naive(people: int) -> Synced:
    transport, looped = AsgiTransport({}), Synced()
    ports = seeded_ports(1, transport)
    async with crms(ports, transport, people, LATENCY_S, NO_LIMITS) as simulators:
        loop = Loop(transport, simulators)
        with stopwatch(ports.clock, looped):
            await loop.sync()
        looped.records, looped.calls = loop.records, loop.calls
    return looped


class Loop:
    """Reads each side's pages, and asks the other side about each record in them."""

    def __init__(self, transport: AsgiTransport, simulators: Any) -> None:
        self.transport = transport
        self.simulators = simulators
        self.records = self.calls = 0

    async def sync(self) -> None:
        contacts, people = await self.hubspot_contacts(), await self.salesforce_contacts()
        self.records = len(contacts) + len(people)
        for one in contacts:
            await self.to_salesforce(one)
        for one in people:
            await self.to_hubspot(one)

    async def hubspot_contacts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        told, after = ",".join(FIELDS), ""
        while True:
            page = await self.call("hubspot", f"{OBJECTS}?limit=100&properties={told}{after}")
            found += page["results"]
            if "paging" not in page:
                return found
            after = f"&after={page['paging']['next']['after']}"

    async def salesforce_contacts(self) -> list[dict[str, Any]]:
        told = ",".join(FIELDS.values())
        page = await self.query(f"SELECT Id,{told} FROM Contact")
        found: list[dict[str, Any]] = page["records"]
        while more := page.get("nextRecordsUrl"):
            page = await self.call("salesforce", more)
            found += page["records"]
        return found

    async def to_salesforce(self, contact: dict[str, Any]) -> None:
        values = contact["properties"]
        wanted = {theirs: values[name] for name, theirs in FIELDS.items() if values.get(name)}
        email = (values.get("email") or "").replace("\\", "\\\\").replace("'", "\\'")
        told = ",".join(FIELDS.values())
        found = await self.query(f"SELECT Id,{told} FROM Contact WHERE Email = '{email}' LIMIT 1")
        path = f"{DATA}/sobjects/Contact"
        if not found["records"]:
            await self.call("salesforce", path, "POST", wanted)
            return
        (held,) = found["records"]
        if changed := {name: value for name, value in wanted.items() if held[name] != value}:
            await self.call("salesforce", f"{path}/{held['Id']}", "PATCH", changed)

    async def to_hubspot(self, person: dict[str, Any]) -> None:
        wanted = {name: person[theirs] for name, theirs in FIELDS.items() if person.get(theirs)}
        key = f"{quote(wanted.get('email', 'nobody'), safe='')}?idProperty=email"
        held = await self.call("hubspot", f"{OBJECTS}/{key}&properties={','.join(FIELDS)}")
        if held is None:
            await self.call("hubspot", OBJECTS, "POST", {"properties": wanted})
            return
        values = held["properties"]
        if changed := {name: value for name, value in wanted.items() if values[name] != value}:
            path = f"{OBJECTS}/{held['id']}"
            await self.call("hubspot", path, "PATCH", {"properties": changed})

    async def query(self, soql: str) -> Any:
        return await self.call("salesforce", f"{DATA}/query?q={quote(soql, safe='')}")

    async def call(self, platform: str, path: str, method: str = "GET", body: Any = None) -> Any:
        """Return the JSON of an answer; None when there is nothing of that name."""
        self.calls += 1
        simulator = self.simulators[platform]
        answer: HttpResponse = await self.transport.send(
            HttpRequest(
                method=method,
                url=simulator.base_url + path,
                headers={
                    "authorization": f"Bearer {simulator.credentials['access_token']}",
                    "content-type": "application/json",
                },
                body=b"" if body is None else json.encode(body),
            )
        )
        # A person without a last name, or with the address of another, is refused: a loop goes on.
        assert answer.status in (200, 201, 204, 400, 404, 409), answer.body.decode()
        if answer.status >= 204 or not answer.body:
            return None
        return json.decode(answer.body)
