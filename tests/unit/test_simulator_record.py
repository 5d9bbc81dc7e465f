from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dovetail.simulator_sdk.record import Table, TimeIndex
from dovetail.simulator_sdk.replica import Replica

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def table_of(*emails, **options):
    table = Table("contacts", indexed=("email",), **options)
    for number, email in enumerate(emails):
        table.insert(str(number), {"email": email}, at=at(number))
    return table


def test_records_keep_the_order_of_insertion_and_deleted_ones_are_hidden():
    table = table_of("a", "b", "c")
    table.delete("1", at=at(9))

    assert [record.id for record in table] == ["0", "2"]
    assert [record.id for record in table.scan()] == ["0", "1", "2"]
    assert [record.id for record in table.scan(start=1)] == ["1", "2"]
    assert len(table) == 2
    assert table.live("1") is None
    assert table.get("1").deleted


def test_an_id_is_used_once():
    with pytest.raises(ValueError, match="contacts already has 0"):
        table_of("a").insert("0", {}, at=START)


def test_an_index_follows_changes_deletions_and_restoring():
    table = table_of("a", "a", "b")
    table.update("0", {"email": "b"}, at=at(5))
    assert [record.id for record in table.find("email", "a")] == ["1"]
    assert [record.id for record in table.find("email", "b")] == ["2", "0"]
    table.delete("1", at=at(6))
    assert table.find("email", "a") == []
    table.restore("1", at=at(7))
    assert [record.id for record in table.find("email", "a")] == ["1"]
    assert len(table) == 3


def test_a_later_index_knows_earlier_records():
    table = Table("contacts")
    table.insert("0", {"key": "k"}, at=START)
    table.add_index("key")

    assert [record.id for record in table.find("key", "k")] == ["0"]


def test_modification_moves_a_record_in_time():
    table = table_of("a", "b", "c")
    table.update("0", {"email": "z"}, at=at(10))

    assert list(table.modified.ids()) == ["1", "2", "0"]
    assert list(table.modified.ids(since=at(2))) == ["2", "0"]
    assert list(table.modified.ids(since=at(2), until=at(2))) == ["2"]


def test_history_is_newest_first_bounded_and_skips_what_did_not_change():
    table = table_of("a", history=2)
    for second, email in ((1, "b"), (2, "b"), (3, "c")):
        table.update("0", {"email": email}, at=at(second), source="UI")

    versions = table.get("0").history["email"]
    assert [(version.value, version.at) for version in versions] == [("c", at(3)), ("b", at(1))]


def test_a_time_index_forgets():
    index = TimeIndex()
    index.put("a", at(1), 1)
    index.put("b", at(1), 0)
    index.discard("a")
    index.discard("unknown")

    assert list(index.ids()) == ["b"]


def test_a_replica_shows_what_is_old_enough_and_never_goes_back():
    table, replica = table_of("a"), Replica()
    record = table.get("0")
    replica.put(record, at=at(0))
    replica.catch_up(now=at(4), lag_s=5)
    assert replica.get("0") is None
    replica.catch_up(now=at(5), lag_s=5)
    assert replica.get("0").fields == {"email": "a"}

    table.update("0", {"email": "b"}, at=at(6))
    replica.put(record, at=at(6))
    replica.catch_up(now=at(7), lag_s=5)
    assert replica.get("0").fields == {"email": "a"}
    replica.catch_up(now=at(7), lag_s=1)
    replica.catch_up(now=at(7), lag_s=60)
    assert replica.get("0").fields == {"email": "b"}
    table.delete("0", at=at(8))
    replica.put(record, at=at(8))
    replica.catch_up(now=at(9), lag_s=1)
    assert len(replica) == 0
    assert replica.all() == []
