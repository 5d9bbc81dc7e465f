"""Writing contacts: one outcome per record, whatever happens to the others."""

from datetime import UTC, datetime, timedelta

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.hubspot import HubSpot
from dovetail.core.transport import TransportError
from dovetail.errors import (
    OutcomeUnknownError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CONTACTS = HubSpot.resource("contacts")
OBJECTS = "/crm/v3/objects/contacts"
KEY = ("GET", "/crm/v3/properties/contacts/dovetail_id")
FIELDS = ("email", "firstname")


async def test_creates_are_upserts_on_our_own_property(hub):
    made = {**hub.contact(1), "new": True, "objectWriteTraceId": "k1"}
    again = {**hub.contact(2), "new": False, "objectWriteTraceId": "k2"}
    hubspot, script = hub.connect(hub.key_ready(), hub.batch("upsert", [again, made]))

    results = await hubspot.write(
        CONTACTS, [hub.create("k1", phone=None), hub.create("k2", email="b@x.com")], FIELDS
    )

    assert [(r.key, r.id, r.created) for r in results] == [("k1", "1", True), ("k2", "2", False)]
    assert script.bodies[1]["inputs"][0] == {
        "idProperty": "dovetail_id",
        "id": "k1",
        "properties": {"email": "ada@example.com", "phone": ""},
        "objectWriteTraceId": "k1",
    }


async def test_one_bad_row_leaves_the_others_alone_and_is_matched_by_its_trace(hub):
    conflict = {
        "status": "error",
        "category": "CONFLICT",
        "message": "Contact already exists. Existing ID: 12345",
        "context": {"objectWriteTraceId": ["k1"]},
    }
    invalid = {
        "category": "VALIDATION_ERROR",
        "message": 'Property values were not valid: [{"isValid":false,"message":"no such option",'
        '"error":"INVALID_OPTION","name":"state"}]',
        "context": {"objectWriteTraceId": ["k3"]},
    }
    good = {**hub.contact(2), "new": True, "objectWriteTraceId": "k2"}
    hubspot, _ = hub.connect(
        hub.key_ready(), hub.batch("upsert", [good], errors=[invalid, conflict])
    )

    first, second, third = await hubspot.write(
        CONTACTS, [hub.create("k1"), hub.create("k2"), hub.create("k3")], FIELDS
    )

    assert isinstance(first.error, RecordConflictError)
    assert first.error.existing_id == "12345"
    assert (second.id, second.error) == ("2", None)
    assert isinstance(third.error, RecordInvalidError)
    assert third.error.fields == {"state": "no such option"}


async def test_a_call_that_one_row_fails_as_a_whole_is_split(hub):
    refused = {
        "status": "error",
        "message": "Contact already exists. Existing ID: 77",
        "category": "CONFLICT",
    }
    whole = ("POST", f"{OBJECTS}/batch/upsert", 409, refused)
    hubspot, _ = hub.connect(
        hub.key_ready(),
        whole,
        hub.batch("upsert", [{**hub.contact(1), "objectWriteTraceId": "k1"}]),
        whole,
        hub.batch("upsert", [{**hub.contact(2), "objectWriteTraceId": "k2"}]),
        whole,
    )

    results = await hubspot.write(
        CONTACTS, [hub.create("k1"), hub.create("k2"), hub.create("k3")], FIELDS
    )

    assert [result.id for result in results] == ["1", "2", None]
    assert results[2].error.existing_id == "77"


async def test_an_update_touches_its_fields_only_and_is_read_back_where_the_reply_is_short(hub):
    short = {"id": "5", "properties": {"firstname": "Ada"}, "updatedAt": hub.iso(START)}
    hubspot, script = hub.connect(
        hub.key_ready(),
        hub.batch("update", [short]),
        hub.batch("read", [hub.contact(5, email="read@back.com")]),
    )
    update = Write(action="update", key="u", id="5", fields={"firstname": "Ada"})

    (result,) = await hubspot.write(CONTACTS, [update], FIELDS)

    assert result.record.fields["email"] == "read@back.com"
    assert script.bodies[1]["inputs"] == [
        {"id": "5", "properties": {"firstname": "Ada"}, "objectWriteTraceId": "u"}
    ]


async def test_a_failed_read_back_does_not_undo_what_was_written(hub):
    short = {"id": "5", "properties": {"firstname": "Ada"}, "updatedAt": hub.iso(START)}
    broken = ("POST", f"{OBJECTS}/batch/read", 503, None)
    hubspot, _ = hub.connect(hub.key_ready(), hub.batch("update", [short]), broken)
    update = Write(action="update", key="u", id="5", fields={"firstname": "Ada"})

    (result,) = await hubspot.write(CONTACTS, [update], FIELDS)

    assert (result.error, result.record.fields) == (None, {"firstname": "Ada"})


LIMIT = {"status": "error", "message": "You have reached your ten_secondly_rolling limit."}
PROPERTIES = ("GET", "/crm/v3/properties/contacts")
VIP = {"results": [{"name": "vip", "type": "bool", "fieldType": "booleancheckbox"}]}
FIRM = "associations.companies"


def each_kind():
    """Return a create, and an update of which nothing but an association is to be written."""
    edge = Write(action="update", key="u", id="5", fields={FIRM: "9"})
    return [create_without_our_key(), edge]


def create_without_our_key():
    return Write(action="create", key="k1", fields={"email": "c1@example.com"})


def calls_of_each_kind(hub):
    """Return the calls that write `each_kind` where our property is not unique."""
    edge = {"results": [{"fromObjectId": 5, "toObjectId": 9, "labels": []}]}
    return [
        hub.key_ready(unique=False),
        (*PROPERTIES, 200, VIP),
        hub.batch("read", [hub.contact(5, vip="true")]),
        hub.batch("create", [{**hub.contact(1), "objectWriteTraceId": "k1"}]),
        # The answer to the create leaves the property out.
        hub.batch("read", [hub.contact(1, vip="true")]),
        ("POST", "/crm/v4/associations/contacts/companies/batch/create", 201, edge),
    ]


async def test_all_that_is_read_for_a_write_is_read_before_it(hub):
    hubspot, script = hub.connect(*calls_of_each_kind(hub))

    made, tied = await hubspot.write(CONTACTS, each_kind(), ["email", "vip", FIRM])

    assert (made.id, made.created, made.record.fields["vip"]) == ("1", True, True)
    assert (tied.error, tied.record.fields["vip"], tied.record.fields[FIRM]) == (None, True, "9")
    assert script.steps == []


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
async def test_a_limit_never_hides_that_a_create_was_made(hub, number):
    calls = calls_of_each_kind(hub)
    calls[number] = (*calls[number][:2], 429, LIMIT)
    hubspot, script = hub.connect(*calls)

    try:
        made, tied = await hubspot.write(CONTACTS, each_kind(), ["email", "vip", FIRM])
    except RateLimitedError:
        assert number <= 3, "the record was made by then"
        assert len(script.requests) == number + 1
    else:
        assert number > 3
        assert (made.id, made.created, made.error) == ("1", True, None)
        assert (tied.error is None) == (number == 4)


async def test_a_property_that_was_just_added_fails_no_write(hub):
    shown = {**hub.contact(1, vip="true", shape="round"), "objectWriteTraceId": "k1"}
    hubspot, _ = hub.connect(
        hub.key_ready(unique=False),
        (*PROPERTIES, 200, VIP),
        hub.batch("create", [shown]),
        (*PROPERTIES, 429, LIMIT),
    )

    (made,) = await hubspot.write(CONTACTS, [create_without_our_key()], ["vip", "shape"])

    assert (made.id, made.error, made.record.fields["shape"]) == ("1", None, "round")


async def test_without_the_right_to_see_properties_each_write_asks_once(hub):
    denied = {"status": "error", "category": "MISSING_SCOPES", "message": "no"}
    shown = {**hub.contact(1, vip="true"), "objectWriteTraceId": "k1"}
    hubspot, script = hub.connect(
        hub.key_ready(unique=False), (*PROPERTIES, 403, denied), hub.batch("create", [shown])
    )

    (made,) = await hubspot.write(CONTACTS, [create_without_our_key()], ["vip"])

    assert (made.record.fields, script.steps) == ({"vip": "true"}, [])


async def test_an_update_of_a_contact_that_is_gone_is_told_as_such(hub):
    gone = {"category": "OBJECT_NOT_FOUND", "message": "…", "context": {"ids": ["5"]}}
    hubspot, _ = hub.connect(hub.key_ready(), hub.batch("update", [], errors=[gone]))
    update = Write(action="update", key="u", id="5", fields={"firstname": "Ada"})

    (result,) = await hubspot.write(CONTACTS, [update], FIELDS)

    assert isinstance(result.error, RecordNotFoundError)


async def test_deletes_are_archived_in_one_call(hub):
    hubspot, script = hub.connect(hub.key_ready(), ("POST", f"{OBJECTS}/batch/archive", 204, None))
    deletes = [Write(action="delete", key=f"d{id}", id=id) for id in ("1", "2")]

    results = await hubspot.write(CONTACTS, deletes, FIELDS)

    assert [(r.id, r.record, r.error) for r in results] == [("1", None, None), ("2", None, None)]
    assert script.bodies[1] == {"inputs": [{"id": "1"}, {"id": "2"}]}


async def test_a_later_failure_does_not_hide_what_was_already_written(hub):
    hubspot, _ = hub.connect(
        hub.key_ready(),
        hub.batch("upsert", [{**hub.contact(1), "objectWriteTraceId": "k1"}]),
        ("POST", f"{OBJECTS}/batch/archive", 503, None),
    )
    delete = Write(action="delete", key="d", id="2")

    first, second = await hubspot.write(CONTACTS, [hub.create("k1"), delete], FIELDS)

    assert (first.id, first.error) == ("1", None)
    assert isinstance(second.error, PlatformUnavailableError)


async def test_a_row_that_the_answer_leaves_out_is_unknown(hub):
    hubspot, _ = hub.connect(hub.key_ready(), hub.batch("upsert", []))

    (result,) = await hubspot.write(CONTACTS, [hub.create("k1")], FIELDS)

    assert isinstance(result.error, OutcomeUnknownError)


@pytest.mark.parametrize(("has_key", "kind"), [(True, PlatformUnavailableError), (False, None)])
async def test_a_lost_answer_is_unknown_only_without_our_key(hub, has_key, kind):
    call = "upsert" if has_key else "create"
    lost = ("POST", f"{OBJECTS}/batch/{call}", 0, TransportError("cut", sent=True))
    hubspot, _ = hub.connect(hub.key_ready(has_key), lost)

    with pytest.raises(kind or OutcomeUnknownError):
        await hubspot.write(CONTACTS, [hub.create("k1")], FIELDS)


async def test_the_key_property_is_added_where_it_is_missing(hub):
    hubspot, script = hub.connect(
        (*KEY, 404, {"status": "error", "message": "resource not found"}),
        ("POST", "/crm/v3/properties/contacts", 201, {"name": "dovetail_id"}),
        hub.batch("upsert", [{**hub.contact(1), "objectWriteTraceId": "k1"}]),
    )

    await hubspot.prepare(CONTACTS)
    await hubspot.write(CONTACTS, [hub.create("k1")], FIELDS)

    assert script.bodies[1]["hasUniqueValue"] is True


@pytest.mark.parametrize("status", [400, 403])
async def test_without_the_right_to_add_properties_the_address_guards_a_create(hub, status):
    denied = {"status": "error", "category": "MISSING_SCOPES", "message": "missing scopes"}
    hubspot, script = hub.connect(
        (*KEY, 404, {"status": "error", "message": "resource not found"}),
        ("POST", "/crm/v3/properties/contacts", status, denied),
        hub.batch("create", [hub.contact(1, email="ada@example.com")], status=201),
        hub.batch("read", [hub.contact(1, email="ada@example.com")]),
    )

    (result,) = await hubspot.write(CONTACTS, [hub.create("k1")], FIELDS)
    (found,) = await hubspot.look_up(CONTACTS, [hub.create("k1")], START, FIELDS)

    assert (result.id, result.created, found.id) == ("1", True, "1")
    assert script.bodies[3]["idProperty"] == "email"


async def test_a_lost_create_is_looked_up_by_our_key(hub):
    found = hub.contact(1, dovetail_id="k1")
    hubspot, script = hub.connect(hub.key_ready(), hub.batch("read", [found]))

    result = await hubspot.look_up(CONTACTS, [hub.create("k0"), hub.create("k1")], START, FIELDS)

    assert [record and record.id for record in result] == [None, "1"]
    assert script.bodies[1]["idProperty"] == "dovetail_id"


async def test_an_older_contact_with_the_address_is_not_the_lost_create(hub):
    hubspot, _ = hub.connect(
        hub.key_ready(unique=False), hub.batch("read", [hub.contact(1, email="ada@example.com")])
    )

    since = START + timedelta(hours=1)

    assert await hubspot.look_up(CONTACTS, [hub.create("k1")], since, FIELDS) == [None]


async def test_a_lost_create_without_an_address_takes_no_other_contact(hub):
    hubspot, _ = hub.connect(
        hub.key_ready(unique=False), hub.batch("read", [hub.contact(1, email="ada@example.com")])
    )
    creates = [hub.create("k1"), hub.create("k2", email=None, firstname="Grace")]

    found = await hubspot.look_up(CONTACTS, creates, START, FIELDS)

    assert [record and record.id for record in found] == ["1", None]
