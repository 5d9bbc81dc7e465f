"""The first sync of two CRMs, a restart after it, and tenants beside each other."""

from collections import Counter
from pathlib import Path

import pytest

from dovetail import db
from dovetail.app.load import load_program
from dovetail.entities import Contact, IntegrationMapping
from dovetail.errors import RecordMissingError
from dovetail.testing.sandbox import sandboxed_app

PROGRAM = load_program(Path(__file__).resolve().parents[2] / "examples" / "crm_sync.py")
EMAIL = {"hubspot": "email", "salesforce": "Email"}


async def addresses(world, platform):
    """Return how often a platform holds each address."""
    fields = (one["fields"] for one in await world.records(platform))
    return Counter((one.get(EMAIL[platform]) or "").strip().lower() for one in fields)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html", "count": 6},
        {"kind": "rate_limit", "count": 6},
        {"kind": "server_error", "count": 6},
        {"kind": "cut_before", "count": 6},
        {"kind": "cut_after", "count": 6},
        {"kind": "truncate", "count": 6},
        {"kind": "cut_after", "path": "*batch*", "count": 3},
        {"kind": "cut_after", "path": "*composite*", "count": 3},
    ],
    ids=lambda fault: fault["kind"] + fault.get("path", "").strip("*"),
)
async def test_a_first_sync_that_is_disturbed_makes_no_duplicate(fault):
    faults = {"hubspot": [fault], "salesforce": [fault]}
    async with sandboxed_app(PROGRAM, records=24, faults=faults) as world:
        theirs = await addresses(world, "salesforce")
        await world.settle(600)

        hubspot, salesforce = [await addresses(world, name) for name in EMAIL]
        del hubspot[""], salesforce[""]
        assert set(hubspot) == set(salesforce)
        assert len(hubspot) >= 36
        assert set(hubspot.values()) == {1}
        # An org may hold an address twice from the start; the sync adds none.
        assert {key: number for key, number in salesforce.items() if number > 1} == {
            key: number for key, number in theirs.items() if number > 1 and key
        }


async def test_a_restart_reads_only_what_changed_while_nothing_ran(tmp_path):
    database = tmp_path / "app.db"
    async with sandboxed_app(PROGRAM, records=150, database=database) as world:
        await world.settle(120)
        first = {name: await world.calls(name) for name in EMAIL}
        person = (await world.records("hubspot"))[0]
        await world.app.stop()
        await world.edit("hubspot", person["id"], city="Meanwhile")
        await world.app.ports.clock.sleep(600)

        await world.restart()
        await world.settle(30)

        for name, before in first.items():
            used = await world.calls(name) - before
            # A first reading takes more than ten; these are polls, one record and its write.
            assert used <= 25, f"{name} was called {used} times"
        cities = [one["fields"].get("MailingCity") for one in await world.records("salesforce")]
        assert cities.count("Meanwhile") == 1
        hubspot, salesforce = [await addresses(world, name) for name in EMAIL]
        assert set(hubspot) == set(salesforce)


async def test_tenants_with_the_same_people_never_mix():
    async with sandboxed_app(PROGRAM, records=12, business_id="acme") as acme:
        globex = await acme.add_tenant("globex", records=12, seed=2)
        await acme.settle(120)
        for world, name in ((acme, "Acme"), (globex, "Globex")):
            await world.edit("hubspot", None, lastname=name, email="one@same.example")
        await acme.settle(60)

        for world, name in ((acme, "Acme"), (globex, "Globex")):
            last_names = [
                one["fields"]["LastName"]
                for one in await world.records("salesforce")
                if one["fields"]["Email"] == "one@same.example"
            ]
            assert last_names == [name]
        people = [set(await addresses(world, "salesforce")) for world in (acme, globex)]
        assert people[0] & people[1] <= {"", "one@same.example"}
        for business_id, name in (("acme", "Acme"), ("globex", "Globex")):
            async with acme.app.session(business_id):
                found = await db.query(Contact, email="one@same.example")
                mappings = await db.query(IntegrationMapping, internal_id=found[0].id)
            assert [one.last_name for one in found] == [name]
            assert {one.business_id for one in mappings} == {business_id}


async def test_a_record_of_one_tenant_is_out_of_reach_for_another():
    async with sandboxed_app(PROGRAM, records=12, business_id="acme") as acme:
        await acme.add_tenant("globex", records=0, seed=2)
        async with acme.app.session("acme"):
            contact = (await db.query(Contact, limit=1))[0]
        async with acme.app.session("globex"):
            assert await db.count(Contact) == 0
            with pytest.raises(RecordMissingError, match="another tenant"):
                await db.get(Contact, contact.id)
            with pytest.raises(RecordMissingError):
                await db.update(Contact, contact.id, city="Elsewhere")
