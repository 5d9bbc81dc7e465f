"""
Keeps one connection's access token fresh: one renewal for everybody who needs it.

Within a process all callers share one task; between processes there is the lease of `token_lease`.
The token is renewed some time before its end, while calls go on with the old one. The new tokens
are durable before anybody uses them, because a refresh token may be good for one use only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import structlog

from dovetail.app.token_lease import Granted, Held, LeaseTable, Stored
from dovetail.connector_sdk import token_call
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.grant import Grant, grant_named
from dovetail.core.clock import to_micros
from dovetail.core.ports import Ports
from dovetail.core.secrets import SecretBox
from dovetail.errors import (
    AuthenticationError,
    MissingCredentialError,
    StoreError,
    TransientError,
)
from dovetail.model.integration import Connection
from dovetail.runtime.refusal import clear_refused, mark_refused
from dovetail.runtime.store.port import Store, Tx

log = structlog.get_logger("dovetail.tokens")
T = TypeVar("T")

LEASE_S = 3 * token_call.TIMEOUT_S
"""Longer than any answer is waited for: only an owner that is gone or asleep outlives it."""

_LOOK_AGAIN_S = 0.5
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 2.0, 60.0
_SAVE_PAUSES_S = (0.1, 0.5, 1.0, 2.0, *(5.0,) * 120)
"""An answer that cannot be stored now is kept and stored later: the next one may never come."""


class TokenKeeper:
    """The `Access` of a stored connection."""

    def __init__(
        self,
        record: Connection,
        kind: type[Connector],
        values: Mapping[str, str],
        *,
        fence: int,
        store: Store,
        box: SecretBox,
        ports: Ports,
        is_refused: bool = False,
    ) -> None:
        self._record = record
        self._kind = kind
        self._credentials = Credentials(values)
        self._fence = fence
        self._store = store
        self._ports = ports
        self._lease = LeaseTable(record.id, ports.ids.new(), box)
        self._task: asyncio.Task[None] | None = None
        self._is_refused = is_refused
        self._failures = 0
        self._not_before = 0.0
        self._last_error: TransientError | AuthenticationError | None = None

    @property
    def credentials(self) -> Credentials:
        """The credentials as they were last known."""
        return self._credentials

    async def current(self) -> Credentials:
        """Return credentials that should be accepted now; the old ones while they last."""
        if self._grant is None:
            return self._credentials
        now = to_micros(self._ports.clock.now())
        token = self._credentials.get("access_token")
        if token and now < int(self._credentials.get("renew_at") or now + 1):
            return self._credentials
        if token and now < int(self._credentials.get("expires_at") or 0):
            if self._task is None and self._ports.clock.monotonic() >= self._not_before:
                self._start()
            return self._credentials
        await self._renewed()
        return self._credentials

    async def renew(self, refused: Credentials) -> bool:
        """Renew at once, unless that happened since; False where nobody can renew."""
        if self._is_other_than(refused):
            return True
        if self._grant is None:
            return False
        await self._renewed()
        return self._is_other_than(refused)

    async def give_up(self, error: AuthenticationError) -> None:
        """Mark the connection refused, for every process."""
        now = self._ports.clock.now()
        self._is_refused = True
        await self._store.write(lambda tx: mark_refused(tx, self._record.id, error.message, now))

    async def accept(self) -> None:
        """End the refusal of a token that a person gave: it works again, whoever found that out."""
        # A token that can be renewed may be good for a while after its renewal was refused.
        if self._is_refused and self._grant is None:
            self._is_refused = False  # before it is written: it may be given up meanwhile
            now = self._ports.clock.now()
            try:
                ended = await self._store.write(lambda tx: clear_refused(tx, self._record.id, now))
            except StoreError:
                self._is_refused = True  # the next call that is accepted tries again
                raise
            if ended:
                log.info("connection_works_again", connection=self._record.id)

    @property
    def is_busy(self) -> bool:
        """Whether a renewal is under way."""
        return self._task is not None

    async def close(self) -> None:
        """Let a renewal that has begun come to its end: its answer must not be lost."""
        if self._task is not None:
            await asyncio.wait({self._task})

    @property
    def _grant(self) -> Grant | None:
        return grant_named(self._kind.grants, self._credentials.get("grant"))

    def _is_other_than(self, refused: Credentials) -> bool:
        return self._credentials.get("access_token") != refused.get("access_token")

    async def _renewed(self) -> None:
        if self._task is None:
            left = self._not_before - self._ports.clock.monotonic()
            if self._last_error is not None and left > 0:
                last, facts = self._last_error, self._last_error.facts
                raise type(last)(last.message, **facts) from last
            self._start()
        assert self._task is not None  # noqa: S101 - started above
        # Whoever gives up waiting must not end the renewal that others wait for.
        await asyncio.shield(self._task)

    def _start(self) -> None:
        self._task = asyncio.create_task(self._renewal(), name=f"tokens {self._record.id}")
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is None:
            self._failures, self._not_before, self._last_error = 0, 0.0, None
        elif isinstance(error, TransientError | AuthenticationError):
            self._failures += 1
            self._last_error = error
            wait_s = min(_FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, 16), _LONGEST_BACKOFF_S)
            asked_s = getattr(error, "retry_after_s", None) or 0.0
            wait_s = max(wait_s * self._ports.rng.uniform(0.8, 1.2), asked_s)
            self._not_before = self._ports.clock.monotonic() + wait_s
            log.warning("not_renewed", connection=self._record.id, reason=error.message)

    async def _renewal(self) -> None:
        lease = await self._take()
        if lease is None:
            return
        grant = self._grant
        settled = False
        try:
            values = lease.values
            form = grant.renewal(Credentials(values), self._ports.clock.now()) if grant else None
            if grant is None or form is None:
                raise self._cannot_renew()
            fresh = await self._ask(grant, values, form)
            await self._save(lease.fence, fresh)
        except TransientError as error:
            settled = error.status is not None  # it answered, so the refresh token is not used up
            raise
        except AuthenticationError as error:
            settled = True
            if not await self._adopted():
                told = _after_cut_off(error, lease)
                await self.give_up(told)
                raise told from error
        finally:
            # After a save this changes nothing: the lease ended with it.
            await self._write(lambda tx: self._lease.release(tx, lease.fence, is_settled=settled))

    async def _take(self) -> Granted | None:
        """Return the lease, or None where the tokens were renewed by somebody else."""
        while True:
            now = self._now()
            take = partial(self._lease.take, known_fence=self._fence, now=now, length_s=LEASE_S)
            found = await self._write(take)
            match found:
                case Stored(values=values) if not values:
                    raise self._gone()
                case Stored():
                    self._adopt(found)
                    return None
                case Held(until=until):
                    left = (until - now).total_seconds()
                    await self._ports.clock.sleep(min(max(left, 0.01), _LOOK_AGAIN_S))
                case Granted(values=values) if not values:
                    raise self._gone()
                case Granted():
                    return found

    async def _ask(self, grant: Grant, values: Mapping[str, str], form: Any) -> dict[str, str]:
        return await token_call.ask(
            grant,
            form,
            Credentials(values),
            address=grant.token_address(self._record.base_url),
            title=self._kind.title,
            platform=self._kind.platform,
            transport=self._ports.transport,
            clock=self._ports.clock,
        )

    async def _save(self, fence: int, values: dict[str, str]) -> None:
        newer = await self._write(lambda tx: self._lease.save(tx, fence, values, self._now()))
        self._adopt(newer if newer is not None else Stored(values, fence))
        log.info("tokens_renewed", connection=self._record.id, platform=self._kind.platform)

    async def _adopted(self) -> bool:
        """Take over what another process stored while ours was refused; True when it did."""
        fence = self._fence
        found = await self._write(lambda tx: self._lease.newer(tx, fence))
        if found is None:
            return False
        self._adopt(found)
        return True

    def _adopt(self, found: Stored) -> None:
        self._credentials = Credentials(found.values)
        self._fence = found.fence

    async def _write(self, work: Callable[[Tx], T]) -> T:
        for pause_s in _SAVE_PAUSES_S:
            try:
                return await self._store.write(work)
            except StoreError as error:
                log.warning("tokens_not_stored", connection=self._record.id, reason=error.message)
                await self._ports.clock.sleep(pause_s)
        return await self._store.write(work)

    def _now(self) -> Any:
        return self._ports.clock.now()

    def _cannot_renew(self) -> AuthenticationError:
        return AuthenticationError(
            f"The access to {self._kind.title} has ended and there is no refresh token. Authorise "
            f"again with `dovetail connect {self._kind.platform}`.",
            platform=self._kind.platform,
            operation="renew the access",
        )

    def _gone(self) -> MissingCredentialError:
        return MissingCredentialError(
            f"The connection {self._record.id} was removed. `dovetail connect "
            f"{self._kind.platform}` makes another.",
            connection=self._record.id,
        )


def _after_cut_off(error: AuthenticationError, lease: Granted) -> AuthenticationError:
    if lease.cut_off_at is None:
        return error
    return AuthenticationError(
        f"{error.message} A renewal that began at {lease.cut_off_at:%Y-%m-%d %H:%M:%S} UTC was cut "
        "off before its answer was stored; the platform may have ended the old refresh token then.",
        **error.facts,
    )
