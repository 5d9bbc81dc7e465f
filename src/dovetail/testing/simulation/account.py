"""The accounts of a world: every tenant has one on each platform."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.sandbox import simulator_class
from dovetail.testing.simulation.clock import SkewedClock
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.people import Side
from dovetail.testing.simulation.process import Process
from dovetail.testing.simulation.world import World


@dataclass(frozen=True, slots=True)
class Account:
    """What a tenant has on one platform."""

    tenant: str
    simulator: Simulator


def build_accounts(world: World, network: Network) -> list[Account]:
    """Build the simulators of a world, tenant by tenant, and put them on its network."""
    tenants = [DEFAULT_TENANT, *(f"tenant{n}" for n in range(2, world.tenants + 1))]
    wanted = [(tenant, platform) for tenant in tenants for platform in world.platforms]
    accounts = []
    for position, (tenant, platform) in enumerate(wanted):
        skew = world.skew_s[position] if position < len(world.skew_s) else 0.0
        made = simulator_class(platform)(
            clock=SkewedClock(skew),
            rng=random.Random(f"{world.seed}/{platform}/{tenant}"),
            transport=network,
            records=world.records,
            seed=world.seed,
        )
        suffix = "" if tenant == DEFAULT_TENANT else f".{tenant}"
        made.base_url = f"http://{platform}{suffix}.test"
        network.add(made.base_url, made.app)
        accounts.append(Account(tenant, made))
    return accounts


async def connect_accounts(process: Process, accounts: list[Account]) -> list[Side]:
    """Give the app a connection to each account; return where it syncs."""
    ids = []
    for account in accounts:
        simulator = account.simulator
        connection = await process.run(
            process.app.connections.add(
                platform=simulator.platform,
                business_id=account.tenant,
                secrets=simulator.credentials,
                base_url=simulator.base_url,
                webhook_secret=simulator.webhook_secret,
            )
        )
        ids.append(connection.id)
    await process.run(process.app.refresh(schedules=False))
    spokes = {route.at.connection_id: route.at for route in process.app.sync.plans.spokes()}
    return [
        Side(
            position,
            account.tenant,
            account.simulator,
            connection_id,
            spokes[connection_id].resource,
            dict(spokes[connection_id].fields),
        )
        for position, (account, connection_id) in enumerate(zip(accounts, ids, strict=True))
    ]
