"""Statements that are run on sqlite3 itself: the same rows and errors as through SQLAlchemy."""

import asyncio

import pytest
import sqlalchemy as sa

from dovetail.errors import StoreError
from dovetail.runtime.store.port import RowStatement, Tx
from dovetail.runtime.store.schema import events, metadata, sequences
from dovetail.runtime.store.sqlite import SqliteStore, SqliteTx
from dovetail.testing.app import seeded_ports

NAMES = [column.name for column in events.columns]
INSERT = RowStatement(sa.insert(events), *NAMES)
ROW = {
    "seq": 1,
    "id": "e1",
    "type": "thing.happened",
    "key": "ключ",
    "business_id": "acme",
    "source": "test",
    "payload": b'{"n":1}',
    "occurred_at": 2**53,
    "raw": None,
    "raw_type": None,
    "caused_by": None,
}


async def opened():
    made = SqliteStore(":memory:", seeded_ports())
    await made.open()
    await made.migrate(metadata.create_all)
    return made


async def test_rows_are_those_that_were_given():
    store = await opened()

    await store.write(lambda tx: tx.run_rows(INSERT, [ROW, ROW | {"seq": 2, "id": "e2"}]))

    found = await store.read(lambda tx: tx.rows(sa.select(events).order_by(events.c.seq)))
    assert [row._asdict() for row in found] == [ROW, ROW | {"seq": 2, "id": "e2"}]
    await store.close()


@pytest.mark.parametrize("count", [3, 4, 63, 64, 65, 211])
async def test_rows_that_go_together_are_all_there_in_their_order(count):
    store = await opened()
    given = [ROW | {"seq": n, "id": f"e{n}", "payload": b"%d" % n} for n in range(1, count + 1)]

    await store.write(lambda tx: tx.run_rows(INSERT, given))

    found = await store.read(lambda tx: tx.rows(sa.select(events).order_by(events.c.seq)))
    assert [row._asdict() for row in found] == given
    await store.close()


@pytest.mark.parametrize("through", [SqliteTx.set_many, Tx.set_many])
async def test_many_rows_are_given_the_same_values(through):
    store = await opened()
    given = [ROW | {"seq": n, "id": f"e{n}"} for n in range(1, 1_500)]
    await store.write(lambda tx: tx.run_rows(INSERT, given))
    wanted, values = list(range(2, 1_200)), {"raw": b"\x00", "key": "o'ther"}

    await store.write(lambda tx: through(tx, events.c.seq, wanted, values))
    await store.write(lambda tx: through(tx, events.c.seq, [], {"key": "never"}))

    found = await store.read(lambda tx: tx.rows(sa.select(events)))
    changed = {row.seq for row in found if (row.raw, row.key) == (b"\x00", "o'ther")}
    assert changed == set(wanted)
    assert {row.key for row in found if row.seq not in changed} == {"ключ"}
    await store.close()


async def test_an_update_finds_its_parameters_by_name():
    store = await opened()
    update = RowStatement(
        sa.update(sequences)
        .where(sequences.c.name == sa.bindparam("wanted"))
        .values(next=sa.bindparam("to")),
        "wanted",
        "to",
    )
    await store.write(lambda tx: tx.allocate("a", 5))

    await store.write(lambda tx: tx.run_rows(update, [{"to": 9, "wanted": "a"}]))

    assert await store.write(lambda tx: tx.allocate("a", 1)) == 9
    await store.close()


async def test_a_row_that_breaks_a_rule_is_an_integrity_error_and_leaves_nothing():
    store = await opened()

    with pytest.raises(sa.exc.IntegrityError):
        await store.write(lambda tx: tx.run_rows(INSERT, [ROW, ROW | {"seq": 2}]))

    assert not await store.read(lambda tx: tx.rows(sa.select(events)))
    await store.close()


async def test_a_table_that_is_missing_is_a_store_error():
    store = SqliteStore(":memory:", seeded_ports())
    await store.open()

    with pytest.raises(StoreError, match="no such table"):
        await store.write(lambda tx: tx.run_rows(INSERT, [ROW]))
    await store.close()


async def test_a_statement_with_values_to_convert_is_refused():
    store = await opened()
    table = sa.Table("flags", sa.MetaData(), sa.Column("on", sa.Boolean))
    statement = RowStatement(sa.insert(table), "on")

    with pytest.raises(TypeError, match="on"):
        await store.write(lambda tx: tx.run_rows(statement, [{"on": True}]))
    await store.close()


async def test_known_values_are_found_among_many():
    store = await opened()
    await store.write(lambda tx: tx.run_rows(INSERT, [ROW, ROW | {"seq": 2, "id": 'a "b"'}]))
    asked = ["e1", 'a "b"', *(f"other{number}" for number in range(2_000))]

    assert await store.read(lambda tx: tx.known(events.c.id, asked)) == {"e1", 'a "b"'}
    assert await store.read(lambda tx: tx.known(events.c.id, [])) == set()
    await store.close()


async def test_items_of_one_operation_go_together_though_others_came_in_between():
    store = await opened()
    lists = []

    def first(tx, items):
        lists.append(("first", items))
        return [item * 10 for item in items]

    def second(tx, items):
        lists.append(("second", items))
        return [item * 100 for item in items]

    works = [
        store.group.submit(first if number % 2 else second, number, is_item=True)
        for number in range(6)
    ]
    values = await asyncio.gather(*works)

    assert lists == [("second", [0, 2, 4]), ("first", [1, 3, 5])]
    assert values == [0, 10, 200, 30, 400, 50]
    await store.close()
