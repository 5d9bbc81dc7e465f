"""How many calls a push needs: as few as its platform's batches allow."""

from __future__ import annotations

from types import SimpleNamespace

from dovetail.errors import TransientError


async def test_writes_go_out_in_batches(bench):
    b = await bench().start(("a", {}), ("b", {"write_batch": 20}))
    for number in range(50):
        b["a"].add(First="A", Email=f"{number}@x.com")
    await b.settle()

    assert len(b["b"].rows) == 50
    assert b["b"].calls.count("write") == 3
    await b.close()


async def test_records_to_change_and_records_to_make_do_not_halve_each_others_calls(bench):
    b = await bench().start(("a", {}), ("b", {"write_batch": 20}))
    held = [b["a"].add(First="A", Email=f"{number}@x.com") for number in range(20)]
    await b.settle()
    write, sent = b["b"].write, []

    async def noted(resource, writes, fields):
        sent.append({one.action for one in writes})
        return await write(resource, writes, fields)

    b["b"].write = noted
    for number, id in enumerate(held):
        b["a"].edit(id, Phone=str(number))
        b["a"].add(First="A", Email=f"new{number}@x.com")
    await b.settle()

    assert len(b["b"].rows) == 40
    assert len(b["b"].find(Phone=None)) == 20
    assert sent == [{"update"}, {"create"}]
    await b.close()


async def test_a_platform_that_is_busy_in_the_middle_gets_the_rest_later(bench):
    b = await bench().start(("a", {}), ("b", {"write_batch": 20}))
    for number in range(50):
        b["a"].add(First="A", Email=f"{number}@x.com")
    answers = iter(["taken", "busy"])

    def judge():
        if next(answers, "taken") == "busy":
            raise TransientError("busy", platform="b")

    b["b"].before_write = judge
    await b.settle()

    assert len(b["b"].rows) == 50
    assert b["b"].calls.count("write") == 4, "the first call's records are not sent again"
    assert "look_up" not in b["b"].calls
    assert b.failures == []
    await b.close()


async def test_a_platform_that_cannot_be_read_in_the_middle_keeps_what_was_done(bench):
    b = await bench().start(("a", {}), ("b", {"write_batch": 20}))
    for number in range(40):
        b["a"].add(First="A", Email=f"{number}@x.com")
    await b.settle()
    ids = [one.id for one in await b.contacts()]
    for id in ids:
        await b.update(id, phone="1")
    read, refusals = b["b"].read_many, iter([False, True])

    async def read_or_refuse(*arguments):
        if next(refusals, False):
            raise TransientError("busy", platform="b")
        return await read(*arguments)

    b["b"].read_many = read_or_refuse
    facts = {"connection_id": "b", "entity": "contact"}
    events = [SimpleNamespace(payload={**facts, "internal_id": id}) for id in ids]
    outcomes = await b.engine._push.handle(events)

    assert outcomes.count(None) == len(b["b"].find(Phone="1")) == 20
    assert sum(isinstance(one, TransientError) for one in outcomes) == 20
    await b.close()


async def test_a_busy_platform_is_tried_again_without_looking_up(bench):
    b = await bench().start(("a", {}), ("b", {}))
    b["b"].refused_calls = 1
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()

    assert len(b["b"].rows) == 1
    assert "look_up" not in b["b"].calls
    await b.close()
