"""The programs of ``examples/crm_handlers.py`` run against the sandboxes and do what they say."""

from datetime import timedelta
from pathlib import Path

import pytest

from dovetail import db
from dovetail.app.load import load_program
from dovetail.entities import (
    Contact,
    Integration,
    IntegrationMapping,
    SyncActivity,
    SyncConflict,
    SyncError,
)
from dovetail.runtime.dead_letter import list_dead
from dovetail.testing.sandbox import sandboxed_app

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "crm_handlers.py"
BATCH = 15 * 60 + 1


def handlers(records=8):
    return sandboxed_app(load_program(EXAMPLE), records=records, webhooks=False)


async def emails(world, platform):
    name = {"hubspot": "email", "salesforce": "Email"}[platform]
    found = await world.records(platform)
    return sorted((one["fields"].get(name) or "").lower() for one in found)


async def linked(world):
    """Return a contact of ours and its id at each platform."""
    async with world.app.session():
        for contact in await db.query(Contact, order_by="email"):
            found = await db.query(IntegrationMapping, internal_id=contact.id)
            ids = {one.platform: one.external_id for one in found}
            if contact.email and len(ids) == 2:
                return contact, ids
    raise AssertionError("no contact is on both sides")


async def field(world, platform, id, name):
    return next(one["fields"].get(name) for one in await world.records(platform) if one["id"] == id)


async def set_policy(world, policy):
    async with world.app.session():
        integration = await db.find_one(Integration, type="crm")
        await db.update(integration, conflict_resolution=policy)


async def test_the_batch_brings_everybody_to_both_sides_and_then_rests():
    async with handlers() as world:
        await world.settle(BATCH)

        left, right = await emails(world, "hubspot"), await emails(world, "salesforce")
        assert set(left) == set(right)
        assert len(left) == len(set(left))
        async with world.app.session():
            assert await db.count(SyncError) == 0
            assert await db.count(SyncActivity) == await db.count(Contact) == len(left)
            mappings = await db.query(IntegrationMapping)
            integration = await db.find_one(Integration, type="crm")
        assert {one.direction for one in mappings} == {"inbound", "outbound"}
        assert integration.last_sync is not None
        assert await world.app.store.read(list_dead) == []
        # Its own writes come back with the next reading; nothing is written again.
        before = [await emails(world, one) for one in world.simulators]
        writes = await writes_of(world)
        await world.settle(2 * BATCH)
        assert [await emails(world, one) for one in world.simulators] == before
        assert await writes_of(world) == writes


async def writes_of(world):
    told = [await world.control(one, "calls") for one in world.simulators]
    return sum(
        call["count"]
        for one in told
        for call in one["calls"]
        if "update" in call["path"] or "upsert" in call["path"] or call["method"] == "PATCH"
    )


async def test_an_edit_on_a_platform_reaches_the_other_with_the_next_batch():
    async with handlers() as world:
        await world.settle(BATCH)
        _, ids = await linked(world)

        await world.edit("salesforce", ids["salesforce"], Phone="+49 30 5550100")
        await world.settle(BATCH)

        assert await field(world, "hubspot", ids["hubspot"], "phone") == "+49 30 5550100"


async def test_an_edit_here_reaches_both():
    async with handlers() as world:
        await world.settle(BATCH)
        contact, ids = await linked(world)

        async with world.app.session():
            await db.update(Contact, contact.id, phone="+49 30 5550101")
        await world.settle(60)

        assert await field(world, "hubspot", ids["hubspot"], "phone") == "+49 30 5550101"
        assert await field(world, "salesforce", ids["salesforce"], "Phone") == "+49 30 5550101"


async def conflict(world, *, ours_last):
    """Edit one contact here and at HubSpot, to different values, the other way round in time."""
    contact, ids = await linked(world)

    async def there():
        await world.edit("hubspot", ids["hubspot"], phone="there")

    if ours_last:
        await there()
        await world.app.ports.clock.sleep(5)
    else:
        # The handler reads HubSpot a moment after our edit; the person was a moment later still.
        world.simulators["hubspot"].clock = Ahead(world.simulators["hubspot"].clock, 30)
        await there()
    async with world.app.session():
        await db.update(Contact, contact.id, phone="here")
    await world.settle(60)
    async with world.app.session():
        mine = (await db.get(Contact, contact.id)).phone
    return mine, await field(world, "hubspot", ids["hubspot"], "phone")


class Ahead:
    """A clock that is some seconds ahead of another."""

    def __init__(self, clock, seconds):
        self._clock = clock
        self._seconds = seconds

    def now(self):
        return self._clock.now() + timedelta(seconds=self._seconds)

    def __getattr__(self, name):
        return getattr(self._clock, name)


@pytest.mark.parametrize(
    ("policy", "ours_last", "expected"),
    [
        ("last-write-wins", True, ("here", "here")),
        ("last-write-wins", False, ("there", "there")),
        ("prefer-external", True, ("there", "there")),
        ("prefer-internal", False, ("here", "here")),
        ("manual-review", True, ("here", "there")),
    ],
)
async def test_each_policy_decides_as_its_comment_says(policy, ours_last, expected):
    async with handlers() as world:
        await world.settle(BATCH)
        await set_policy(world, policy)
        await world.app.ports.clock.sleep(60)

        assert await conflict(world, ours_last=ours_last) == expected

        async with world.app.session():
            flagged = await db.query(SyncConflict, status="pending-review")
        assert len(flagged) == (1 if policy == "manual-review" else 0)
