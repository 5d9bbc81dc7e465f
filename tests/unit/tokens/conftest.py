"""A platform that gives tokens, scripted from the card: what it does with an old refresh token."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from dovetail.app.connections import Connections
from dovetail.core import json
from dovetail.core.secrets import SecretBox
from dovetail.core.transport import HttpResponse, TransportError
from dovetail.runtime.refusal import is_refused, load_refusal
from dovetail.runtime.store.port import Store
from dovetail.runtime.store.schema import metadata, token_leases
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports

LIFE_S = 1800


class Vendor:
    """
    Tokens as HubSpot gives them; with `single_use`, as platforms that rotate refresh tokens do.

    `grace_s`: for so long after its use, an old refresh token gives the same answer again.
    """

    def __init__(self, clock, *, single_use=False, grace_s=0.0, life_s=LIFE_S):
        self.clock = clock
        self.single_use = single_use
        self.grace_s = grace_s
        self.life_s = life_s
        self.number = 1
        self.refresh = {"refresh-0001": None}  # token -> (used at, its answer)
        self.access = {"access-0001": self.clock.monotonic() + life_s}
        self.renewals = 0
        self.calls = []
        self.delay_s = 0.0
        self.failures = []  # answers or errors to give instead, in order
        self.after_answer = None  # called when an answer to a renewal is ready
        self.revoked = False

    async def send(self, request):
        if self.delay_s:
            await self.clock.sleep(min(self.delay_s, request.timeout_s))
            if self.delay_s > request.timeout_s:
                self._renew(parse_qs(request.body.decode())) if request.body else None
                raise TransportError("no answer in time", sent=True)
        if urlsplit(request.url).path.endswith("/token"):
            return self._token(request)
        return self._call(request)

    async def close(self):
        pass

    def _token(self, request):
        self.renewals += 1
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        answer = self._renew(parse_qs(request.body.decode()))
        if self.after_answer is not None:
            self.after_answer()
        return answer

    def _renew(self, form):
        assert form["grant_type"] == ["refresh_token"]
        assert form["client_id"] == ["the-client"]
        old = form["refresh_token"][0]
        used = self.refresh.get(old, False)
        now = self.clock.monotonic()
        if self.revoked or used is False:
            return refused()
        if used is not None:
            used_at, answer = used
            return answer if now - used_at <= self.grace_s else refused()
        self.number += 1
        access, refresh = f"access-{self.number:04}", f"refresh-{self.number:04}"
        self.access[access] = now + self.life_s
        told = {"access_token": access, "expires_in": self.life_s, "token_type": "bearer"}
        told["refresh_token"] = refresh if self.single_use else old
        answer = HttpResponse(status=200, headers={}, body=json.encode(told))
        if self.single_use:
            self.refresh[old] = (now, answer)
            self.refresh[refresh] = None
        return answer

    def _call(self, request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.calls.append(token)
        if self.access.get(token, 0) <= self.clock.monotonic():
            body = {"status": "error", "category": "EXPIRED_AUTHENTICATION", "message": "expired"}
            return HttpResponse(status=401, headers={}, body=json.encode(body))
        return HttpResponse(status=200, headers={}, body=b'{"portalId": 7}')


def refused():
    body = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
    return HttpResponse(status=400, headers={}, body=json.encode(body))


class FreezingStore(Store):
    """
    A store of a process that may fall asleep (and wake up late), or die (and never wake up).

    While it is `refusing`, it raises that error for every write.
    """

    def __init__(self, store):
        self._store = store
        self.awake = asyncio.Event()
        self.awake.set()
        self.refusing = None

    @property
    def is_shared(self):
        return self._store.is_shared

    async def open(self):
        await self._store.open()

    async def close(self):
        await self._store.close()

    async def migrate(self, upgrade):
        return await self._store.migrate(upgrade)

    async def write(self, work):
        await self.awake.wait()
        if self.refusing is not None:
            raise self.refusing
        return await self._store.write(work)

    async def write_each(self, operation, item):
        await self.awake.wait()
        return await self._store.write_each(operation, item)

    async def read(self, query):
        await self.awake.wait()
        return await self._store.read(query)


class Account:
    """A store with one connection, and as many processes on it as a test opens."""

    def __init__(self, path, **options):
        self.ports = seeded_ports(0, None)
        self.vendor = Vendor(self.ports.clock, **options)
        self.path = path
        self.stores = []
        self.id = ""

    async def open(self):
        self.here = await self.process()
        await self.stores[0].migrate(metadata.create_all)
        secrets = {
            "grant": "authorization_code",
            "access_token": "access-0001",
            "refresh_token": "refresh-0001",
            "client_id": "the-client",
            "client_secret": "the-secret",
        }
        now = self.ports.clock.now().timestamp()
        secrets["renew_at"] = str(int((now + self.vendor.life_s * 5 / 6) * 1_000_000))
        secrets["expires_at"] = str(int((now + self.vendor.life_s) * 1_000_000))
        record = await self.here.add(platform="hubspot", business_id="acme", secrets=secrets)
        self.id = record.id
        return self

    async def process(self):
        """Return another process' view of the connections."""
        ports = seeded_ports(len(self.stores) + 1, self.vendor)
        object.__setattr__(ports, "clock", self.ports.clock)
        store = FreezingStore(SqliteStore(self.path, ports))
        await store.open()
        self.stores.append(store)
        return Connections(store, SecretBox(b"k" * 32), ports)

    async def close(self):
        for store in self.stores:
            await store.close()

    async def call(self, connections=None):
        connector = await (connections or self.here).connector(self.id)
        return await connector.identify()

    async def sleep(self, seconds):
        await self.ports.clock.sleep(seconds)

    async def lease(self):
        (row,) = await self.stores[-1].read(lambda tx: tx.rows(sa.select(token_leases)))
        return row

    async def refusal(self):
        return await self.stores[-1].read(lambda tx: load_refusal(tx, self.id))

    async def is_refused(self):
        return await self.stores[-1].read(lambda tx: is_refused(tx, self.id))


@pytest.fixture
def new_account(tmp_path):
    return lambda **options: Account(tmp_path / "app.db", **options)
