"""
Connections: authorised accounts, their sealed credentials, and ready connectors for them.

Credentials never leave this module except inside a connector.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dovetail.app.budget_store import StoreBudgets
from dovetail.app.token_keeper import TokenKeeper
from dovetail.app.token_lease import load_values, replace_tokens, saved_fence
from dovetail.connector_sdk import token_call
from dovetail.connector_sdk.access import Access
from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Account, Connector
from dovetail.connector_sdk.grant import grant_named
from dovetail.connector_sdk.registry import connector_class
from dovetail.core import json
from dovetail.core.clock import to_micros
from dovetail.core.ports import Ports
from dovetail.core.secrets import SecretBox
from dovetail.core.telemetry import Tally
from dovetail.errors import ConfigError, MissingCredentialError
from dovetail.model.integration import Connection
from dovetail.runtime.record_table import change_record, insert_record, select_records
from dovetail.runtime.refusal import clear_refused, is_refused
from dovetail.runtime.store.port import Store, Tx, upsert
from dovetail.runtime.store.schema import credentials

_PUT = upsert(credentials, "sealed", "updated_at")

ACTIVE = "active"
REMOVED = "removed"

_OLD_SECRET_DAYS = 2
"""For so long, webhooks signed with a replaced secret are accepted: platforms repeat for a day."""


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection, its connector, and what keeps its credentials."""

    record: Connection
    connector: Connector
    keeper: TokenKeeper
    sealed_at: int = 0

    def webhook_secrets(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that may have signed a webhook: the current one and the one before."""
        values = self.keeper.credentials
        current = values.get("webhook_secret") or values.get("client_secret")
        before = values.get("webhook_secret_before")
        if before and to_micros(now) >= int(values.get("webhook_secret_before_until") or 0):
            before = None
        return tuple(secret for secret in (current, before) if secret)


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
        self._let_go: list[TokenKeeper] = []

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

        A connection of the same tenant to the same account is renewed, not doubled. Credentials
        that name a ``grant`` and hold no token get one first.

        Raises:
            UnknownPlatformError: There is no connector of that name.
            MissingCredentialError: What the grant needs is not there.
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
        values = await self._with_token(draft, values)
        connector = self._connector(draft, Credentials(values))
        if isinstance(connector, Account):
            draft.account = await connector.identify()
        saved = await self._store.write(lambda tx: self._save(tx, draft, values))
        self._forget(saved.id)
        return saved

    async def remove(self, connection_id: str) -> Connection:
        """
        Forget the credentials of a connection and use it no more.

        Its links stay: connecting the same account again goes on where it was.

        Raises:
            MissingCredentialError: There is no such connection.
        """
        removed = await self._store.write(lambda tx: self._remove(tx, connection_id))
        self._forget(connection_id)
        return removed

    async def open(self, connection_id: str) -> OpenConnection:
        """
        Return a connection ready for use; kept for the next call.

        Raises:
            MissingCredentialError: There is no such connection, or it has no credentials.
        """
        opened = self._opened.get(connection_id)
        if opened is None:
            loaded = await self._store.read(lambda tx: self._load(tx, connection_id))
            # Two callers may have come here together; they must share one keeper.
            opened = self._opened.setdefault(connection_id, loaded)
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
                self._forget(connection_id)

    async def connector(self, connection_id: str) -> Connector:
        """Return the connector of a connection (see `open`)."""
        return (await self.open(connection_id)).connector

    async def close(self) -> None:
        """Let renewals that have begun come to their end."""
        for opened in list(self._opened):
            self._forget(opened)
        while self._let_go:
            await self._let_go.pop().close()

    def _forget(self, connection_id: str) -> None:
        opened = self._opened.pop(connection_id, None)
        if opened is not None:
            self._let_go = [one for one in self._let_go if one.is_busy]
            self._let_go.append(opened.keeper)

    async def _with_token(self, draft: Connection, values: dict[str, str]) -> dict[str, str]:
        kind = connector_class(draft.platform or "")
        grant = grant_named(kind.grants, values.get("grant"))
        if grant is None or values.get("access_token"):
            return values
        credentials = Credentials(values)
        for name in grant.required:
            credentials.require(name)
        form = grant.renewal(credentials, self._ports.clock.now())
        if form is None:
            raise MissingCredentialError(
                f"There is neither an access token nor a refresh token for {kind.title}. Let "
                f"`dovetail connect {kind.platform}` ask for one.",
                platform=kind.platform,
            )
        return await token_call.ask(
            grant,
            form,
            credentials,
            address=grant.token_address(draft.base_url),
            title=kind.title,
            platform=kind.platform,
            transport=self._ports.transport,
            clock=self._ports.clock,
        )

    def _connector(self, record: Connection, secrets: Credentials | Access) -> Connector:
        kind = connector_class(record.platform or "")
        known = secrets if isinstance(secrets, Credentials) else secrets.credentials
        return connector_of(
            kind,
            base_url=record.base_url or known.get("instance_url") or kind.base_url,
            credentials=secrets,
            transport=self._ports.transport,
            clock=self._ports.clock,
            store=self._budgets,
            # Two connections to one account share its quota, whoever's tenant they belong to.
            account=f"{kind.platform}:{record.account or record.id}",
            settings=record.settings,
            on_call=lambda _, status: self._tally.call(kind.platform, status),
        )

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
        replace_tokens(tx, saved.id)
        # An old secret that cannot be opened any more is no reason to refuse the new one.
        with suppress(ConfigError):
            values = _with_old_secret(values, load_values(tx, self._box, saved.id), now)
        sealed = self._box.seal(json.encode(dict(values)), owner=saved.id)
        row = {"connection_id": saved.id, "sealed": sealed, "updated_at": to_micros(now)}
        tx.run(_PUT(tx), row)
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

    def _load(self, tx: Tx, connection_id: str) -> OpenConnection:
        found = select_records(tx, Connection, None, where={"id": connection_id}, limit=1)
        row = tx.first(
            sa.select(credentials.c.updated_at).where(credentials.c.connection_id == connection_id)
        )
        if not found or row is None:
            raise _no_connection(connection_id)
        record = found[0]
        keeper = TokenKeeper(
            record,
            connector_class(record.platform or ""),
            load_values(tx, self._box, connection_id),
            fence=saved_fence(tx, connection_id),
            store=self._store,
            box=self._box,
            ports=self._ports,
            is_refused=is_refused(tx, connection_id),
        )
        return OpenConnection(record, self._connector(record, keeper), keeper, row.updated_at)


_SEALED_AT = sa.select(credentials.c.connection_id, credentials.c.updated_at)


def _no_connection(connection_id: str) -> MissingCredentialError:
    return MissingCredentialError(
        f"There is no connection {connection_id}. `dovetail connect --list` shows those that "
        "exist; `dovetail connect PLATFORM` makes one.",
        connection=connection_id,
    )


def _with_old_secret(
    values: Mapping[str, str], old: Mapping[str, str], now: datetime
) -> Mapping[str, str]:
    """Keep the webhook secret there was: as it is, or for a while beside a new one."""
    before, given = old.get("webhook_secret"), values.get("webhook_secret")
    if not before or before == given:
        return values
    if not given:
        return {**values, "webhook_secret": before}
    until = to_micros(now + timedelta(days=_OLD_SECRET_DAYS))
    return {
        **values,
        "webhook_secret_before": before,
        "webhook_secret_before_until": str(until),
    }
