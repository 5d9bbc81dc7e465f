"""References between records: their ids at the edge, ours inside, whatever order they arrive in."""

from __future__ import annotations

from dovetail.model.crm import Company, Contact
from dovetail.sync.schema import sync_links, sync_references

TENANT = "acme"


async def test_a_reference_travels_as_each_sides_own_id(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    b["b"].firms.add(First="Other", Email="other.com")  # so that the ids are not the same by chance
    b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.settle()

    assert await b.employer(first_name="Ada") == "Acme"
    assert b["b"].employer(First="Ada") == "Acme"
    assert await b.rows(sync_references) == []
    await b.close()


async def test_a_record_goes_ahead_of_its_target_and_the_edge_follows_once(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.poll("contact")

    assert b["b"].employer(First="Ada") is None
    assert await b.employer(first_name="Ada") is None
    assert [row.side for row in await b.rows(sync_references)] == ["theirs"]
    waiting = {(one.platform, one.entity): one for one in (await b.engine.status()).spokes}
    assert waiting["a", "contact"].waiting_references == 1
    assert waiting["b", "contact"].waiting_references == 0
    read = list(b["a"].people.calls)
    await b.poll("company")

    assert await b.employer(first_name="Ada") == "Acme"
    assert b["b"].employer(First="Ada") == "Acme"
    assert b["a"].people.calls == read, "nobody asked the platform again"
    assert b["b"].people.calls.count("write") == 2
    assert await b.rows(sync_references) == []
    assert all(link.awaited is None for link in await b.rows(sync_links))
    await b.close()


async def test_an_edge_of_ours_is_written_when_its_target_is_made_there(pairs):
    b = await pairs().begin()
    for entity in ("contact", "company"):
        await b.poll(entity)
    b["b"].firms.refused_calls = 3
    firm = await b.make(Company, name="Acme", domain="acme.com")
    await b.make(Contact, first_name="Ada", email="ada@acme.com", company_id=firm)
    await b.settle()

    assert b["a"].employer(First="Ada") == b["b"].employer(First="Ada") == "Acme"
    assert await b.rows(sync_references) == []
    await b.close()


async def test_a_rest_after_references_writes_and_reads_nothing(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    b["a"].people.add(First="Bob", Email="bob@acme.com", Company="a-firm-9999")  # never linked
    await b.settle()
    before = {name: dict(one.modified) for name, one in b.platforms.items()}
    calls = len(b["a"].people.calls) + len(b["b"].people.calls)
    for _ in range(5):
        await b.poll("contact")

    assert {name: dict(one.modified) for name, one in b.platforms.items()} == before
    assert len(b["a"].people.calls) + len(b["b"].people.calls) == calls + 10, "the polls alone"
    assert b["b"].employer(First="Bob") is None
    await b.close()


async def test_what_is_shown_there_is_not_overwritten_while_its_target_is_unknown(pairs):
    b = await pairs().begin(policy="prefer-external")
    old = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=old)
    await b.settle()
    new = b["a"].firms.add(First="Zen", Email="zen.com")
    mine = await b.make(Company, name="Mine", domain="mine.com")
    b["a"].people.edit(ada, Company=new)
    await b.poll("contact")
    await b.change(Contact, (await b.one(Contact)).id, company_id=mine)
    await b.deliver()
    assert b["a"].employer(First="Ada") == "Zen"
    await b.settle()

    assert b["a"].employer(First="Ada") == b["b"].employer(First="Ada") == "Zen"
    (conflict,) = await b.all_conflicts()
    assert conflict.field == "company_id"
    assert {conflict.local_data, conflict.external_data} == {
        (await b.one(Company, name=name)).id for name in ("Mine", "Zen")
    }
    await b.close()


async def test_a_conflict_of_references_waits_for_a_person_where_that_is_the_policy(pairs):
    b = await pairs().begin(policies={"company_id": "manual-review"})
    firms = [b["a"].firms.add(First=name, Email=f"{name}.com") for name in ("acme", "zen")]
    mine = await b.make(Company, name="mine", domain="mine.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firms[0])
    await b.settle()
    b["a"].people.edit(ada, Company=firms[1])
    await b.change(Contact, (await b.one(Contact)).id, company_id=mine)
    await b.settle()

    (conflict,) = await b.all_conflicts()
    assert (conflict.field, conflict.status) == ("company_id", "pending-review")
    await b.engine.resolve_conflict(TENANT, conflict.id, take=conflict.platform)
    await b.settle()
    ends = {b["a"].employer(First="Ada"), b["b"].employer(First="Ada")}
    assert ends == {await b.employer(first_name="Ada")}
    await b.close()


async def test_a_target_that_is_deleted_there_takes_no_edge_of_ours_along(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.settle()
    b["a"].firms.remove(firm)
    await b.poll("company")
    b["a"].people.edit(ada, Company=None, First="Ada L")
    await b.settle()

    assert await b.employer(first_name="Ada L") == "Acme"
    assert b["b"].employer(First="Ada L") == "Acme"
    assert b["a"].people.rows[ada]["Company"] is None
    await b.close()


async def test_an_edge_that_goes_before_its_target_is_known_to_be_gone_ends_nothing(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.settle()
    b["a"].firms.remove(firm)
    b["a"].people.edit(ada, Company=None, First="Ada L")
    await b.poll("contact")
    await b.settle()

    assert await b.employer(first_name="Ada L") == "Acme"
    assert b["b"].employer(First="Ada L") == "Acme"
    assert all(link.awaited is None for link in await b.rows(sync_links))
    await b.close()


async def test_an_edge_that_ends_while_its_target_lives_ends_everywhere(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.settle()
    b["a"].people.edit(ada, Company=None)
    await b.settle()

    assert (await b.one(Contact)).company_id is None
    assert b["b"].employer(First="Ada") is None
    assert await b.rows(sync_references) == []
    await b.close()


async def test_a_deleted_target_ends_the_edge_everywhere_where_deletes_propagate(pairs):
    b = await pairs().begin(deletes="propagate")
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firm)
    await b.settle()
    b["a"].firms.remove(firm)
    await b.poll("company")
    b["a"].people.edit(ada, Company=None)
    await b.settle()

    assert (await b.one(Contact)).company_id is None
    assert b["b"].employer(First="Ada") is None
    assert b["b"].firms.rows == {}
    await b.close()


async def test_an_edge_to_a_merged_record_points_to_what_it_became(pairs):
    b = await pairs().begin()
    kept = b["a"].firms.add(First="Acme", Email="acme.com")
    gone = b["a"].firms.add(First="Acme Inc", Email="inc.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=gone)
    b["a"].firms.remove(gone, merged_into=kept)
    await b.poll("contact")
    b["a"].people.rows[ada]["Company"] = kept  # the platform moves it, and tells nobody
    await b.settle()

    assert await b.employer(first_name="Ada") == "Acme"
    assert b["b"].employer(First="Ada") == "Acme"
    assert await b.rows(sync_references) == []
    await b.close()


async def test_of_several_edges_the_one_that_is_held_counts(pairs):
    b = await pairs().begin()
    firms = [b["a"].firms.add(First=name, Email=f"{name}.com") for name in ("acme", "zen", "tic")]
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com", Company=firms[:2])
    await b.settle()
    assert b["b"].employer(First="Ada") == "acme"
    b["a"].people.edit(ada, Company=[firms[2], firms[1], firms[0]])
    await b.settle()
    assert b["b"].employer(First="Ada") == "acme"
    assert b["a"].employer(First="Ada") == ["tic", "zen", "acme"]

    b["a"].people.edit(ada, Company=[firms[2], firms[1]])
    await b.settle()
    assert b["b"].employer(First="Ada") == await b.employer(first_name="Ada") == "tic"
    await b.close()


async def test_an_edge_that_is_refused_holds_no_other_value_up(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    ada = b["a"].people.add(First="Ada", Email="ada@acme.com")
    await b.settle()
    (b["b"].refused,) = b["b"].firms.find(First="Acme")
    b["a"].people.edit(ada, Company=firm, First="Ada L")
    await b.settle()

    assert len(b["b"].people.find(First="Ada L")) == 1
    assert await b.employer(first_name="Ada L") == "Acme"
    assert b.failures == []
    await b.close()


async def test_a_create_with_a_reference_is_recognised_before_its_answer(pairs):
    b = await pairs().begin()
    firm = b["a"].firms.add(First="Acme", Email="acme.com")
    await b.settle()
    write, found = b["b"].people.write, []

    async def seen_before_it_answers(*arguments):
        results = await write(*arguments)
        await b.engine._poll.read(b.engine.plans.spoke("b", "contact"))
        links = await b.rows(sync_links)
        found.extend(one for one in links if (one.connection_id, one.entity) == ("b", "contact"))
        return results

    b["b"].people.write = seen_before_it_answers
    b["a"].people.add(First="Ada", Last="L", Company=firm)
    await b.settle()

    assert [one.state for one in found[:1]] == ["active"]
    assert b["b"].employer(First="Ada") == "Acme"
    await b.close()
