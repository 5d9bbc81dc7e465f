"""What is left of the quotas of connected accounts, as their budgets know it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from dovetail.connector_sdk.limits import read_allowances
from dovetail.connector_sdk.registry import connector_class
from dovetail.core import json
from dovetail.errors import UnknownPlatformError
from dovetail.model.integration import Connection
from dovetail.runtime.record_table import select_records
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import budgets


@dataclass(frozen=True, slots=True)
class AccountAllowance:
    """One limit of one account: calls that it allows in its window, and how many are left now."""

    platform: str
    account: str
    limit: str
    size: int
    left: int
    paused_s: float


def account_allowances(tx: Tx, now: float) -> list[AccountAllowance]:
    """Return every limit of every account that was ever called; *now* in seconds since 1970."""
    settings = {
        f"{one.platform}:{one.account or one.id}": one.settings
        for one in select_records(tx, Connection, None, order_by="created_at")
    }
    found: list[AccountAllowance] = []
    for row in tx.rows(sa.select(budgets).order_by(budgets.c.key)):
        platform, _, account = row.key.partition(":")
        try:
            limits = connector_class(platform).limits
        except UnknownPlatformError:
            continue  # its connector is not installed any more
        state = json.decode(row.state)
        found += [
            AccountAllowance(platform, account, one.limit, one.size, one.left, one.paused_s)
            for one in read_allowances(state, limits, settings.get(row.key, {}), now)
        ]
    return found
