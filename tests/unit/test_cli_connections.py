"""``dovetail connect --list``: which connections work, and why others do not."""

import json

from dovetail.app.app import App
from dovetail.cli.main import run
from dovetail.core.settings import Settings
from dovetail.model.integration import Connection
from dovetail.runtime.record_table import insert_record
from dovetail.runtime.refusal import clear_refused, mark_refused
from dovetail.testing.app import seeded_ports
from dovetail.testing.loop import run as run_async


def change(database, work):
    async def main():
        app = App(settings=Settings(database=database), ports=seeded_ports())
        async with app:
            await app.store.write(lambda tx: work(tx, app.ports.clock.now()))

    run_async(main())


def listed(capsys, database):
    assert run(["connect", "--list", "--database", str(database), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["connections"]
    return one["status"], one["reason"]


def test_a_refused_connection_is_listed_with_the_reason(tmp_path, capsys):
    database = tmp_path / "app.db"
    record = Connection(id="c-1", business_id="acme", platform="hubspot", status="active")
    change(database, lambda tx, now: insert_record(tx, record, now))
    assert listed(capsys, database) == ("active", None)

    change(database, lambda tx, now: mark_refused(tx, "c-1", "the app was removed", now))
    assert listed(capsys, database) == ("refused", "the app was removed")

    change(database, lambda tx, now: clear_refused(tx, "c-1", now))
    assert listed(capsys, database) == ("active", None)
