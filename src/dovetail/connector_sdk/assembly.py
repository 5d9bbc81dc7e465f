"""How a connector is put together: its class, the account it works for, and the way there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dovetail.connector_sdk.access import Access
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.limits import BudgetStore, StoredBudget
from dovetail.core.clock import Clock
from dovetail.core.transport import Transport

C = TypeVar("C", bound=Connector)


def connector_of(  # noqa: PLR0913 - everything that a connection is made of, by name
    kind: type[C],
    *,
    base_url: str,
    credentials: Credentials | Access,
    transport: Transport,
    clock: Clock,
    store: BudgetStore,
    account: str,
    settings: Mapping[str, Any] = {},
    on_call: Callable[[str, int], None] | None = None,
) -> C:
    """
    Return a connector of one connection, with the budget that its class declares.

    Args:
        kind: The connector's class.
        base_url: What paths are appended to.
        credentials: Of the connection, or what keeps them fresh.
        transport: Carries requests.
        clock: Time, for the budget and the connector.
        store: Where the state of the budget lives.
        account: Key of that state: one per platform and account.
        settings: Of the connection.
        on_call: Told the path and status of every answer; 0 when there was none.
    """
    budget = StoredBudget(
        store=store,
        account=account,
        limits=kind.limits,
        clock=clock,
        settings=settings,
        concurrency=kind.concurrency,
        remaining_header=kind.remaining,
        size_header=kind.sizes,
    )
    api = Api(
        platform=kind.platform,
        title=kind.title,
        base_url=base_url,
        auth=kind.auth,
        credentials=credentials,
        transport=transport,
        budget=budget,
        clock=clock,
        error_rules=kind.error_rules,
        explain=kind.explain,
        settings=settings,
        on_call=on_call,
    )
    return kind(api)
