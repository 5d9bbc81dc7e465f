"""Mistakes with tokens, quotas and merges, for `planted.py`: name, file, old and new text, test."""

from __future__ import annotations

_KEEPER = "app/token_keeper.py"
_LEASE = "app/token_lease.py"
_ASK = "connector_sdk/token_call.py"
_UNIT = "tests/unit"

TOKENS: tuple[tuple[str, ...], ...] = (
    (
        "store new tokens after the lease has ended",
        _KEEPER,
        "            await self._save(lease.fence, fresh)\n",
        "            await self._write(\n"
        "                lambda tx: self._lease.release(tx, lease.fence, is_settled=True)\n"
        "            )\n"
        "            await self._save(lease.fence, fresh)\n",
    ),
    (
        "use new tokens before they are stored",
        _KEEPER,
        "        newer = await self._write(lambda",
        "        self._adopt(Stored(values, fence))\n        newer = await self._write(lambda",
        f"{_UNIT}/tokens/test_token_keeper.py",
    ),
    (
        "renew once for every caller",
        _KEEPER,
        "    async def _renewed(self) -> None:\n        if self._task is None:",
        "    async def _renewed(self) -> None:\n        if True:",
    ),
    (
        "ask a token endpoint again as soon as somebody calls",
        _KEEPER,
        "            self._not_before = self._ports.clock.monotonic() + wait_s",
        "            self._not_before = 0.0",
    ),
    (
        "do not hear how long a token endpoint wants to be left alone",
        _KEEPER,
        "self._ports.rng.uniform(0.8, 1.2), asked_s)",
        "self._ports.rng.uniform(0.8, 1.2), 0.0)",
        f"{_UNIT}/tokens/test_token_keeper.py",
    ),
    (
        "repeat a renewal at once when its answer was cut off",
        _ASK,
        "        raise call.error(PlatformUnavailableError, str(error)) from error\n",
        "        if not error.sent:\n"
        "            raise call.error(PlatformUnavailableError, str(error)) from error\n"
        "        try:\n"
        "            answer = await transport.send(request)\n"
        "        except TransportError:\n"
        "            raise call.error(PlatformUnavailableError, str(error)) from error\n",
    ),
    (
        "forget the refresh token of an answer",
        _ASK,
        'for name in ("refresh_token", *grant.keeps)',
        "for name in grant.keeps",
    ),
    (
        "take a grant that was refused for an endpoint that is away",
        _ASK,
        "            return self.error(AuthenticationError, what, status=answer.status, **facts)",
        "            return self.error(PlatformUnavailableError, what, status=answer.status)",
    ),
    (
        "do not respect the lease of another process",
        _LEASE,
        "            if now < until <= now + timedelta(seconds=2 * length_s):",
        "            if False:",
    ),
    (
        "let a late owner overwrite later tokens",
        _LEASE,
        "        if row is None or row.saved_fence >= fence:",
        "        if row is None:",
        f"{_UNIT}/tokens/test_token_crash.py",
    ),
    (
        "let go of new credentials when a connection is made again",
        "app/connections.py",
        "        tx.run(_PUT(tx), row)\n",
        "        if not (known and draft.account):\n            tx.run(_PUT(tx), row)\n",
    ),
    (
        "log what a token endpoint answered",
        _KEEPER,
        'log.info("tokens_renewed", connection',
        'log.info("tokens_renewed", answer=str(values), connection',
    ),
    (
        "keep a budget for each connection of an account",
        "app/connections.py",
        "{record.account or record.id}",
        "{record.id}",
    ),
    (
        "forget at a restart what was called",
        "app/budget_store.py",
        "            state, result = change(",
        '            known = self.__dict__.setdefault("_known", set())\n'
        "            if key not in known:\n"
        "                known.add(key)\n"
        "                found = None\n"
        "            state, result = change(",
        f"{_UNIT}/test_budget_store.py",
    ),
    (
        "let a window be shorter than the platform's",
        "connector_sdk/window.py",
        "    return _PARTS + 1 + max(",
        "    return _PARTS - 10 + max(",
    ),
    (
        "count no calls",
        "connector_sdk/quota.py",
        "            take(window, size, limit.per_s, now)",
        "            delay(window, size, limit.per_s, now)",
    ),
    (
        "go on calling while the platform wants to be left alone",
        "connector_sdk/http.py",
        "self._budget.pause(error.retry_after_s,",
        "self._budget.pause(0.0,",
        f"{_UNIT}/test_connector_http.py",
    ),
    (
        "let a first sync go before what a person did",
        "connector_sdk/quota.py",
        "        ends = [end for name, end in self.claims.items() if int(name) < lane]",
        "        ends: list[float] = []",
        f"{_UNIT}/test_quota.py",
    ),
    (
        "link nobody to the record that a merge left",
        "sync/merge.py",
        "        link.internal_id = None\n        if survivor is None:\n",
        "        link.internal_id = None\n        if survivor is None:\n            return None\n"
        "        if survivor is None:\n",
    ),
    (
        "do not read the record that a merge left",
        "sync/merge.py",
        "    ledger.refetch(spoke, survivor_id)\n",
        "",
        f"{_UNIT}/sync/test_absorb.py",
    ),
    (
        "take a create whose answer was lost for one that failed",
        "sync/push.py",
        "                found.creates.pop(intent.internal_id, None)\n            elif",
        "                found.creates.pop(intent.internal_id, None)\n            elif False and",
        f"{_UNIT}/sync/test_push.py",
    ),
)
