"""A sync over hours, with tokens that end: renewed on the way, and nobody notices."""

from dovetail import Service
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.testing.sandbox import sandboxed_app

crm = Service.create(
    name="CRM sync",
    type="automation",
    subtype="integration",
    integration={
        "platforms": ["hubspot", "salesforce"],
        "sync_mode": "bidirectional",
        "entities": ["contacts"],
        "conflict_resolution": "last-write-wins",
        "schedule": {"realtime": ["contacts"]},
    },
)
GIVEN = ("client_id", "client_secret", "refresh_token")


async def authorise(world, platform):
    """Connect again as an app that a person allowed, and return what keeps its tokens."""
    simulator = world.simulators[platform]
    record = await world.app.connections.add(
        platform=platform,
        business_id=DEFAULT_TENANT,
        secrets={
            "grant": "authorization_code",
            **{name: simulator.credentials[name] for name in GIVEN},
        },
        base_url=simulator.base_url,
        webhook_secret=simulator.webhook_secret,
    )
    return (await world.app.connections.open(record.id)).keeper


async def cities(world, platform, field):
    return {one["fields"].get(field) for one in await world.records(platform)}


async def test_edits_travel_for_hours_while_tokens_end_and_are_renewed():
    async with sandboxed_app(crm, records=8) as world:
        keepers = {name: await authorise(world, name) for name in ("hubspot", "salesforce")}
        await world.app.refresh()
        tokens = {keepers["hubspot"].credentials["access_token"]}

        for hour in range(4):
            person = (await world.records("hubspot"))[0]
            await world.edit("hubspot", person["id"], city=f"City {hour}")
            await world.settle(900)
            assert f"City {hour}" in await cities(world, "salesforce", "MailingCity")
            await world.settle(2700)
            tokens.add(keepers["hubspot"].credentials["access_token"])

        assert len(tokens) == 5, "HubSpot's tokens end after half an hour"
        assert keepers["salesforce"].credentials["instance_url"]
        dead = await world.app.status()
        assert not dead["deliveries"].get("dead")
