"""A database of every earlier version, with work in it, goes on here; odd ones are refused."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import dovetail.app
from dovetail import Event, on
from dovetail.app.schema import HEAD, current_revision, upgrade
from dovetail.core.clock import to_micros
from dovetail.errors import EnvironmentInUseError
from dovetail.runtime.history import count_by_status, list_events
from dovetail.runtime.runs import show_run
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import START, running_app, seeded_ports

FOLDER = Path(dovetail.app.__file__).parent / "migrations"
EARLIER = sorted(path.name[:4] for path in (FOLDER / "versions").glob("0*.py"))[:-1]
THEN = to_micros(START) - 60_000_000

DATA = f"""
INSERT INTO events VALUES (1, 'e1', 'thing.happened', 'a', 'acme', 'test', '{{"n": 1}}', {THEN}, x'ff00', 'text/plain', NULL);
INSERT INTO events VALUES (2, 'e2', 'thing.happened', 'b', 'acme', 'test', '{{"n": 2}}', {THEN}, NULL, NULL, 'e1');
INSERT INTO events VALUES (3, 'e3', 'thing.happened', 'c', 'acme', 'test', '{{"n": 3}}', {THEN}, NULL, NULL, NULL);
INSERT INTO deliveries VALUES (1, 1, 'HANDLER', 'acme', 1, 0, {THEN}, {THEN}, NULL, NULL);
INSERT INTO deliveries VALUES (2, 2, 'HANDLER', 'acme', 0, 0, {THEN}, NULL, NULL, NULL);
INSERT INTO deliveries VALUES (3, 3, 'HANDLER', 'acme', 3, 2, {THEN}, {THEN}, '{{"code": "permanent", "message": "no"}}', '[{{"at": {THEN}, "code": "permanent", "message": "no"}}]');
INSERT INTO steps VALUES (1, 'look', 0, 'h0', '1', {THEN});
INSERT INTO steps VALUES (1, 'look', 1, 'h1', '2', {THEN + 1});
INSERT INTO steps VALUES (3, 'charge', 0, 'h2', '"ch_1"', {THEN});
INSERT INTO sequences VALUES ('events', 4);
INSERT INTO sequences VALUES ('deliveries', 4);
INSERT INTO records VALUES ('contact', 'acme', 'c1', 3, {THEN}, {THEN}, '{{"first_name": "Ada"}}');
INSERT INTO schedules VALUES ('tick', {THEN});
INSERT INTO budgets VALUES ('hubspot:1', '{{}}');
INSERT INTO credentials VALUES ('k1', x'00', {THEN});
INSERT INTO sync_links (connection_id, entity, external_id, integration_id, business_id, state, updated_at) VALUES ('k1', 'contact', '7', 'i1', 'acme', 'linked', {THEN});
"""  # noqa: E501, S608 - rows read best in one line; they are our own

seen: list[str] = []


@on("thing.happened")
async def handle(event: Event) -> None:
    seen.append(event.key)


def migrate_to(revision):
    def work(connection):
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        if revision < HEAD and current_revision(connection) == HEAD:
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)

    return work


async def opened(path):
    store = SqliteStore(path, seeded_ports())
    await store.open()
    return store


async def handler_name():
    async with running_app(handle, schedules=False) as app:
        return app.program.handlers[0].name


async def made_by(revision, path):
    """Make a database as the version of that revision left it, with work in it."""
    name = await handler_name()
    store = await opened(path)
    await store.migrate(migrate_to(revision))

    def fill(tx):
        for line in DATA.replace("HANDLER", name).strip().splitlines():
            tx.run(sa.text(line.replace(":", "\\:")))

    await store.write(fill)
    await store.close()


async def counts(store):
    def read(tx):
        names = [
            row.name
            for row in tx.rows(
                sa.text("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            )
        ]
        return {
            name: tx.scalar(sa.select(sa.func.count()).select_from(sa.table(name)))
            for name in names
        }

    return await store.read(read)


@pytest.mark.parametrize("revision", EARLIER)
async def test_nothing_is_lost_and_what_was_open_is_run(tmp_path, revision):
    path = tmp_path / "app.db"
    await made_by(revision, path)
    store = await opened(path)
    before = await counts(store)
    await store.close()
    seen.clear()

    async with running_app(handle, database=path, schedules=False) as app:
        await app.runtime.wait_idle()
        after = await counts(app.store)
        assert await app.store.read(current_revision_of) == HEAD
        assert {name: after[name] for name in before} == before
        assert await app.store.read(count_by_status) == {"done": 2, "dead": 1}
        found = await app.store.read(list_events)
        dead = await app.store.read(lambda tx: show_run(tx, 3))
        done = await app.store.read(lambda tx: show_run(tx, 1))

    assert seen == ["b"]
    assert [(one.id, one.raw, one.caused_by) for one in found] == [
        ("e1", b"\xff\x00", None), ("e2", None, "e1"), ("e3", None, None)
    ]  # fmt: skip
    assert [(one.name, one.result) for one in dead.journal] == [("charge", "ch_1")]
    assert [(one.name, one.repeat, one.result) for one in done.journal] == [
        ("look", 0, 1), ("look", 1, 2)
    ]  # fmt: skip
    assert dead.attempts[0].code == "permanent"


def current_revision_of(tx):
    return str(tx.scalar(sa.text("SELECT version_num FROM alembic_version")))


@pytest.mark.parametrize("revision", EARLIER)
async def test_down_and_up_again_keeps_what_the_older_version_knows(tmp_path, revision):
    path = tmp_path / "app.db"
    await made_by(revision, path)
    store = await opened(path)
    before = await counts(store)
    await store.migrate(upgrade)

    await store.migrate(migrate_to(revision))
    assert await counts(store) == before
    assert await store.migrate(upgrade) == revision
    await store.close()


@pytest.mark.parametrize("odd", ["0000", "abcd", "9999", ""])
async def test_a_schema_that_this_version_does_not_know_is_refused_and_left_alone(tmp_path, odd):
    store = await opened(tmp_path / "app.db")
    await store.migrate(upgrade)
    await store.write(
        lambda tx: tx.run(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": odd})
    )
    before = await counts(store)

    with pytest.raises(EnvironmentInUseError, match=r"Upgrade Dovetail|not one of"):
        await store.migrate(upgrade)
    assert await counts(store) == before
    await store.close()
