"""Reading contacts, against scripted answers in the words of HubSpot's documentation."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import (
    UnsupportedCapabilityError,
)

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CONTACTS = HubSpot.resource("contacts")
OBJECTS = "/crm/v3/objects/contacts"
KEY = ("GET", "/crm/v3/properties/contacts/dovetail_id")
FIELDS = ("email", "firstname")
FIRSTNAME = ("GET", "/crm/v3/properties/contacts/firstname")


async def test_the_first_read_is_a_scan_and_then_what_changed_during_it(hub):
    old = START - timedelta(days=9)
    hubspot, script = hub.connect(
        hub.listing([hub.contact(1, old)], after="2"),
        hub.listing([hub.contact(2, old)]),
        hub.search([hub.contact(1, START + timedelta(seconds=5))]),
    )

    first = await hubspot.read_page(CONTACTS, FIELDS, None)
    await hubspot.api.clock.sleep(3600)
    second = await hubspot.read_page(CONTACTS, FIELDS, first.cursor)
    third = await hubspot.read_page(CONTACTS, FIELDS, second.cursor)

    assert [page.more for page in (first, second, third)] == [True, True, False]
    assert [[r.id for r in page.records] for page in (first, second, third)] == [
        ["1"],
        ["2"],
        ["1"],
    ]
    assert "after=2" in script.requests[1].url
    # From the START of the scan, less the lag; not from its end an hour later.
    since = str(hub.ms(START - timedelta(seconds=60)))
    assert hub.filters(script.bodies[2]) == [("lastmodifieddate", "GTE", since)]
    assert third.records[0].fields == {"email": "c1@example.com", "firstname": "Ada"}
    assert json.loads(json.dumps(third.cursor)) == third.cursor


async def after_scan(hub, *steps, items=()):
    hubspot, script = hub.connect(hub.listing(list(items)), *steps)
    page = await hubspot.read_page(CONTACTS, FIELDS, None)
    return hubspot, script, page.cursor


async def test_what_did_not_change_is_not_told_again_in_the_overlap(hub):
    at = START + timedelta(seconds=10)
    changed = hub.contact(1, at + timedelta(seconds=1))
    hubspot, _, cursor = await after_scan(
        hub,
        hub.search([hub.contact(1, at)]),
        hub.search([hub.contact(1, at)]),
        hub.search([changed]),
    )

    told = []
    for _ in range(3):
        page = await hubspot.read_page(CONTACTS, FIELDS, cursor)
        cursor = page.cursor
        told.append([record.modified_at for record in page.records])

    assert told == [[at], [], [at + timedelta(seconds=1)]]


async def test_a_full_page_goes_on_from_its_last_time_and_never_by_offset(hub):
    hour = START + timedelta(hours=1)
    hubspot, script, cursor = await after_scan(
        hub,
        hub.search([hub.contact(1, START), hub.contact(2, hour)], more=True),
        hub.search([hub.contact(2, hour), hub.contact(3, hour + timedelta(seconds=1))]),
    )
    first = await hubspot.read_page(CONTACTS, FIELDS, cursor)
    second = await hubspot.read_page(CONTACTS, FIELDS, first.cursor)

    assert hub.filters(script.bodies[2]) == [("lastmodifieddate", "GTE", str(hub.ms(hour)))]
    assert all("after" not in body for body in script.bodies[1:])
    assert [record.id for record in second.records] == ["3"]
    assert (first.more, second.more) == (True, False)


async def test_a_crowded_millisecond_is_paged_by_id(hub):
    hour = START + timedelta(hours=1)
    hubspot, script, cursor = await after_scan(
        hub,
        hub.search([hub.contact(8, hour), hub.contact(9, hour)], more=True),
        hub.search([hub.contact(8, hour), hub.contact(9, hour)], more=True),
        hub.search([hub.contact(3, hour), hub.contact(8, hour)], more=True),
        hub.search([hub.contact(11, hour)]),
        hub.search([]),
    )

    told = []
    for _ in range(5):
        page = await hubspot.read_page(CONTACTS, FIELDS, cursor)
        cursor = page.cursor
        told += [record.id for record in page.records]

    at = str(hub.ms(hour))
    assert sorted(told) == ["11", "3", "8", "9"]
    assert hub.filters(script.bodies[3]) == [
        ("lastmodifieddate", "EQ", at),
        ("hs_object_id", "GT", "0"),
    ]
    assert hub.filters(script.bodies[4])[1] == ("hs_object_id", "GT", "8")
    assert hub.filters(script.bodies[5]) == [("lastmodifieddate", "GTE", str(hub.ms(hour) + 1))]
    assert not page.more


async def test_a_late_entry_in_the_index_is_still_found(hub):
    """What was written within one lag before the round began may appear behind what was read."""
    hubspot, script, cursor = await after_scan(
        hub,
        hub.search([hub.contact(1, START + timedelta(seconds=90))]),
        hub.search([]),
        hub.search([]),
    )
    await hubspot.api.clock.sleep(100)
    for _ in range(3):
        cursor = (await hubspot.read_page(CONTACTS, FIELDS, cursor)).cursor

    # The round that began with the scan covers no more than the scan's start.
    assert hub.filters(script.bodies[2])[0][2] == str(hub.ms(START - timedelta(seconds=60)))
    assert hub.filters(script.bodies[3])[0][2] == str(hub.ms(START + timedelta(seconds=30)))


async def test_a_merge_seen_while_reading_redirects_the_old_id(hub):
    hubspot, _ = hub.connect(hub.listing([hub.contact(7, hs_merged_object_ids="3;7")]))

    page = await hubspot.read_page(CONTACTS, FIELDS, None)

    assert [(record.id, record.merged_into) for record in page.records] == [("7", None), ("3", "7")]


async def test_many_fields_are_read_in_batches_instead_of_a_long_search(hub):
    wide = [f"a_property_with_a_long_name_{number}" for number in range(100)]
    hubspot, script, cursor = await after_scan(
        hub,
        hub.search([hub.contact(1, START)]),
        hub.batch("read", [hub.contact(1, START, **{wide[0]: "x"})]),
        ("GET", "/crm/v3/properties/contacts", 200, {"results": []}),
    )

    page = await hubspot.read_page(CONTACTS, wide, cursor)

    assert page.records[0].fields[wide[0]] == "x"
    assert len(script.requests[1].body) < 3000


async def test_records_come_in_the_order_asked_and_the_missing_are_none(hub):
    missing = {"category": "OBJECT_NOT_FOUND", "message": "…", "context": {"ids": ["9"]}}
    hubspot, script = hub.connect(
        hub.batch("read", [hub.contact(2), hub.contact(1, firstname="")], errors=[missing])
    )

    found = await hubspot.read_many(CONTACTS, ["1", "9", "2", "1"], FIELDS)

    assert [record and record.id for record in found] == ["1", None, "2", "1"]
    assert found[0].fields["firstname"] is None
    assert script.bodies[0]["inputs"] == [{"id": "1"}, {"id": "9"}, {"id": "2"}]


async def test_an_old_id_tells_the_contact_that_it_was_merged_into(hub):
    hubspot, _ = hub.connect(
        hub.batch("read", [hub.contact(7, hs_merged_object_ids="3"), hub.contact(8)]),
        ("GET", f"{OBJECTS}/4", 200, hub.contact(8)),
        ("GET", f"{OBJECTS}/5", 404, {"status": "error", "message": "resource not found"}),
    )

    found = await hubspot.read_many(CONTACTS, ["3", "4", "5", "8"], FIELDS)

    told = [record and (record.id, record.merged_into) for record in found]
    assert told == [("3", "7"), ("4", "8"), None, ("8", None)]


async def test_more_than_a_hundred_are_read_in_several_calls(hub):
    ids = [str(number) for number in range(1, 251)]
    calls = [
        hub.batch("read", [hub.contact(id) for id in ids[at : at + 100]]) for at in (0, 100, 200)
    ]
    hubspot, script = hub.connect(*calls)

    found = await hubspot.read_many(CONTACTS, ids, FIELDS)

    assert [record.id for record in found] == ids
    assert [len(body["inputs"]) for body in script.bodies] == [100, 100, 50]


async def test_contacts_are_found_by_any_of_their_addresses(hub):
    hubspot, script = hub.connect(
        hub.batch(
            "read", [hub.contact(1, email="a@x.com", hs_additional_emails="b@x.com;c@x.com")]
        ),
        (*FIRSTNAME, 200, {"name": "firstname", "hasUniqueValue": False}),
    )

    found = await hubspot.find_many(
        CONTACTS, "email", ["A@x.com", "c@x.com", "d@x.com", ""], FIELDS
    )

    assert {value: [r.id for r in records] for value, records in found.items()} == {
        "A@x.com": ["1"],
        "c@x.com": ["1"],
    }
    assert script.bodies[0]["idProperty"] == "email"
    with pytest.raises(UnsupportedCapabilityError):
        await hubspot.find_many(CONTACTS, "firstname", ["Ada"], FIELDS)


async def test_a_long_catch_up_does_not_drag_what_it_has_left_behind_in_its_cursor(hub):
    days = [START - timedelta(days=30 - day) for day in range(3)]
    hubspot, _ = hub.connect(
        hub.search([hub.contact(1, days[0]), hub.contact(2, days[1])], more=True),
        hub.search([hub.contact(2, days[1]), hub.contact(3, days[2])], more=True),
    )

    first = await hubspot.read_page(CONTACTS, FIELDS, hubspot.cursor_at(CONTACTS, days[0]))
    second = await hubspot.read_page(CONTACTS, FIELDS, first.cursor)

    assert [record.id for record in (*first.records, *second.records)] == ["1", "2", "3"]
    assert list(second.cursor["seen"]) == ["3"]


async def test_reading_can_begin_at_any_moment(hub):
    hubspot, script = hub.connect(hub.search([]))
    cursor = hubspot.cursor_at(CONTACTS, START)

    page = await hubspot.read_page(CONTACTS, FIELDS, cursor)

    since = str(hub.ms(START - timedelta(seconds=60)))
    assert hub.filters(script.bodies[0]) == [("lastmodifieddate", "GTE", since)]
    assert not page.more


@pytest.mark.parametrize("blank", ["", "  "])
async def test_a_blank_value_finds_nobody(hub, blank):
    hubspot, _ = hub.connect(hub.batch("read", [hub.contact(1, email="ada@example.com")]))

    found = await hubspot.find_many(CONTACTS, "email", [blank, "ada@example.com"], FIELDS)

    assert list(found) == ["ada@example.com"]


async def test_a_record_that_could_not_be_read_is_not_taken_for_gone(hub):
    error = {
        "status": "error",
        "category": "INTERNAL_ERROR",
        "message": "internal error",
        "context": {"ids": ["2"]},
    }
    hubspot, _ = hub.connect(
        hub.batch("read", [hub.contact(1)], errors=[error]),
        ("GET", f"{OBJECTS}/2", 200, hub.contact(2)),
    )

    records = await hubspot.read_many(CONTACTS, ["1", "2"], FIELDS)

    assert [record and record.id for record in records] == ["1", "2"]
