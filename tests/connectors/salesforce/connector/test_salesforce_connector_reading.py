"""The Salesforce connector reads changes, by id, by value, and what lost creates made."""

from datetime import UTC, datetime, timedelta

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.connectors.salesforce.value import long_id
from dovetail.core import json
from dovetail.errors import (
    UnsupportedCapabilityError,
)

DATA = "/services/data/v60.0"
COLLECTION = f"{DATA}/composite/sobjects"
CONTACTS = Salesforce.resource("contacts")
FIELDS = ("LastName", "Email")
SINCE = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)
NO_JOBS = {"records": [], "done": True}


def id_of(number):
    return f"0035e{number:010d}AAA"


def create(key, **fields):
    return Write(action="create", key=key, fields={"LastName": "Byron", **fields})


def errors(code, message="no", **more):
    return [{"message": message, "errorCode": code, **more}]


# --- reading changes


async def test_the_first_reading_asks_for_everything_and_tells_the_total(
    salesforce, script, row, page
):
    script.then(page(row(1, 5), row(2, 9), total=2))

    read = await salesforce.read_page(CONTACTS, FIELDS, None)

    assert script.soql() == (
        "SELECT Id,IsDeleted,MasterRecordId,CreatedDate,SystemModstamp,LastName,Email FROM Contact "
        "ORDER BY SystemModstamp ASC, Id ASC"
    )
    assert [record.id for record in read.records] == [id_of(1), id_of(2)]
    assert read.records[0].fields == {"LastName": "Byron", "Email": "p1@example.com"}
    assert read.records[0].modified_at == SINCE + timedelta(seconds=5)
    assert read.records[0].created_at == SINCE
    assert (read.more, read.total) == (False, 2)
    assert read.cursor["watermark"] == "2026-03-01T15:00:09.000Z"


async def test_the_overlap_is_asked_for_again_but_only_what_changed_is_returned(
    salesforce, script, row, page
):
    script.then(page(row(1, 100), row(2, 130)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(page(row(3, 90), row(1, 100), row(2, 131)))

    second = await salesforce.read_page(CONTACTS, FIELDS, json.decode(json.encode(first.cursor)))

    assert "WHERE SystemModstamp >= 2026-03-01T15:01:10.000Z ORDER" in script.soql()
    assert [record.id for record in second.records] == [id_of(3), id_of(2)]


async def test_a_second_edit_within_the_second_of_a_reading_is_not_taken_for_seen(
    salesforce, script, row, page
):
    script.then(page(row(1, 100)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(page({**row(1, 100), "LastName": "Lovelace"}))

    second = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert [record.fields["LastName"] for record in second.records] == ["Lovelace"]


async def test_a_quiet_org_keeps_its_watermark(salesforce, script, page):
    cursor = salesforce.cursor_at(CONTACTS, SINCE)
    script.then(page())

    read = await salesforce.read_page(CONTACTS, FIELDS, cursor)

    assert "SystemModstamp >= 2026-03-01T14:59:00.000Z" in script.soql()
    assert read.cursor == cursor


async def test_what_was_seen_is_kept_for_the_overlap_alone(salesforce, script, row, page):
    script.then(page(row(1, 10), row(2, 100), row(3, 140)))

    read = await salesforce.read_page(CONTACTS, FIELDS, None)

    assert set(read.cursor["seen"]) == {id_of(2), id_of(3)}


async def test_deleted_and_merged_rows_are_tombstones(salesforce, script, row, page):
    script.then(page(row(1, IsDeleted=True), row(2, IsDeleted=True, MasterRecordId=id_of(9))))

    gone, merged = (await salesforce.read_page(CONTACTS, FIELDS, None)).records

    assert (gone.deleted, gone.merged_into) == (True, None)
    assert (merged.deleted, merged.merged_into) == (True, id_of(9))


async def test_pages_are_followed_by_their_locator(salesforce, script, row, page):
    locator = f"{DATA}/query/0r8xx-2000"
    script.then(page(row(1, 1), locator=locator, total=2)).then(page(row(2, 2)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(page(row(2, 2), total=2))

    last = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert (first.more, last.more) == (True, False)
    assert script.path() == locator
    assert last.cursor["locator"] is None


async def test_a_row_that_changes_between_pages_does_not_move_the_watermark(
    salesforce, script, row, page
):
    script.then(page(row(1, 1), locator=f"{DATA}/query/0r8xx-1")).then(page(row(3, 200)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    # Row 2 was touched after the query began; others may have been, too, that it does not have.
    script.then(page(row(2, 900), row(3, 200)))

    last = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert [record.id for record in last.records] == [id_of(2), id_of(3)]
    assert last.cursor["watermark"] == "2026-03-01T15:03:20.000Z"


@pytest.mark.parametrize("status", [400, 404])
async def test_after_a_locator_has_expired_it_goes_on_where_it_was(
    salesforce, script, status, row, page
):
    script.then(page(row(1, 90), row(2, 100), locator=f"{DATA}/query/0r8xx-2")).then(
        page(row(9, 300))
    )
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(errors("INVALID_QUERY_LOCATOR", "invalid query locator"), status)
    script.then(page(row(1, 90), row(2, 100), row(3, 101)))

    second = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert "WHERE SystemModstamp >= 2026-03-01T15:00:40.000Z" in script.soql()
    assert [record.id for record in second.records] == [id_of(3)]


async def test_more_fields_than_an_address_holds_are_read_by_id(salesforce, script, row, page):
    wide = [f"Field_with_a_name_that_is_long_{number:04d}__c" for number in range(400)]
    script.then(page(row(1), row(2, IsDeleted=True)))
    script.then([row(1, **dict.fromkeys(wide, "x"))])

    read = await salesforce.read_page(CONTACTS, wide, None)

    assert len(script.asked[0].url) < 16_000
    assert script.body()["ids"] == [id_of(1)]
    assert read.records[0].fields[wide[-1]] == "x"
    assert read.records[1].deleted


# --- reading by id and by value


async def test_missing_and_deleted_rows_are_none_and_2000_ids_make_a_call(
    salesforce, script, row, page
):
    ids = [id_of(number) for number in range(2001)]
    script.then([row(0), None, row(2, IsDeleted=True), *[row(n) for n in range(3, 2000)]])
    script.then([row(2000)]).then(page())

    found = await salesforce.read_many(CONTACTS, ids, FIELDS)

    assert [len(script.body(number)["ids"]) for number in (0, 1)] == [2000, 1]
    assert script.path(1) == f"{COLLECTION}/Contact"
    assert "MasterRecordId != null" in script.soql()
    assert found[1] is None
    assert found[2] is None
    assert found[2000].id == id_of(2000)
    assert found[0].id == id_of(0)


async def test_what_cannot_be_an_id_is_not_asked_for(salesforce, script):
    assert await salesforce.read_many(CONTACTS, ["x'y", ""], FIELDS) == [None, None]
    assert not script.asked


@pytest.mark.parametrize(
    ("short", "long"),
    [("0035e00000AbCdE", "0035e00000AbCdEAAV"), ("001A0000006Vm9r", "001A0000006Vm9rIAC")],
)
def test_a_short_id_is_completed(short, long):
    assert long_id(short) == long
    assert long_id(long) == long


async def test_winners_on_a_later_page_are_found_too(salesforce, script, row, page):
    losers = [{"Id": id_of(n), "MasterRecordId": id_of(9)} for n in (1, 2)]
    script.then([])
    script.then(page(losers[0], locator=f"{DATA}/query/01g1-2000", total=2)).then(page(losers[1]))
    script.then(page())  # the winner was not merged itself
    script.then([row(9)])

    found = await salesforce.read_many(CONTACTS, [id_of(1), id_of(2)], FIELDS)

    assert [one and one.id for one in found] == [id_of(9), id_of(9)]


async def test_values_are_escaped_and_matched_whatever_their_case(salesforce, script, row, page):
    script.then(
        page(row(1, Email="ADA.O'NEIL@example.com"), row(2, Email="ada.o'neil@example.com"))
    )

    found = await salesforce.find_many(
        CONTACTS, "Email", [" Ada.O'Neil@example.com", "b\\@x.io", ""], FIELDS
    )

    assert r"Email IN ('ada.o\'neil@example.com','b\\@x.io')" in script.soql()
    assert script.path() == f"{DATA}/query"
    assert [one.id for one in found.pop(" Ada.O'Neil@example.com")] == [id_of(1), id_of(2)]
    assert not found


async def test_many_values_are_asked_in_addresses_that_salesforce_takes(
    salesforce, script, row, page
):
    values = [f"someone+{'x' * 40}{number}@example.com" for number in range(1000)]
    for number in range(7):
        script.then(page(row(number, Email=values[number * 140])))

    found = await salesforce.find_many(CONTACTS, "Email", values, FIELDS)

    assert all(len(request.url) < 16_000 for request in script.asked)
    asked = [part for n in range(len(script.asked)) for part in script.soql(n).split("'")[1::2]]
    assert asked == values
    assert len(found) == len(script.asked)


async def test_a_field_that_is_no_name_is_refused_before_any_call(salesforce, script):
    with pytest.raises(UnsupportedCapabilityError, match="cannot be a field"):
        await salesforce.find_many(CONTACTS, "Id != null OR Name", ["x"], FIELDS)
    assert not script.asked


# --- lost creates


async def test_lost_creates_are_looked_up_by_what_they_sent(salesforce, script, row, page):
    named = Write(action="create", key="n", fields={"LastName": "O'Neil", "Phone": "12"})
    bare = Write(action="create", key="x", fields={"FirstName": "Ada"})
    script.then(NO_JOBS)
    script.then(
        page(
            row(1, Email="ADA@example.com", FirstName=None, Phone=None),
            row(2, Email=None, LastName="O'Neil", FirstName=None, Phone="12"),
        )
    )

    found = await salesforce.look_up(
        CONTACTS, [create("e", Email="ada@example.com"), named, bare], SINCE, FIELDS
    )

    assert (
        "WHERE CreatedDate >= 2026-03-01T14:55:00.000Z AND (Email = 'ada@example.com' OR "
        r"(LastName = 'O\'Neil' AND FirstName = null AND Phone = '12'))"
    ) in script.soql()
    assert [one and one.id for one in found] == [id_of(1), id_of(2), None]


async def test_a_found_record_serves_one_create_the_one_that_it_resembles_most(
    salesforce, script, row, page
):
    shared = {"Email": "info@example.com"}
    creates = [
        Write(action="create", key=name, fields={"LastName": name, **shared})
        for name in ("Byron", "Ohm", "Third")
    ]
    script.then(NO_JOBS)
    script.then(page(row(1, **shared, LastName="Ohm"), row(2, **shared, LastName="Byron")))

    found = await salesforce.look_up(CONTACTS, creates, SINCE, FIELDS)

    assert [one and one.id for one in found] == [id_of(2), id_of(1), None]
