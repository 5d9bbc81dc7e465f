"""A create whose answer was lost, where only looking tells, and what was made shows late."""

from collections import Counter
from contextlib import asynccontextmanager

from dovetail import Event, on, platform, send
from dovetail.runtime.dead_letter import list_dead
from dovetail.simulators.hubspot.access import ALL_SCOPES
from dovetail.testing.sandbox import sandboxed_app

CREATE = "/crm/v3/objects/deals/batch/create"
LATE = {"kind": "consistency_lag", "seconds": 30}


@on("deal.won")
async def win(event: Event) -> None:
    deal = {"dealname": event.payload["name"], "dealstage": "closedwon", "pipeline": "default"}
    await platform("hubspot").deals.create(deal)


@asynccontextmanager
async def world_without_key(**options):
    """HubSpot with credentials that may not add our unique property."""
    scopes = [one for one in ALL_SCOPES if "schemas" not in one]
    async with sandboxed_app(
        win,
        platforms=("hubspot",),
        records=3,
        webhooks=False,
        settings={"hubspot": {"scopes": scopes}},
        **options,
    ) as world:
        yield world


async def ask(world, count):
    async with world.app.session():
        for number in range(count):
            await send("deal.won", {"name": f"deal {number}"}, key=str(number))


async def made(world):
    """Return name -> how many deals there are; and how many calls made them."""
    deals = Counter(one["fields"]["dealname"] for one in await world.records("hubspot", "deals"))
    last = (await world.control("hubspot", "calls?detail=true"))["last"]
    return deals, sum(one["path"] == CREATE for one in last)


async def test_it_is_not_repeated_while_it_may_still_become_visible():
    async with world_without_key() as world:
        await world.faults("hubspot", LATE, {"kind": "cut_after", "count": 1, "path": CREATE})

        await ask(world, 20)
        await world.settle(300)

        deals, calls = await made(world)
        assert {name: deals[name] for name in deals if name.startswith("deal ")} == {
            f"deal {number}": 1 for number in range(20)
        }
        assert calls == 1
        assert await world.app.store.read(list_dead) == []


async def test_it_is_repeated_once_it_would_have_become_visible():
    async with world_without_key() as world:
        await world.faults("hubspot", LATE, {"kind": "cut_before", "count": 1, "path": CREATE})

        await ask(world, 20)
        await world.settle(300)

        deals, calls = await made(world)
        assert all(deals[f"deal {number}"] == 1 for number in range(20))
        assert 1 < calls < 20


async def test_nor_does_the_next_process_whose_first_try_fails_otherwise(deafen, tmp_path):
    search, began = "/crm/v3/objects/deals/search", []
    async with world_without_key(database=tmp_path / "app.db") as world:
        simulator = world.simulators["hubspot"]

        def is_meant(scope):
            """Cut the first call that creates off; the second is applied, and never answered."""
            if scope["path"] == CREATE:
                began.append(world.app.ports.clock.now())
                if len(began) == 1:
                    raise ConnectionResetError
            return scope["path"] == CREATE

        await world.faults("hubspot", LATE)
        sent = deafen(world, "hubspot", is_meant)
        await ask(world, 1)
        await sent.wait()
        world.transport.add(simulator.base_url, simulator.app)
        await world.faults("hubspot", LATE, {"kind": "server_error", "count": 1, "path": search})
        await world.restart()
        await world.settle(300)

        deals, calls = await made(world)
        assert deals["deal 0"] == 1
        assert calls == 1


async def test_nor_does_the_next_process_repeat_it_too_early(deafen, tmp_path):
    async with world_without_key(database=tmp_path / "app.db") as world:
        simulator = world.simulators["hubspot"]
        await world.faults("hubspot", LATE)
        sent = deafen(world, "hubspot", lambda scope: scope["path"] == CREATE)
        await ask(world, 20)
        await sent.wait()
        world.transport.add(simulator.base_url, simulator.app)
        await world.restart()
        await world.settle(300)

        deals, calls = await made(world)
        assert all(deals[f"deal {number}"] == 1 for number in range(20))
        assert calls == 1
