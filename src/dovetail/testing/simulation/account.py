"""The accounts of a world: every tenant has one on each platform."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.sandbox import simulator_class
from dovetail.testing.simulation.clock import SkewedClock
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.people import Side
from dovetail.testing.simulation.process import Process
from dovetail.testing.simulation.terms import Oauth
from dovetail.testing.simulation.world import World

_LASTING = ("access_token", "authorization_code")
"""What an account with OAuth is not connected with."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a tenant has on one platform, and how its tokens end if they do."""

    tenant: str
    simulator: Simulator
    oauth: Oauth | None = None

    @property
    def secrets(self) -> dict[str, str]:
        """What the app is connected with at first."""
        found = self.simulator.credentials
        if self.oauth is None:
            return dict(found)
        kept = {name: value for name, value in found.items() if name not in _LASTING}
        return {**kept, "grant": "authorization_code"}


def build_accounts(world: World, network: Network) -> list[Account]:
    """Build the simulators of a world, tenant by tenant, and put them on its network."""
    tenants = [DEFAULT_TENANT, *(f"tenant{n}" for n in range(2, world.tenants + 1))]
    wanted = [(tenant, platform) for tenant in tenants for platform in world.platforms]
    accounts = []
    for position, (tenant, platform) in enumerate(wanted):
        skew = world.skew_s[position] if position < len(world.skew_s) else 0.0
        oauth = next((one for one in world.oauth if one.side == position), None)
        made = simulator_class(platform)(
            clock=SkewedClock(skew),
            rng=random.Random(f"{world.seed}/{platform}/{tenant}"),
            transport=network,
            records=world.records,
            seed=world.seed,
            **_ends(platform, oauth),
        )
        if oauth is not None:
            made.registration = replace(
                made.registration,
                token_life_s=oauth.life_s,
                rotates_refresh_tokens=oauth.single_use,
            )
        suffix = "" if tenant == DEFAULT_TENANT else f".{tenant}"
        made.base_url = f"http://{platform}{suffix}.test"
        network.add(made.base_url, made.app)
        accounts.append(Account(tenant, made, oauth))
    return accounts


def _ends(platform: str, oauth: Oauth | None) -> dict[str, Any]:
    # Salesforce has no life of a token, but a session that ends when it is not used.
    if oauth is None or platform != "salesforce":
        return {}
    return {"session_timeout_s": oauth.life_s}


async def plan_sides(
    process: Process, accounts: Sequence[Account], ids: Sequence[str]
) -> list[Side]:
    """Let the app plan with its connections, those of the accounts; return where it syncs."""
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
