"""The person who owns the accounts: connects them, and again when the app says that it must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

from dovetail.connector_sdk import token_call
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.grant import AuthorizationCode
from dovetail.connector_sdk.registry import connector_class
from dovetail.core.clock import Clock
from dovetail.core.transport import HttpRequest, TransportError
from dovetail.errors import DovetailError
from dovetail.model.integration import Connection
from dovetail.runtime.refusal import list_refusals
from dovetail.testing.simulation.account import ONLOOKER, Account
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.process import KilledError, Process
from dovetail.testing.simulation.trace import Trace

_LOOKS_EVERY_S = 420.0
_BACK = "http://localhost/callback"
_VERIFIER = "a verifier that need not be a secret, since this person is simulated"


@dataclass(slots=True)
class Owner:
    """
    Looks now and then whether a connection is refused, and then connects that account again.

    Args:
        accounts: All accounts; those with OAuth are asked for a new grant on the platform's page.
        process: Returns the app as it is now.
    """

    accounts: Sequence[Account]
    process: Callable[[], Process]
    network: Network
    clock: Clock
    trace: Trace
    connected: dict[str, Account] = field(default_factory=dict)
    """Connection id -> its account."""

    async def connect_all(self) -> list[str]:
        """Connect every account for the first time; return the ids of the connections."""
        for account in self.accounts:
            connection = await _add(self.process(), account, account.secrets)
            self.connected[connection.id] = account
        found = list(self.connected)
        for account in self.accounts:
            if account.is_shared:
                more = replace(account, tenant=ONLOOKER)
                self.connected[(await _add(self.process(), more, more.secrets)).id] = more
        return found

    async def watch(self) -> None:
        """Look for as long as the world lasts."""
        while True:
            await self.clock.sleep(_LOOKS_EVERY_S)
            for connection_id in await self.refused():
                await self._again(self.connected[connection_id])

    async def refused(self, *, suspected: bool = True) -> list[str]:
        """
        Return the connections that the app says are refused.

        Args:
            suspected: Those too that rest on one refused call, and that the next one looks at: if
                only handlers use such a connection, that may be never.
        """
        process = self.process()
        if not process.is_alive or not process.app._opened:
            return []
        try:
            found = await process.run(process.app.store.read(list_refusals))
        except (DovetailError, KilledError):
            return []
        return [id for id, refusal in found.items() if suspected or refusal.is_told]

    async def _again(self, account: Account) -> None:
        if account.oauth is None:
            return  # its token has no end: what refuses it is a fault that passes
        where = f"{account.simulator.platform} of {account.tenant}"
        process = self.process()
        try:
            fresh = await process.run(self._granted(process, account))
            await _add(process, account, {**account.secrets, **fresh})
        except (DovetailError, TransportError, KilledError) as error:
            self.trace.add(f"owner cannot connect {where}: {type(error).__name__}")
            return
        self.trace.add(f"owner connects {where} again")

    async def _granted(self, process: Process, account: Account) -> dict[str, str]:
        """Allow the app on the platform's page, and return what the code is worth."""
        simulator = account.simulator
        kind = connector_class(simulator.platform)
        grant = next(one for one in kind.grants if isinstance(one, AuthorizationCode))
        client = Credentials(
            {name: simulator.credentials[name] for name in ("client_id", "client_secret")}
        )
        page = grant.page(
            simulator.base_url, client.require("client_id"), _BACK, "state", _VERIFIER
        )
        allow = HttpRequest(method="POST", url=page, headers={}, body=b"decision=allow")
        answer = await self.network.browse(allow)
        code = parse_qs(urlsplit(answer.headers.get("location", "")).query).get("code", [""])[0]
        return await token_call.ask(
            grant,
            grant.exchange(client, code, _BACK, _VERIFIER),
            client,
            address=grant.token_address(simulator.base_url),
            title=kind.title,
            platform=kind.platform,
            transport=process.transport,
            clock=self.clock,
        )


async def _add(process: Process, account: Account, secrets: dict[str, str]) -> Connection:
    simulator = account.simulator
    return await process.run(
        process.app.connections.add(
            platform=simulator.platform,
            business_id=account.tenant,
            secrets=secrets,
            settings=account.settings,
            base_url=simulator.base_url,
            webhook_secret=simulator.webhook_secret,
        )
    )
