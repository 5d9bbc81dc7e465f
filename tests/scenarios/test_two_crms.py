"""What a user sees: two CRMs kept in agreement by a declaration alone."""

import json
from pathlib import Path

import pytest

from dovetail import Service, db, on
from dovetail.app.load import load_program
from dovetail.entities import (
    Contact,
    IntegrationMapping,
    SyncActivity,
    SyncConflict,
    SyncError,
)
from dovetail.testing.sandbox import sandboxed_app

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "crm_sync.py"
FIELDS = {
    "first_name": ("firstname", "FirstName"),
    "last_name": ("lastname", "LastName"),
    "email": ("email", "Email"),
    "phone": ("phone", "Phone"),
    "city": ("city", "MailingCity"),
}


def declare(**integration):
    return Service.create(
        name="CRM",
        integration={
            "platforms": ["hubspot", "salesforce"],
            "sync_mode": "bidirectional",
            "entities": ["contacts"],
            "schedule": {"poll_interval": "1 minute"},
            **integration,
        },
        mappings={
            "contact": {
                "hubspot": {theirs[0]: ours for ours, theirs in FIELDS.items()},
                "salesforce": {theirs[1]: ours for ours, theirs in FIELDS.items()},
            }
        },
    )


async def both(world):
    """Return e-mail -> the contact as our fields, at HubSpot and at Salesforce."""
    sides = []
    for number, platform in enumerate(("hubspot", "salesforce")):
        found = {}
        for one in await world.records(platform):
            values = {ours: one["fields"].get(theirs[number]) for ours, theirs in FIELDS.items()}
            found.setdefault((values["email"] or one["id"]).lower(), []).append(
                {"id": one["id"], **{name: value or None for name, value in values.items()}}
            )
        sides.append(found)
    return sides


async def pair(world, number=0):
    """Return one person who is once on both sides, as (HubSpot's, Salesforce's)."""
    left, right = await both(world)
    shared = sorted(
        key
        for key in left.keys() & right.keys()
        if "@" in key and len(left[key]) == len(right[key]) == 1
    )
    return left[shared[number]][0], right[shared[number]][0]


def values(record):
    return {name: value for name, value in record.items() if name != "id"}


async def agree(world):
    left, right = await both(world)
    named = {key: rows for key, rows in left.items() if "@" in key}
    assert named.keys() == {key for key in right if "@" in key}
    for key, rows in named.items():
        assert len(rows) == 1, "HubSpot has one of each"
        assert values(rows[0]) in [values(row) for row in right[key]], key


async def test_the_first_sync_links_and_makes_no_duplicates():
    async with sandboxed_app(load_program(EXAMPLE), records=40) as world:
        left, right = await both(world)

        await agree(world)
        assert len(left) == 40 + 30, "40 of its own, 30 that only Salesforce had"
        status = await world.app.sync.status()
        assert sum(spoke.counts["made"] for spoke in status.spokes) == 60
        assert len(right) >= 70 - 1


async def test_an_edit_travels_by_webhook_in_seconds():
    async with sandboxed_app(declare(), records=12) as world:
        left, right = await pair(world)

        await world.edit("hubspot", left["id"], phone="+49 30 901820")
        await world.settle(5)

        assert (await pair(world))[1]["phone"] == "+49 30 901820"
        assert right["phone"] != "+49 30 901820"


async def test_an_edit_without_webhooks_travels_by_the_poll():
    async with sandboxed_app(declare(), records=12) as world:
        left, _ = await pair(world)
        await world.faults("hubspot", {"kind": "webhook_lost", "probability": 1.0})

        await world.edit("hubspot", left["id"], phone="+49 30 901821")
        await world.settle(5)
        assert (await pair(world))[1]["phone"] != "+49 30 901821"
        await world.settle(130)

        assert (await pair(world))[1]["phone"] == "+49 30 901821"


async def test_repeated_and_reordered_webhooks_change_nothing():
    async with sandboxed_app(declare(), records=12) as world:
        await world.faults(
            "hubspot",
            {"kind": "webhook_duplicate", "probability": 1.0},
            {"kind": "webhook_reorder", "probability": 0.5},
        )
        left, _ = await pair(world)
        for number in range(5):
            await world.edit("hubspot", left["id"], phone=f"+49 30 {number}")
        await world.settle()

        assert (await pair(world))[1]["phone"] == "+49 30 4"
        await agree(world)


async def test_when_edits_stop_writing_stops():
    async with sandboxed_app(declare(), records=12) as world:
        left, right = await pair(world)
        await world.edit("hubspot", left["id"], phone="+1 1")
        await world.edit("salesforce", right["id"], MailingCity="Lisboa")
        await world.settle(600)

        def writes(told):
            return sum(
                call["count"]
                for call in told["calls"]
                if any(word in call["path"] for word in ("update", "upsert", "create"))
                or call["method"] == "PATCH"
            )

        before = [writes(await world.control(one, "calls")) for one in world.simulators]
        await world.settle(3600)
        after = [writes(await world.control(one, "calls")) for one in world.simulators]
        assert before == after


@pytest.mark.parametrize("policy", ["last-write-wins", "prefer-external", "prefer-internal"])
async def test_two_edits_of_one_field_are_decided_by_time_between_platforms(policy):
    async with sandboxed_app(
        declare(conflict_resolution=policy), records=12, webhooks=False
    ) as world:
        left, right = await pair(world)
        await world.edit("hubspot", left["id"], city="Porto")
        await world.app.ports.clock.sleep(2)
        await world.edit("salesforce", right["id"], MailingCity="Lisboa")
        await world.settle(200)

        left, right = await pair(world)
        assert left["city"] == right["city"] == "Lisboa", "the later of the two"
        async with world.app.session():
            conflicts = await db.query(SyncConflict, field="city")
        assert [one.status for one in conflicts if one.winner == "salesforce"]


@pytest.mark.parametrize(
    ("policy", "winner"), [("prefer-internal", "here"), ("prefer-external", "there")]
)
async def test_between_here_and_there_the_policy_decides(policy, winner):
    async with sandboxed_app(
        declare(conflict_resolution=policy), records=12, webhooks=False
    ) as world:
        left, _ = await pair(world)
        await world.app.ports.clock.sleep(5)
        async with world.app.session():
            contact = await db.find_one(Contact, email=left["email"])
            await db.update(contact, city="Here")
        await world.edit("hubspot", left["id"], city="There")
        await world.settle(400)

        left, right = await pair(world)
        expected = {"here": "Here", "there": "There"}[winner]
        assert left["city"] == right["city"] == expected


@pytest.mark.parametrize(("take", "expected"), [("hubspot", "Porto"), ("value", "Faro")])
async def test_manual_review_waits_for_a_person_and_holds_only_that_field(take, expected):
    async with sandboxed_app(
        declare(conflict_resolution="manual-review"), records=12, webhooks=False
    ) as world:
        waiting = await world.app.sync.list_conflicts("default")
        for conflict in waiting:  # those of the first sync
            if conflict.kind == "field":
                await world.app.sync.resolve_conflict("default", conflict.id, take="internal")
        await world.settle(200)
        left, right = await pair(world)
        await world.edit("hubspot", left["id"], city="Porto", phone="+351 1")
        await world.edit("salesforce", right["id"], MailingCity="Lisboa")
        await world.settle(200)

        left, right = await pair(world)
        assert (left["city"], right["city"]) == ("Porto", "Lisboa"), "nothing is overwritten"
        assert right["phone"] == "+351 1", "the rest of the record goes on"
        (conflict,) = [
            one for one in await world.app.sync.list_conflicts("default") if one.field == "city"
        ]
        value = expected if take == "value" else None
        platform = take if take == "value" else conflict.platform
        expected = expected if take == "value" else conflict.external_data
        await world.app.sync.resolve_conflict("default", conflict.id, take=platform, value=value)
        await world.settle(200)

        left, right = await pair(world)
        assert left["city"] == right["city"] == expected


async def test_a_delete_is_kept_apart_unless_it_shall_travel():
    for deletes, remaining in (("keep", 1), ("propagate", 0)):
        async with sandboxed_app(declare(deletes=deletes), records=12) as world:
            left, right = await pair(world)
            await world.remove("salesforce", right["id"])
            await world.settle(300)

            at_hubspot, at_salesforce = await both(world)
            assert len(at_hubspot.get(left["email"], [])) == remaining, deletes
            assert left["email"] not in at_salesforce, "it is not made again"


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
async def test_a_merge_stays_and_nothing_comes_back(platform):
    async with sandboxed_app(declare(), records=12) as world:
        number = ["hubspot", "salesforce"].index(platform)
        kept, gone = (await pair(world, 0))[number], (await pair(world, 1))[number]
        count = len(await world.records(platform))

        await world.merge(platform, kept["id"], gone["id"])
        await world.settle(600)

        assert len(await world.records(platform)) == count - 1
        other = next(name for name in world.simulators if name != platform)
        before = len(await world.records(other))
        await world.settle(600)
        assert len(await world.records(other)) == before, "nothing is made again"


async def test_a_new_contact_appears_on_the_other_side_once():
    async with sandboxed_app(declare(), records=12) as world:
        await world.edit("hubspot", None, firstname="Ada", lastname="B", email="ada@new.example")
        await world.edit("salesforce", None, LastName="Hopper", Email="Grace@New.Example")
        await world.settle()

        left, right = await both(world)
        assert len(left["ada@new.example"]) == len(right["ada@new.example"]) == 1
        assert len(left["grace@new.example"]) == len(right["grace@new.example"]) == 1
        await agree(world)


async def test_a_record_that_a_platform_refuses_waits_and_goes_on():
    async with sandboxed_app(declare(), records=12) as world:
        made = await world.edit("hubspot", None, firstname="Cher", email="cher@new.example")
        await world.settle(200)
        assert "cher@new.example" not in (await both(world))[1]
        async with world.app.session():
            errors = await db.query(SyncError, platform="salesforce")
        assert any("LastName" in (one.error or "") for one in errors)

        await world.edit("hubspot", made["id"], lastname="Sarkisian")
        await world.settle(200)

        assert "cher@new.example" in (await both(world))[1]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html", "probability": 0.2},
        {"kind": "rate_limit", "probability": 0.2},
        {"kind": "server_error", "probability": 0.2},
        {"kind": "cut_before", "probability": 0.2},
        {"kind": "cut_after", "probability": 0.2},
        {"kind": "truncate", "probability": 0.2},
    ],
    ids=lambda fault: fault["kind"],
)
async def test_a_platform_that_misbehaves_loses_and_doubles_nothing(fault):
    async with sandboxed_app(declare(), records=16) as world:
        for platform in world.simulators:
            await world.faults(platform, fault)
        for number in range(10):
            await world.edit(
                "hubspot", None, firstname="N", lastname=f"H{number}", email=f"h{number}@x.example"
            )
            await world.edit(
                "salesforce", None, LastName=f"S{number}", Email=f"s{number}@x.example"
            )
            await world.app.ports.clock.sleep(7)
        await world.app.ports.clock.sleep(900)
        for platform in world.simulators:
            await world.faults(platform)
        await world.settle(2400)

        left, right = await both(world)
        for number in range(10):
            for key in (f"h{number}@x.example", f"s{number}@x.example"):
                assert len(left[key]) == len(right[key]) == 1, key


async def test_what_the_sync_did_is_there_to_be_read():
    async with sandboxed_app(declare(), records=12) as world:
        async with world.app.session():
            contacts = await db.count(Contact)
            mappings = await db.query(IntegrationMapping)
            activities = await db.count(SyncActivity)
        assert contacts == len((await both(world))[0])
        assert len(mappings) >= 2 * contacts - 2
        assert {one.platform for one in mappings} == {"hubspot", "salesforce"}
        assert activities >= 18


async def test_a_handler_may_change_what_is_synced():
    @on(Contact.created)
    async def tidy(contact: Contact) -> None:
        if contact.last_name == "Shouting":
            await db.update(contact, city="QUIET")

    async with sandboxed_app(declare(), tidy, records=8) as world:
        await world.edit("hubspot", None, firstname="I", lastname="Shouting", email="i@x.example")
        await world.settle()

        left, right = await both(world)
        assert left["i@x.example"][0]["city"] == right["i@x.example"][0]["city"] == "QUIET"


async def test_an_idle_poll_costs_a_call_or_two():
    async with sandboxed_app(declare(), records=30, webhooks=False) as world:
        await world.settle(200)
        calls = await world.calls("salesforce")
        await world.settle(60)

        assert await world.calls("salesforce") - calls <= 2


async def test_no_secret_is_stored_or_logged(tmp_path, capsys):
    async with sandboxed_app(declare(), records=8, database=tmp_path / "app.db") as world:
        await world.faults("hubspot", {"kind": "server_error", "probability": 0.5})
        await world.settle(120)
        secrets = [
            value
            for simulator in world.simulators.values()
            for name, value in (*simulator.credentials.items(), ("s", simulator.webhook_secret))
            if value and name not in ("instance_url", "app_id")
        ]
        told = json.dumps(await world.app.status())

    written = capsys.readouterr()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in secrets:
        assert secret.encode() not in stored
        assert secret not in written.out + written.err + told
