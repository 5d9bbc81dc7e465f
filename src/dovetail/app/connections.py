"""
Connections: authorised accounts, their sealed credentials, and ready connectors for them.

Credentials never leave this module except inside a connector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Account, Connector
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.limits import BudgetStore, StoredBudget
from dovetail.connector_sdk.registry import connector_class
from dovetail.core import json
from dovetail.core.clock import to_micros
from dovetail.core.ports import Ports
from dovetail.core.secrets import SecretBox
from dovetail.core.telemetry import Tally
from dovetail.errors import MissingCredentialError
from dovetail.model.integration import Connection
from dovetail.runtime.record_table import change_record, insert_record, select_records
from dovetail.runtime.refusal import clear_refused
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import budgets, credentials

T = TypeVar("T")

ACTIVE = "active"
REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection, its connector, and the secrets its webhooks may be signed with."""

    record: Connection
    connector: Connector
    webhook_secrets: tuple[str, ...]
    sealed_at: int = 0


class Connections:
    """The connections in one store."""

    def __init__(
        self, store: Store, box: SecretBox, ports: Ports, tally: Tally | None = None
    ) -> None:
        self._tally = tally or Tally()
        self._store = store
        self._box = box
        self._ports = ports
        self._budgets = StoreBudgets(store)
        self._opened: dict[str, OpenConnection] = {}

    async def list(self, business_id: str | None = None) -> list[Connection]:
        """Return the connections of a tenant, or of all, oldest first."""
        return await self._store.read(
            lambda tx: select_records(tx, Connection, business_id, order_by="created_at")
        )

    async def add(
        self,
        *,
        platform: str,
        business_id: str,
        secrets: Mapping[str, str],
        base_url: str | None = None,
        webhook_secret: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Connection:
        """
        Test the credentials at the platform, then keep the connection.

        A connection of the same tenant to the same account is renewed, not doubled.

        Raises:
            UnknownPlatformError: There is no connector of that name.
            AuthenticationError: The platform refused the credentials.
        """
        values = dict(secrets)
        if webhook_secret:
            values["webhook_secret"] = webhook_secret
        draft = Connection(
            id=self._ports.ids.new(),
            business_id=business_id,
            platform=platform,
            base_url=base_url,
            status=ACTIVE,
            settings=dict(settings or {}),
        )
        connector = self._connector(draft, values)
        if isinstance(connector, Account):
            draft.account = await connector.identify()
        saved = await self._store.write(lambda tx: self._save(tx, draft, values))
        self._opened.pop(saved.id, None)
        return saved

    async def remove(self, connection_id: str) -> Connection:
        """
        Forget the credentials of a connection and use it no more.

        Its links stay: connecting the same account again goes on where it was.

        Raises:
            MissingCredentialError: There is no such connection.
        """
        removed = await self._store.write(lambda tx: self._remove(tx, connection_id))
        self._opened.pop(connection_id, None)
        return removed

    async def open(self, connection_id: str) -> OpenConnection:
        """
        Return a connection ready for use; kept for the next call.

        Raises:
            MissingCredentialError: There is no such connection, or it has no credentials.
        """
        opened = self._opened.get(connection_id)
        if opened is None:
            record, values, sealed_at = await self._store.read(
                lambda tx: self._load(tx, connection_id)
            )
            secret = values.get("webhook_secret") or values.get("client_secret")
            secrets = (secret,) if secret else ()
            connector = self._connector(record, values)
            opened = OpenConnection(record, connector, secrets, sealed_at)
            self._opened[connection_id] = opened
        return opened

    async def forget_renewed(self) -> None:
        """Let go of connections whose credentials another process renewed or removed."""
        if not self._opened:
            return
        stored = await self._store.read(
            lambda tx: {row.connection_id: row.updated_at for row in tx.rows(_SEALED_AT)}
        )
        for connection_id, opened in list(self._opened.items()):
            if stored.get(connection_id) != opened.sealed_at:
                del self._opened[connection_id]

    async def connector(self, connection_id: str) -> Connector:
        """Return the connector of a connection (see `open`)."""
        return (await self.open(connection_id)).connector

    def _connector(self, record: Connection, values: Mapping[str, str]) -> Connector:
        kind = connector_class(record.platform or "")
        secrets = Credentials(values)
        budget = StoredBudget(
            store=self._budgets,
            # Two connections to one account share its quota, whoever's tenant they belong to.
            account=f"{kind.platform}:{record.account or record.id}",
            limits=kind.limits,
            clock=self._ports.clock,
            settings=record.settings,
            remaining_header=kind.remaining,
        )
        api = Api(
            platform=kind.platform,
            title=kind.title,
            base_url=record.base_url or values.get("instance_url") or kind.base_url,
            auth=kind.auth,
            credentials=secrets,
            transport=self._ports.transport,
            budget=budget,
            clock=self._ports.clock,
            error_rules=kind.error_rules,
            explain=kind.explain,
            settings=record.settings,
            on_call=lambda _, status: self._tally.call(kind.platform, status),
        )
        return kind(api)

    def _save(self, tx: Tx, draft: Connection, values: Mapping[str, str]) -> Connection:
        now = self._ports.clock.now()
        known = select_records(
            tx,
            Connection,
            draft.business_id,
            where={"platform": draft.platform, "account": draft.account},
            limit=1,
        )
        if known and draft.account:
            changes = {
                "base_url": draft.base_url,
                "status": ACTIVE,
                "status_reason": None,
                "settings": draft.settings,
            }
            changed = change_record(
                tx, Connection, draft.business_id, known[0].id, changes, now=now
            )
            saved = changed[1] if changed is not None else known[0]
        else:
            saved = insert_record(tx, draft, now)
        clear_refused(tx, saved.id, now)
        sealed = self._box.seal(json.encode(dict(values)), owner=saved.id)
        statement = tx.insert(credentials).values(
            connection_id=saved.id, sealed=sealed, updated_at=to_micros(now)
        )
        tx.run(
            statement.on_conflict_do_update(
                index_elements=["connection_id"],
                set_={
                    "sealed": statement.excluded.sealed,
                    "updated_at": statement.excluded.updated_at,
                },
            )
        )
        return saved

    def _remove(self, tx: Tx, connection_id: str) -> Connection:
        known = select_records(tx, Connection, None, where={"id": connection_id}, limit=1)
        if not known:
            raise _no_connection(connection_id)
        tx.run(sa.delete(credentials).where(credentials.c.connection_id == connection_id))
        clear_refused(tx, connection_id, self._ports.clock.now())
        changed = change_record(
            tx,
            Connection,
            known[0].business_id or "",
            connection_id,
            {"status": REMOVED},
            now=self._ports.clock.now(),
        )
        return changed[1] if changed is not None else known[0]

    def _load(self, tx: Tx, connection_id: str) -> tuple[Connection, dict[str, str], int]:
        found = select_records(tx, Connection, None, where={"id": connection_id}, limit=1)
        row = tx.first(
            sa.select(credentials.c.sealed, credentials.c.updated_at).where(
                credentials.c.connection_id == connection_id
            )
        )
        if not found or row is None:
            raise MissingCredentialError(
                f"There is no connection {connection_id}. `dovetail connect --list` shows those "
                "that exist; `dovetail connect PLATFORM` makes one.",
                connection=connection_id,
            )
        values = json.decode(self._box.open(row.sealed, owner=connection_id))
        return found[0], json.convert(values, dict[str, str]), row.updated_at


_SEALED_AT = sa.select(credentials.c.connection_id, credentials.c.updated_at)


class StoreBudgets(BudgetStore):
    """Keeps the state of rate budgets in the store, shared by every worker on it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def update(
        self, key: str, change: Callable[[dict[str, Any] | None], tuple[dict[str, Any], T]]
    ) -> T:
        """Change one state in a transaction."""

        def work(tx: Tx) -> T:
            found = tx.scalar(sa.select(budgets.c.state).where(budgets.c.key == key))
            state, result = change(json.decode(found) if found is not None else None)
            statement = tx.insert(budgets).values(key=key, state=json.encode(state))
            tx.run(
                statement.on_conflict_do_update(
                    index_elements=["key"], set_={"state": statement.excluded.state}
                )
            )
            return result

        return await self._store.write(work)


def _no_connection(connection_id: str) -> MissingCredentialError:
    return MissingCredentialError(
        f"There is no connection {connection_id}. `dovetail connect --list` shows those that "
        "exist; `dovetail connect PLATFORM` makes one.",
        connection=connection_id,
    )
