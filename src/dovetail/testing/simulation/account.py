"""The accounts of a world: every tenant has one on each platform."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dovetail.model.integration import Integration, PlatformBinding
from dovetail.runtime.record_table import change_record, select_records
from dovetail.runtime.store.port import Tx
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.sandbox import simulator_class
from dovetail.testing.simulation.clock import SkewedClock
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.people import Side
from dovetail.testing.simulation.process import Process
from dovetail.testing.simulation.terms import Oauth, Quota
from dovetail.testing.simulation.world import World

ONLOOKER = "onlooker"
"""The business that is connected to somebody else's account too."""
_A_WEEK_S = 7 * 86_400.0
_BULK_SETTINGS = ("bulk_read_from", "bulk_write_from")
_LASTING = ("access_token", "authorization_code")
"""What an account with OAuth is not connected with."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a tenant has on one platform, and what is set for it in the app."""

    tenant: str
    simulator: Simulator
    oauth: Oauth | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    is_shared: bool = False

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
        bulk_from = world.bulk_from if platform == "salesforce" else 0
        quota = next((one for one in world.quotas if one.side == position), None)
        made = simulator_class(platform)(
            clock=SkewedClock(skew),
            rng=random.Random(f"{world.seed}/{platform}/{tenant}"),
            transport=network,
            records=world.records,
            seed=world.seed,
            **_options(platform, oauth, quota, bulk_from),
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
        settings = dict.fromkeys(_BULK_SETTINGS, bulk_from) if bulk_from else {}
        is_shared = quota is not None and quota.shared
        accounts.append(Account(tenant, made, oauth, settings, is_shared))
    return accounts


def _options(
    platform: str, oauth: Oauth | None, quota: Quota | None, bulk_from: int
) -> dict[str, Any]:
    options: dict[str, Any] = {"page_rows": bulk_from} if bulk_from else {}
    if platform == "salesforce":
        # It has no life of a token, but a session that ends when it is not used. The one that
        # nobody can renew has to outlast a day without calls.
        options["session_timeout_s"] = oauth.life_s if oauth is not None else _A_WEEK_S
    if quota is not None and quota.burst is not None:
        options["burst_limit"] = quota.burst
    if quota is not None and quota.daily is not None:
        options["daily_limit"] = quota.daily
    return options


def _leave_out(tx: Tx, now: datetime) -> None:
    """Take the business that shares an account out of the sync: it only calls the platform."""
    for one in select_records(tx, Integration, ONLOOKER):
        bindings = [
            PlatformBinding(name=each.name, enabled=False, connection_id=each.connection_id)
            for each in one.platforms
        ]
        change_record(tx, Integration, ONLOOKER, one.id, {"platforms": bindings}, now=now)


async def plan_sides(
    process: Process, accounts: Sequence[Account], ids: Sequence[str]
) -> list[Side]:
    """Let the app plan with its connections, those of the accounts; return where it syncs."""
    await process.run(process.app.refresh(schedules=False))
    await process.run(process.app.store.write(lambda tx: _leave_out(tx, process.clock.now())))
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
