"""A process that dies between any two stages of parents and children starts nothing twice."""

import asyncio

import pytest
from child_program import Parcel, label, statuses

from dovetail import Event, db, on, send, step
from dovetail.testing.app import running_app


def crashing(crashes, log):
    """A parent with two children, one with a child of its own; each stage may be the last."""

    def stage(name):
        log.append(name)
        if name in crashes:
            crashes.discard(name)
            raise asyncio.CancelledError  # as a process that is shut down in the middle of it

    async def charge_card(order: str) -> str:
        log.append("effect")
        return f"ch_{order}"

    @on("check.wanted")
    async def check(event: Event) -> bool:
        stage("check begins")
        return True

    @on("charge.wanted")
    async def charge(event: Event) -> str:
        stage("charge begins")
        assert await step.run(check) is True
        stage("charge was checked")
        receipt = await step("card", charge_card, "o1")
        stage("charge is done")
        return receipt

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        stage("parent begins")
        receipt = await step.run(charge)
        stage("parent has a receipt")
        await step.gather(step.run(label, order="a", key=1), step.run(label, order="b", key=2))
        stage("parent is done")
        await db.create(Parcel, order=receipt)

    return fulfil, charge, check, label


STAGES = [
    "parent begins",
    "charge begins",
    "check begins",
    "charge was checked",
    "charge is done",
    "parent has a receipt",
    "parent is done",
]


async def through_restarts(path, crashes, restart_every_s):
    log, handlers = [], None
    crashes = set(crashes)
    handlers = crashing(crashes, log)
    for restart in range(40):
        async with running_app(*handlers, database=path, seed=restart) as app:
            if restart == 0:
                async with app.session():
                    await send("order.placed", {"order": "o1"})
            await app.ports.clock.sleep(restart_every_s)
            async with app.session():
                made = [one.order for one in await db.query(Parcel)]
            found = await statuses(app)
        if made and {one for _, one in found.values()} == {"done"}:
            return log, made, found
    raise AssertionError((log, made, found))


@pytest.mark.parametrize("crash", STAGES)
async def test_a_crash_at_any_stage_starts_no_child_twice(tmp_path, crash):
    log, made, found = await through_restarts(tmp_path / "app.db", [crash], 5)
    assert made == ["ch_o1"]
    assert log.count("effect") == 1
    assert sorted(name for name, _ in found.values()) == [
        "charge", "check", "fulfil", "label", "label",
    ]  # fmt: skip


async def test_a_restart_after_every_stage_loses_nothing(tmp_path):
    log, made, found = await through_restarts(tmp_path / "app.db", STAGES, 0)
    assert made == ["ch_o1"]
    assert log.count("effect") == 1
    assert len(found) == 5
