"""Platform calls of runs that go on at the same time: few API calls, and each run as if alone."""

import asyncio
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from opentelemetry import trace

from dovetail import Event, on, platform, send
from dovetail.entities import Contact
from dovetail.errors import RecordInvalidError, RecordNotFoundError
from dovetail.runtime.dead_letter import list_dead
from dovetail.testing.sandbox import sandboxed_app

UPDATE = "/crm/v3/objects/{type}/batch/update"


@on("title.given")
async def give_title(event: Event) -> None:
    asked = event.payload
    await platform("hubspot").contacts.update(asked["id"], {"jobtitle": asked["title"]})


@on("phone.given")
async def give_phone(event: Event) -> None:
    asked = event.payload
    await platform("hubspot").contacts.update(asked["id"], {"phone": asked["phone"]})


@on("person.met")
async def meet(event: Event) -> None:
    person = Contact(last_name=event.payload["name"], email=f"{event.payload['name']}@new.example")
    await platform(event.payload["at"]).contacts.create(person)


def world_of(*handlers, records=20, platforms=("hubspot",), **options):
    return sandboxed_app(*handlers, platforms=platforms, records=records, webhooks=False, **options)


async def ask(world, event_type, payloads, tenant="default"):
    async with world.app.session(tenant):
        for payload in payloads:
            await send(event_type, payload, key=str(sorted(payload.items())))


async def done(world):
    await world.app.runtime.wait_idle()


async def ids_of(world, count):
    return [one["id"] for one in (await world.records("hubspot"))[:count]]


async def called(world, name="hubspot"):
    """Return path template -> how many calls it had."""
    found = Counter()
    for one in (await world.control(name, "calls"))["calls"]:
        found[one["path"]] += one["count"]
    return found


async def last_calls(world, name):
    """Return the calls there were, oldest first; status 0 had no answer."""
    return (await world.control(name, "calls?detail=true"))["last"]


async def field(world, name):
    return {one["id"]: one["fields"].get(name) for one in await world.records("hubspot")}


async def test_three_hundred_runs_that_each_update_a_contact_are_a_few_calls():
    async with world_of(give_title, records=300) as world:
        ids = await ids_of(world, 300)
        await world.faults("hubspot", {"kind": "latency", "seconds": 0.05})

        await ask(world, "title.given", [{"id": id, "title": f"t{id}"} for id in ids])
        await done(world)

        calls = await called(world)
        assert calls[UPDATE] <= 1.1 * 300 / 100 + 3
        assert sum(calls.values()) < 20
        assert await field(world, "jobtitle") == {id: f"t{id}" for id in ids}


async def test_finding_reading_and_creating_are_gathered_too():
    seen = []

    @on("person.met")
    async def upsert(event: Event) -> None:
        contacts = platform("hubspot").contacts
        name = event.payload["name"]
        made = await contacts.upsert(Contact(last_name=name, email=f"{name}@new.example"))
        seen.append((await contacts.get(made.id)).values["email"])
        await contacts.delete(made.id)

    async with world_of(upsert, records=1) as world:
        await ask(world, "person.met", [{"name": f"p{n}"} for n in range(100)])
        await done(world)

        calls = await called(world)
        assert sorted(seen) == sorted(f"p{n}@new.example" for n in range(100))
        assert len(await world.records("hubspot")) == 1
        assert sum(calls.values()) < 40, calls


@pytest.mark.parametrize("name", ["hubspot", "salesforce"])
async def test_fifty_runs_that_each_look_for_an_owner_list_them_a_few_times(name):
    seen = []

    @on("owner.sought")
    async def seek(event: Event) -> None:
        owner = await platform(name).owners.find(email=event.payload["email"])
        seen.append(owner.values["email"])

    async with world_of(seek, records=1, platforms=(name,)) as world:
        connection = (await world.app.connections.list("default"))[0].id
        owners = await (await world.app.connections.connector(connection)).read_owners()
        email = next(one.email for one in owners if one.active and one.email)
        before = await called(world, name)
        await world.faults(name, {"kind": "latency", "seconds": 0.05})

        await ask(world, "owner.sought", [{"email": email, "run": n} for n in range(50)])
        await done(world)

        assert seen == [email] * 50
        calls = await called(world, name) - before
        assert 1 <= sum(calls.values()) < 10, calls


async def test_a_row_that_is_refused_fails_its_own_run_with_its_own_error():
    refused = {}

    @on("title.given")
    async def try_title(event: Event) -> None:
        asked = event.payload
        try:
            await platform("hubspot").contacts.update(asked["id"], {asked["name"]: "x"})
        except (RecordInvalidError, RecordNotFoundError) as error:
            refused[asked["id"]] = error

    async with world_of(try_title, records=50) as world:
        ids = await ids_of(world, 50)
        wanted = [{"id": id, "name": "jobtitle"} for id in ids]
        wanted[7]["name"] = "no_such_property"
        wanted[9]["id"] = "999999"

        await ask(world, "title.given", wanted)
        await done(world)

        titles = await field(world, "jobtitle")
        assert {id for id, title in titles.items() if title != "x"} == {ids[7], ids[9]}
        assert set(refused) == {ids[7], "999999"}
        assert isinstance(refused["999999"], RecordNotFoundError)
        assert isinstance(refused[ids[7]], RecordInvalidError)
        assert "no_such_property" in str(refused[ids[7]])
        assert (await called(world))[UPDATE] <= 4


async def test_what_one_run_asks_for_side_by_side_is_told_apart():
    outcomes = []

    @on("title.given")
    async def promote(event: Event) -> None:
        contacts = platform("hubspot").contacts
        asked = (contacts.update(id, {"jobtitle": "chief"}) for id in event.payload["ids"])
        outcomes.extend(await asyncio.gather(*asked, return_exceptions=True))

    async with world_of(promote) as world:
        ids = await ids_of(world, 10)

        await ask(world, "title.given", [{"ids": [*ids, "999999"]}])
        await done(world)

        assert [one.id for one in outcomes[:-1]] == ids
        assert isinstance(outcomes[-1], RecordNotFoundError)
        assert list((await field(world, "jobtitle")).values()).count("chief") == 10
        assert (await called(world))[UPDATE] == 1


async def test_two_runs_that_change_one_record_both_do():
    async with world_of(give_title, give_phone) as world:
        ids = await ids_of(world, 20)

        await ask(world, "title.given", [{"id": id, "title": "chief"} for id in ids])
        await ask(world, "phone.given", [{"id": id, "phone": f"+49 30 {id}"} for id in ids])
        await done(world)

        assert set((await field(world, "jobtitle")).values()) == {"chief"}
        assert await field(world, "phone") == {id: f"+49 30 {id}" for id in ids}
        assert await world.app.store.read(list_dead) == []
        assert (await called(world))[UPDATE] <= 6


@pytest.mark.parametrize(
    ("name", "path", "email"),
    [
        ("hubspot", "/crm/v3/objects/contacts/batch/upsert", "email"),
        ("salesforce", "/services/data/v60.0/composite/sobjects", "Email"),
    ],
)
async def test_creates_whose_answer_is_lost_are_made_once(name, path, email):
    async with world_of(meet, records=1, platforms=(name,)) as world:
        await world.faults(name, {"kind": "cut_after", "count": 1, "path": path, "method": "POST"})

        await ask(world, "person.met", [{"name": f"p{n}", "at": name} for n in range(60)])
        await world.settle(600)

        found = Counter(one["fields"].get(email) for one in await world.records(name))
        assert all(found[f"p{n}@new.example"] == 1 for n in range(60))
        assert await world.app.store.read(list_dead) == []
        made = [one for one in await last_calls(world, name) if one["path"] == path]
        assert (made[0]["status"], len(made) <= 2) == (0, True)


async def test_calls_that_meet_the_limit_are_made_when_it_opens():
    async with world_of(give_title) as world:
        ids = await ids_of(world, 20)
        await world.faults("hubspot", {"kind": "rate_limit", "count": 2, "path": "*/update"})

        await ask(world, "title.given", [{"id": id, "title": "chief"} for id in ids])
        await world.settle(120)

        assert set((await field(world, "jobtitle")).values()) == {"chief"}
        assert (await called(world))[UPDATE] < 15


@pytest.mark.parametrize("death", ["stopped", "killed"])
async def test_a_death_between_sending_and_recording_makes_nothing_twice(deafen, tmp_path, death):
    async with world_of(
        meet, records=1, platforms=("salesforce",), database=tmp_path / "app.db"
    ) as world:
        simulator = world.simulators["salesforce"]
        sent = deafen(world, "salesforce", lambda scope: scope["method"] == "POST")
        await ask(world, "person.met", [{"name": f"p{n}", "at": "salesforce"} for n in range(40)])
        await sent.wait()
        assert len(await world.records("salesforce")) == 41
        if death == "killed":
            # What a process that is gone has left: its files as they are at this moment.
            for left in list(tmp_path.iterdir()):
                shutil.copy(left, tmp_path / left.name.replace("app", "left"))
        world.transport.add(simulator.base_url, simulator.app)
        if death == "killed":
            await world.app.stop()
            world.app.settings = replace(world.app.settings, database=tmp_path / "left.db")
        await world.restart()
        await world.settle(60)

        assert len(await world.records("salesforce")) == 41
        assert await world.app.store.read(list_dead) == []
        calls = (await world.control("salesforce", "calls"))["calls"]
        assert sum(one["count"] for one in calls if one["method"] == "POST") == 1


async def test_a_handler_that_gives_up_does_not_take_the_others_along():
    late = []

    @on("title.given")
    async def hurry(event: Event) -> None:
        asked = event.payload
        try:
            async with asyncio.timeout(asked["patience"]):
                await platform("hubspot").contacts.update(asked["id"], {"jobtitle": "chief"})
        except TimeoutError:
            late.append(asked["id"])

    async with world_of(hurry) as world:
        ids = await ids_of(world, 20)
        await world.faults("hubspot", {"kind": "latency", "seconds": 2, "path": "*/update"})

        patience = {id: 1 if id == ids[4] else 60 for id in ids}
        await ask(world, "title.given", [{"id": i, "patience": s} for i, s in patience.items()])
        await done(world)

        assert late == [ids[4]]
        assert set((await field(world, "jobtitle")).values()) == {"chief"}
        assert (await called(world))[UPDATE] <= 2


async def test_two_tenants_never_share_a_call():
    async with world_of(give_title) as acme:
        other = await acme.add_tenant("other", records=20)
        mine, theirs = await ids_of(acme, 10), await ids_of(other, 10)

        await ask(acme, "title.given", [{"id": id, "title": "ours"} for id in mine])
        await ask(acme, "title.given", [{"id": id, "title": "theirs"} for id in theirs], "other")
        await done(acme)

        for world, ids, title in ((acme, mine, "ours"), (other, theirs, "theirs")):
            found = {id for id, given in (await field(world, "jobtitle")).items() if given == title}
            assert found == set(ids)
            assert 1 <= (await called(world))[UPDATE] <= 2


async def test_a_gathered_call_has_a_trace_of_its_own_linked_with_every_run(spans):
    tracer = trace.get_tracer_provider().get_tracer("test")
    with tracer.start_as_current_span("start of the app"):
        async with world_of(give_title) as world:
            ids = await ids_of(world, 10)
            await ask(world, "title.given", [{"id": id, "title": "chief"} for id in ids])
            await done(world)

    (call,) = [one for one in spans() if one.name == "update contacts"]
    steps = [one for one in spans() if one.name == "step hubspot.contacts.update"]
    inside = [one for one in spans() if one.parent and one.parent.span_id == call.context.span_id]
    assert call.parent is None
    assert call.attributes["dovetail.rows"] == len(steps) == 10
    assert call.attributes["dovetail.tenant"] == "default"
    assert {link.context.span_id for link in call.links} == {one.context.span_id for one in steps}
    assert all([link.context for link in one.links] == [call.context] for one in steps)
    assert {one.name for one in inside} == {"POST hubspot"}


async def test_a_lone_call_stays_in_the_trace_of_its_run(spans):
    async with world_of(give_title) as world:
        (id,) = await ids_of(world, 1)
        await ask(world, "title.given", [{"id": id, "title": "chief"}])
        await done(world)

    (step,) = [one for one in spans() if one.name == "step hubspot.contacts.update"]
    inside = [one for one in spans() if one.parent and one.parent.span_id == step.context.span_id]
    assert "POST hubspot" in {one.name for one in inside}
    assert "update contacts" not in {one.name for one in spans()}
