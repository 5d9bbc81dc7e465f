"""References come to agree, whatever arrives first and wherever the process dies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.model.crm import Company, Contact
from dovetail.sync.schema import sync_references
from dovetail.testing.loop import run

STEP = st.tuples(
    st.sampled_from(["hire", "hire", "found", "found", "move", "move here", "hire here", "poll"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 5),
    st.sampled_from(["contact", "company"]),
)


@given(st.lists(STEP, max_size=14), st.integers(0, 2**16), st.lists(st.integers(1, 40), max_size=3))
@settings(max_examples=25, deadline=None)
def test_references_converge_whatever_the_order_and_whatever_crashes(pairs, script, seed, crashes):
    async def scenario() -> None:
        b = await pairs(seed=seed).begin()
        left = list(crashes)
        for number, step in enumerate(script):
            await b.clock.sleep(1)
            if left and (b.trip.at is None or b.trip.count >= b.trip.at):
                b.trip.at = b.trip.count + left.pop()
            try:
                await play(b, number, *step)
            except BaseException as error:
                if type(error).__name__ != "Crash":
                    raise
                b.restart()
        await b.settle()
        await agree(b)
        await b.close()

    run(scenario())


async def play(b, number, what, where, which, entity):
    side = b[where]
    if what == "found":
        side.firms.add(First=f"firm {number}", Email=f"{number}.com")
    elif what == "hire":
        side.people.add(First=f"p{number}", Email=f"{number}@x.com", Company=pick(side, which))
    elif what == "move" and side.people.rows:
        ids = sorted(side.people.rows)
        side.people.edit(ids[which % len(ids)], Company=pick(side, number))
    elif what == "poll":
        await b.poll(entity)
    elif what.endswith("here") and (firms := await b.ours(Company)):
        firm, people = firms[which % len(firms)].id, await b.ours(Contact)
        if what == "hire here":
            mail = f"{number}@x.com"
            await b.make(Contact, first_name=f"p{number}", email=mail, company_id=firm)
        elif people:
            await b.change(Contact, people[number % len(people)].id, company_id=firm)


def pick(side, number):
    ids = [None, *sorted(side.firms.rows)]
    return ids[number % len(ids)]


async def agree(b):
    for person in await b.ours(Contact):
        ends = {
            await b.employer(id=person.id),
            b["a"].employer(First=person.first_name),
            b["b"].employer(First=person.first_name),
        }
        assert len(ends) == 1, (person.first_name, ends)
    assert await b.rows(sync_references) == []
    assert b.failures == []


async def test_a_process_that_dies_anywhere_makes_no_edge_twice_and_loses_none(pairs):
    points = await _run_and_crash(pairs, None)
    assert points > 40
    for at in range(1, points + 1, 4):
        await _run_and_crash(pairs, at)


async def _run_and_crash(pairs, at):
    b = await pairs(seed=at or 0).begin()
    b.trip.at = at
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.settle()
    b["b"].firms.add(First="Zen", Email="zen.com")
    (id,) = b["b"].people.find(First="Ada")
    b["b"].people.edit(id, Company=b["b"].firms.find(First="Zen")[0])
    await b.settle()
    assert b["a"].employer(First="Ada") == "Zen", f"after a crash at {at}"
    assert await b.employer(first_name="Ada") == "Zen"
    assert len(b["a"].people.rows) == len(b["b"].people.rows) == len(await b.ours(Contact)) == 1
    assert ada in b["a"].people.rows
    assert await b.rows(sync_references) == []
    await b.close()
    return b.trip.count
