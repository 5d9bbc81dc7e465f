"""The inbound half: links, identity, conflicts, deletions, merges, old news."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import sqlalchemy as sa

from dovetail.connector_sdk.record import RemoteRecord
from dovetail.errors import CursorExpiredError
from dovetail.model.integration import SyncError
from dovetail.runtime.store.schema import events
from dovetail.sync.absorb import absorb
from dovetail.sync.schema import sync_links

TWO = (("a", {}), ("b", {}))


async def tell(b, name, *records, read_at=None):
    route = b.engine.plans.spoke(name, "contact")
    return await b.store.write(
        lambda tx: absorb(tx, b.engine._desk, route, records, read_at or b.clock.now())
    )


def seen(b, id, at=0, **fields):
    return RemoteRecord(id=id, fields=fields, modified_at=b.clock.now() + timedelta(seconds=at))


async def event_types(b):
    rows = await b.store.read(lambda tx: tx.rows(sa.select(events).order_by(events.c.seq)))
    return [(row.type, row.source) for row in rows]


async def states(b):
    rows = await b.store.read(lambda tx: tx.rows(sa.select(sync_links)))
    return {row.external_id: row.state for row in rows}


async def test_a_new_record_is_created_here_and_told(bench):
    b = await bench().start(*TWO)

    report = await tell(b, "a", seen(b, "1", First=" Ada ", Email="Ada@X.com"))

    (contact,) = await b.contacts()
    assert (contact.first_name, contact.email) == ("Ada", "ada@x.com")
    assert (report.created, report.linked, report.updated) == (1, 0, 0)
    # What came in untidy goes back tidy; the other side has not been read yet.
    types = await event_types(b)
    assert types == [("contact.created", "sync:a"), ("sync.push", "sync:engine")]
    await b.close()


async def test_an_echo_changes_nothing_and_is_counted(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", First="Ada", Email="ada@x.com"))
    before = await event_types(b)

    report = await tell(b, "a", seen(b, "1", 5, First="Ada", Email="ada@x.com"))

    assert (report.echoes, report.updated) == (1, 0)
    assert await event_types(b) == before
    await b.close()


async def test_history_never_overwrites_what_is_fresher(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", 10, First="New", Email="ada@x.com"))

    await tell(b, "a", seen(b, "1", 5, First="Old", Email="ada@x.com"))

    assert [one.first_name for one in await b.contacts()] == ["New"]
    await b.close()


async def test_records_with_one_natural_key_are_one_record(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", 1, First="Ada", Email="ada@x.com"))

    report = await tell(b, "b", seen(b, "9", 2, First="Augusta", Email=" ADA@x.com", Phone="1"))

    (contact,) = await b.contacts()
    assert (contact.first_name, contact.phone) == ("Augusta", "1")
    assert report.linked == 1
    (conflict,) = await b.all_conflicts()
    assert (conflict.field, conflict.status, conflict.winner) == ("first_name", "resolved", "b")
    assert (conflict.local_data, conflict.external_data) == ("Ada", "Augusta")
    await b.close()


async def test_a_record_made_here_a_moment_ago_is_found_by_its_key(bench):
    b = await bench().start(*TWO)
    id = await b.create(first_name="Ada", email="ada@x.com")

    await tell(b, "a", seen(b, "1", Email="ada@x.com"))

    assert [one.id for one in await b.contacts()] == [id]
    await b.close()


async def test_a_second_record_with_the_key_is_ambiguous_and_reported_once(bench):
    b = await bench().start(*TWO)
    await tell(
        b,
        "a",
        seen(b, "1", First="Ada", Email="a@x.com"),
        seen(b, "2", First="Eve", Email="a@x.com"),
    )
    await tell(b, "a", seen(b, "2", 9, First="Eva", Email="a@x.com"))

    assert [one.first_name for one in await b.contacts()] == ["Ada"]
    assert await states(b) == {"1": "active", "2": "ambiguous"}
    (conflict,) = await b.all_conflicts()
    assert (conflict.kind, conflict.status, conflict.external_id) == (
        "identity",
        "pending-review",
        "2",
    )
    await b.close()


async def test_an_ambiguous_record_that_gets_its_own_key_is_linked_and_its_conflict_closed(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", Email="a@x.com"), seen(b, "2", Email="a@x.com"))

    await tell(b, "a", seen(b, "2", 5, Email="eve@x.com"))

    assert sorted(one.email for one in await b.contacts()) == ["a@x.com", "eve@x.com"]
    assert [one.status for one in await b.all_conflicts()] == ["closed"]
    await b.close()


async def test_a_person_may_keep_an_ambiguous_record_apart(bench):
    b = await bench().start(*TWO)
    await tell(
        b, "a", seen(b, "1", First="A", Email="a@x.com"), seen(b, "2", First="E", Email="a@x.com")
    )
    (conflict,) = await b.engine.list_conflicts("acme")

    await b.engine.resolve_conflict("acme", conflict.id, take="separate")

    assert sorted(one.first_name for one in await b.contacts()) == ["A", "E"]
    assert await b.engine.list_conflicts("acme") == []
    await b.close()


async def test_an_edit_here_that_nobody_has_seen_yet_is_not_lost(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", 0, First="Ada", Phone="1", Email="a@x.com"))
    (contact,) = await b.contacts()
    await b.clock.sleep(60)
    await b.update(contact.id, first_name="Here")

    await tell(b, "a", seen(b, "1", -30, First="There", Phone="2", Email="a@x.com"))

    (contact,) = await b.contacts()
    assert (contact.first_name, contact.phone) == ("Here", "2")
    (conflict,) = await b.all_conflicts()
    assert (conflict.field, conflict.winner) == ("first_name", "internal")
    await b.close()


async def test_review_freezes_one_field_until_a_person_decides(bench):
    b = await bench().start(*TWO, policy="manual-review")
    await tell(b, "a", seen(b, "1", First="Ada", Phone="1", Email="a@x.com"))
    (contact,) = await b.contacts()
    await b.update(contact.id, first_name="Here")
    await tell(b, "a", seen(b, "1", 5, First="There", Phone="2", Email="a@x.com"))
    await tell(b, "a", seen(b, "1", 6, First="Else", Phone="2", Email="a@x.com"))

    (conflict,) = await b.engine.list_conflicts("acme")
    assert (conflict.local_data, conflict.external_data) == ("Here", "There")
    (contact,) = await b.contacts()
    assert (contact.first_name, contact.phone) == ("Here", "2")

    await b.engine.resolve_conflict("acme", conflict.id, take="a")

    (contact,) = await b.contacts()
    assert contact.first_name == "Else"
    assert await b.engine.list_conflicts("acme") == []
    await b.close()


async def test_review_closes_itself_when_the_sides_agree(bench):
    b = await bench().start(*TWO, policy="manual-review")
    await tell(b, "a", seen(b, "1", First="Ada", Email="a@x.com"))
    (contact,) = await b.contacts()
    await b.update(contact.id, first_name="Here")
    await tell(b, "a", seen(b, "1", 5, First="There", Email="a@x.com"))

    await tell(b, "a", seen(b, "1", 6, First="Here", Email="a@x.com"))

    assert [one.status for one in await b.all_conflicts()] == ["closed"]
    await b.close()


async def test_a_deletion_there_is_kept_from_the_others_unless_wanted(bench):
    for deletes, left in (("keep", 1), ("propagate", 0)):
        b = await bench().start(*TWO, deletes=deletes)
        b["a"].add(First="Ada", Email="a@x.com")
        await b.settle()
        assert len(b["b"].rows) == 1

        b["a"].remove(next(iter(b["a"].rows)))
        await b.settle()

        assert (len(b["a"].rows), len(b["b"].rows), len(await b.contacts())) == (0, left, left)
        await b.close()


async def test_an_edit_elsewhere_outlives_a_deletion(bench):
    b = await bench().start(*TWO, deletes="propagate")
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    b["a"].remove(next(iter(b["a"].rows)))
    b["b"].edit(next(iter(b["b"].rows)), Phone="7")
    await b.settle()

    assert [row["Phone"] for row in b["b"].rows.values()] == ["7"]
    assert [one.kind for one in await b.all_conflicts()] == ["delete"]
    await b.close()


async def test_a_record_deleted_here_is_not_made_again_by_its_next_change_there(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    await b.delete((await b.contacts())[0].id)
    await b.settle()
    b["a"].edit(next(iter(b["a"].rows)), Phone="7")
    await b.settle()

    assert await b.contacts() == []
    assert len(b["b"].rows) == 1
    await b.close()


async def test_a_merge_redirects_the_link(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    (loser,) = b["a"].rows
    b["a"].add(First="Ada", Phone="8", Email="ada@y.com")
    (survivor,) = set(b["a"].rows) - {loser}
    b["a"].remove(loser, merged_into=survivor)
    await b.settle()

    assert (await states(b))[loser] == "merged"
    assert len(b["a"].rows) == 1
    assert (await states(b))[survivor] == "active"
    await b.close()


async def test_a_merge_of_two_linked_records_deletes_nothing_and_asks(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    b["a"].add(First="Eve", Email="e@x.com")
    await b.settle()
    survivor, loser = b["a"].rows
    b["a"].remove(loser, merged_into=survivor)
    await b.settle()

    assert len(await b.contacts()) == 2
    assert len(b["b"].rows) == 2
    assert len(b["a"].rows) == 1
    assert [one.kind for one in await b.engine.list_conflicts("acme")] == ["identity"]
    await b.close()


async def test_a_value_that_does_not_fit_is_reported_and_the_rest_synced(bench):
    b = await bench().start(*TWO)

    await tell(b, "a", seen(b, "1", First={"odd": 1}, Last="L", Email="a@x.com"))

    assert [(one.first_name, one.last_name) for one in await b.contacts()] == [(None, "L")]
    assert [one.code for one in await b.all(SyncError)] == ["value-does-not-fit"]
    await b.close()


async def test_a_read_that_may_miss_our_write_is_looked_at_again(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    (contact,) = await b.contacts()
    began = b.clock.now()
    old = b["a"]._record(next(iter(b["a"].rows)))
    await b.update(contact.id, first_name="Here")
    await b.deliver()
    now = b["a"].modified[old.id][1]
    stale = RemoteRecord(id=old.id, fields=old.fields, modified_at=now)

    await tell(b, "a", stale, read_at=began)

    assert [one.first_name for one in await b.contacts()] == ["Here"]
    assert (await event_types(b))[-1][0] == "platform.changed"
    await b.close()


async def test_an_expired_cursor_starts_over(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    read, tried = b["a"].read_page, []

    async def expired_once(resource, fields, cursor):
        tried.append(cursor)
        if cursor is not None and len(tried) == 1:
            raise CursorExpiredError("too old")
        return await read(resource, fields, cursor)

    b["a"].read_page = expired_once
    await b.settle()

    assert tried[0] is not None
    assert tried[1] is None
    assert len(await b.contacts()) == 1
    await b.close()


async def test_inbound_mode_writes_to_nobody(bench):
    b = await bench().start(*TWO, mode="inbound")
    b["a"].add(First=" Ada", Email="a@x.com")
    await b.settle()

    assert len(await b.contacts()) == 1
    assert b["b"].rows == {}
    assert "write" not in b["a"].calls
    await b.close()


async def test_outbound_mode_takes_nothing_over(bench):
    b = await bench().start(*TWO, mode="outbound")
    b["a"].add(First="There", Email="a@x.com")
    await b.create(first_name="Here", email="a@x.com")
    await b.settle()

    assert [one.first_name for one in await b.contacts()] == ["Here"]
    assert b["a"].find(First="Here") == list(b["a"].rows)
    assert len(b["a"].rows) == len(b["b"].rows) == 1
    await b.close()


async def test_a_deletion_found_by_asking_counts_though_the_platform_s_clock_is_ahead(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", 30, First="Ada", Email="a@x.com"))
    now = b.clock.now()

    await tell(b, "a", RemoteRecord(id="1", modified_at=now, deleted=True), read_at=now)
    assert await states(b) == {"1": "gone"}

    await tell(b, "a", seen(b, "1", 30, First="Ada", Email="a@x.com"))
    assert await states(b) == {"1": "gone"}

    await tell(b, "a", seen(b, "1", 31, First="Ada", Email="a@x.com"))
    assert await states(b) == {"1": "active"}
    await b.close()


async def test_a_text_that_no_database_keeps_does_not_stop_its_page(bench):
    b = await bench().start(*TWO)

    await tell(
        b,
        "a",
        seen(b, "1", First="nul\x00", Last="L", Email="a@x.com"),
        seen(b, "2", First="half \ud800", Last="M", Email="b@x.com"),
        seen(b, "3", First="Ada", Email="c@x.com"),
    )

    assert sorted(str(one.first_name) for one in await b.contacts()) == ["Ada", "None", "None"]
    assert len(await b.all(SyncError)) == 2
    await b.close()


async def test_a_record_that_was_merged_into_nothing_is_alive(bench):
    b = await bench().start(*TWO)
    await tell(b, "a", seen(b, "1", First="Ada", Email="ada@x.com"))
    later = seen(b, "1", at=5, First="Ada", Email="ada@x.com", Phone="5")
    await tell(b, "a", msgspec.structs.replace(later, merged_into=""))

    assert await states(b) == {"1": "active"}
    assert [one.phone for one in await b.contacts()] == ["5"]
    await b.close()
