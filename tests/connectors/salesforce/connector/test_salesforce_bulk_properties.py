"""Reading with a job skips no change, whenever records change, appear or go while it runs."""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.connectors.salesforce import Salesforce
from dovetail.core import json
from dovetail.testing.loop import run

EXAMPLES = settings(
    max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "10")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
CONTACTS = Salesforce.resource("contacts")
FIELDS = ("LastName", "MailingCity")
MANY = 2_030
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.integers(0, MANY), st.integers(1, 40)),
        st.tuples(st.just("create"), st.just(0), st.integers(1, 3)),
        st.tuples(st.just("delete"), st.integers(0, MANY), st.just(1)),
        st.tuples(st.just("read"), st.just(0), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.sampled_from([0.3, 1.0, 7.0, 30.0, 600.0]), st.just(1)),
        st.tuples(st.just("lag"), st.sampled_from([0, 5, 50]), st.just(1)),
    ),
    min_size=1,
    max_size=20,
)


class Reader:
    """Whoever reads, a new process for each page, and what people do meanwhile."""

    def __init__(self, world):
        self.world = world
        self.simulator = self.world.simulator
        self.cursor, self.seen, self.made = None, {}, 0

    async def act(self, what, at, count):
        ids = [record.id for record in self.simulator.table("contacts")]
        chosen = (ids * 2)[int(at) % len(ids) :][:count]
        source = self.simulator.ui_source
        if what == "edit":
            for id in chosen:
                self.made += 1
                self.simulator.update_record(
                    "contacts", id, {"MailingCity": f"Town {self.made}"}, source=source
                )
        elif what == "create":
            for _ in range(count):
                self.made += 1
                self.simulator.create_record(
                    "contacts", {"LastName": f"New {self.made}"}, source=source
                )
        elif what == "delete":
            self.simulator.delete_record("contacts", chosen[0], source=source)
        elif what == "wait":
            await self.world.clock.sleep(at)
        elif what == "lag":
            self.simulator.faults.replace(
                [{"kind": "consistency_lag", "seconds": at}] if at else []
            )
        else:
            for _ in range(count):
                await self.read()

    async def read(self):
        salesforce = self.world.connector(bulk_read_from=2_000)
        page = await salesforce.read_page(CONTACTS, FIELDS, json.decode(json.encode(self.cursor)))
        for record in page.records:
            known = self.seen.get(record.id)
            if known is None or record.modified_at >= known.modified_at:
                self.seen[record.id] = record
        self.cursor = page.cursor
        await self.world.clock.sleep(page.wait_s)
        return page.more

    async def read_all(self):
        for _ in range(100):
            if not await self.read():
                return
        raise AssertionError("the reading of changes does not come to an end")


@EXAMPLES
@given(actions=ACTIONS, begun=st.integers(0, 3), job_s=st.sampled_from([1, 9, 400]))
def test_no_change_is_skipped_while_a_job_runs(new_world, actions, begun, job_s):
    async def body():
        reader = Reader(new_world(records=MANY, seed=3, bulk_job_s=job_s))
        await reader.act("read", 0, begun)
        for action in actions:
            await reader.act(*action)
        reader.simulator.faults.replace([])
        await reader.read_all()
        await reader.world.clock.sleep(120)
        await reader.read_all()

        there = {
            record.id: record.fields.get("MailingCity")
            for record in reader.simulator.table("contacts")
        }
        told = {id: one.fields["MailingCity"] for id, one in reader.seen.items() if not one.deleted}
        assert told == there
        assert reader.world.calls.count("POST /jobs/query") <= 2

    run(body())
