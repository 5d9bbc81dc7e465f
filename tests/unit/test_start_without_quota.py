"""Accounts that are out of quota for an hour do not keep the program from starting."""

import asyncio

import sqlalchemy as sa

from dovetail import Service
from dovetail.core import json
from dovetail.runtime.store.schema import budgets
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


def pause_all(tx, until):
    for row in tx.rows(sa.select(budgets)):
        state = json.decode(row.state) | {"paused_until": until, "paused_at": until - 3600}
        tx.run(sa.update(budgets).where(budgets.c.key == row.key).values(state=json.encode(state)))


async def test_the_program_starts_while_its_accounts_are_out_of_quota(tmp_path):
    async with sandboxed_app(crm, database=tmp_path / "app.db") as world:
        await world.settle()
        until = world.app.ports.clock.now().timestamp() + 3600
        await world.app.store.write(lambda tx: pause_all(tx, until))
        began = asyncio.get_running_loop().time()
        await world.restart()
        await world.app.refresh()
        took = asyncio.get_running_loop().time() - began

        assert took < 60
        assert world.app.sync.polls()
