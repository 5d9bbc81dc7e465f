"""Reading changes skips none, however edits, lag, page ends and restarts fall between the pages."""

import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.registry import connector_class
from dovetail.core import json
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.app import seeded_ports
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.loop import run

EXAMPLES = settings(
    max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
CITY = {"hubspot": "city", "salesforce": "MailingCity"}
NAME = {"hubspot": "lastname", "salesforce": "LastName"}
# Edits of a stretch of records in one moment, of one record, of the one that was edited last; new
# records; reading a page; time passing; a restart that knows only what was committed.
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("bulk"), st.integers(0, 400), st.integers(1, 260)),
        st.tuples(st.just("edit"), st.integers(0, 400), st.just(1)),
        st.tuples(st.just("again"), st.just(0), st.just(1)),
        st.tuples(st.just("create"), st.just(0), st.integers(1, 3)),
        st.tuples(st.just("read"), st.just(0), st.integers(1, 4)),
        st.tuples(
            st.just("wait"), st.sampled_from([0.001, 0.3, 1.0, 7.0, 59.0, 600.0]), st.just(1)
        ),
        st.tuples(st.just("lag"), st.sampled_from([0, 5, 50]), st.just(1)),
    ),
    min_size=1,
    max_size=25,
)


class Reader:
    """A connector on a simulator, and what its pages have shown so far."""

    def __init__(self, platform, records):
        self.transport = AsgiTransport({})
        ports = seeded_ports(1, self.transport)
        self.clock = ports.clock
        (self.simulator,) = build_simulators(
            [platform], clock=ports.clock, transport=self.transport, records=records, seed=3
        )
        self.simulator.base_url = f"http://{platform}.test"
        self.transport.add(self.simulator.base_url, self.simulator.app)
        self.connector = connector_of(
            connector_class(platform),
            base_url=self.simulator.base_url,
            credentials=Credentials(self.simulator.credentials),
            transport=self.transport,
            clock=ports.clock,
            store=MemoryBudgetStore(),
            account="a",
        )
        self.resource = self.connector.resource("contacts")
        self.city, self.name = CITY[platform], NAME[platform]
        self.table = self.simulator.table("contacts")
        self.seen = {}
        self.cursor = None
        self.made = 0
        self.last_edited = None

    async def act(self, what, at, count):
        if what in ("bulk", "edit"):
            ids = [record.id for record in self.table]
            start = int(at) % len(ids)
            self.edit(ids[start : start + count])
        elif what == "again":
            self.edit([self.last_edited or next(iter(self.table)).id])
        elif what == "create":
            self.made += 1
            self.simulator.create_record(
                "contacts", {self.name: f"New {self.made}", self.city: f"Town {self.made}"},
                source=self.simulator.ui_source,
            )  # fmt: skip
        elif what == "wait":
            await self.clock.sleep(at)
        elif what == "lag":
            self.simulator.faults.replace(
                [{"kind": "consistency_lag", "seconds": at}] if at else []
            )
        else:
            for _ in range(count):
                await self.read()

    def edit(self, ids):
        with self.simulator.one_moment():
            for id in ids:
                self.made += 1
                self.simulator.update_record(
                    "contacts", id, {self.city: f"Town {self.made}"},
                    source=self.simulator.ui_source,
                )  # fmt: skip
        self.last_edited = ids[-1]

    async def read(self):
        page = await self.connector.read_page(
            self.resource, [self.city, self.name], json.decode(json.encode(self.cursor))
        )
        for record in page.records:
            known = self.seen.get(record.id)
            if known is None or record.modified_at >= known.modified_at:
                self.seen[record.id] = record
        self.cursor = page.cursor
        return page.more

    async def read_all(self):
        for _ in range(300):
            if not await self.read():
                return
        raise AssertionError("the reading of changes does not come to an end")


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
@EXAMPLES
@given(actions=ACTIONS, records=st.sampled_from([3, 100, 201, 230]))
def test_no_change_is_skipped(platform, actions, records):
    async def body():
        reader = Reader(platform, records)
        for action in actions:
            await reader.act(*action)
        await reader.read_all()
        # Whatever became visible late lies within the platform's declared lag.
        await reader.clock.sleep(reader.resource.consistency_lag_s + 1)
        await reader.read_all()
        shown = {id: record.fields.get(reader.city) for id, record in reader.seen.items()}
        held = {
            record.id: reader.simulator.show_fields(record).get(reader.city)
            for record in reader.table
        }
        await reader.simulator.close()
        wrong = {
            id: (shown.get(id, "never"), city)
            for id, city in held.items()
            if shown.get(id, "never") != city
        }
        assert not wrong

    run(body())


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
@EXAMPLES
@given(seed=st.integers(0, 10**6), edits=st.integers(1, 30))
def test_a_quiet_account_shows_nothing_twice_for_ever(platform, seed, edits):
    async def body():
        reader = Reader(platform, 30)
        rng = random.Random(seed)
        await reader.read_all()
        for _ in range(edits):
            await reader.act("edit", rng.randrange(30), 1)
            await reader.clock.sleep(rng.random() * 3)
        for _ in range(3):
            await reader.read_all()
            await reader.clock.sleep(700)
        page = await reader.connector.read_page(
            reader.resource, [reader.city, reader.name], reader.cursor
        )
        await reader.simulator.close()
        assert page.records == []

    run(body())
