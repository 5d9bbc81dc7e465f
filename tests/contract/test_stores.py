"""Every store passes one contract."""

import random
from typing import Any

import pytest

from dovetail.core.clock import LoopClock
from dovetail.core.ids import SeededIds
from dovetail.core.ports import InlineExecutor, Ports, ThreadExecutor
from dovetail.runtime.store.schema import metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.store_contract import StoreContract


def make_ports(new_executor: Any) -> Ports:
    clock = LoopClock()
    return Ports(
        clock=clock,
        ids=SeededIds(clock, random.Random(1)),
        rng=random.Random(1),
        transport=AsgiTransport(),
        new_executor=new_executor,
    )


class SqliteContract(StoreContract):
    async def prepare(self, store):
        await store.migrate(metadata.create_all)


class TestSqliteFile(SqliteContract):
    def make_store(self, place):
        return SqliteStore(place / "dovetail.db", make_ports(lambda name: InlineExecutor()))


@pytest.mark.real_time
class TestSqliteFileOnThreads(SqliteContract):
    def make_store(self, place):
        return SqliteStore(place / "dovetail.db", make_ports(ThreadExecutor))


class TestSqliteMemory(SqliteContract):
    is_durable = False

    def make_store(self, place):
        return SqliteStore(":memory:", make_ports(lambda name: InlineExecutor()))


@pytest.mark.real_time
class TestSqliteMemoryOnThreads(SqliteContract):
    is_durable = False

    def make_store(self, place):
        return SqliteStore(":memory:", make_ports(ThreadExecutor))
