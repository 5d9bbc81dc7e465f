"""Every object of the org, read and written at the simulator, in process and over a socket."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.connectors.salesforce.record import record_of
from dovetail.connectors.salesforce.value import rows_of
from dovetail.errors import RecordInvalidError, TransientError

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
KEY = "Hub_Key__c"
DEAL = {
    "Name": "Acme, 20 seats",
    "StageName": "Prospecting",
    "Amount": Decimal("1200.50"),
    "CloseDate": date(2026, 4, 30),
}
# A record of each object, and one changed field.
SAMPLES = {
    "contacts": ({"LastName": "Byron", "Email": "ada@x.example"}, ("LastName", "King")),
    "companies": ({"Name": "Acme", "Phone": "+44 1"}, ("Name", "Acme Ltd")),
    "deals": (DEAL, ("Amount", Decimal("99.95"))),
    "tickets": (
        {"Subject": "It squeaks", "Status": "New", "Priority": "High"},
        ("Priority", "Low"),
    ),
}
every_object = pytest.mark.parametrize("name", SAMPLES)


@pytest.fixture
def org(new_world):
    world = new_world(external_id_fields=(KEY,))
    return SimpleNamespace(
        plain=world.connector(),
        keyed=world.connector(external_id_field=KEY),
        sandbox=world.sandbox,
    )


def create(key, **fields):
    return Write(action="create", key=key, fields=fields)


async def read_changes(salesforce, resource, fields, cursor=None):
    records = []
    while True:
        page = await salesforce.read_page(resource, fields, cursor)
        records += page.records
        cursor = page.cursor
        if not page.more:
            return records, cursor


async def its_life(salesforce, name):
    resource = Salesforce.resource(name)
    fields, (changed, value) = SAMPLES[name]
    names = tuple(fields)
    _, cursor = await read_changes(salesforce, resource, names)
    (made,) = await salesforce.write(resource, [create("k", **fields)], names)
    assert (made.error, made.created) == (None, True)
    told = {n: v.isoformat() if isinstance(v, date) else v for n, v in fields.items()}
    assert made.record.fields == told

    update = Write(action="update", key="u", id=made.id, fields={changed: value})
    (updated,) = await salesforce.write(resource, [update], names)
    assert (updated.error, updated.record.fields) == (None, told | {changed: value})
    seen, cursor = await read_changes(salesforce, resource, names, cursor)
    assert [(one.id, one.fields[changed]) for one in seen] == [(made.id, value)]
    assert (await salesforce.read_many(resource, [made.id], names))[0].fields[changed] == value

    (gone,) = await salesforce.write(resource, [Write(action="delete", key="d", id=made.id)], ())
    assert gone.error is None
    assert await salesforce.read_many(resource, [made.id], names) == [None]
    seen, _ = await read_changes(salesforce, resource, names, cursor)
    assert [(one.id, one.deleted, one.merged_into) for one in seen] == [(made.id, True, None)]


@every_object
async def test_a_record_is_made_read_changed_and_deleted(org, name):
    await its_life(org.plain, name)


@every_object
@pytest.mark.real_time
async def test_the_same_over_a_socket_as_in_process(over_socket, name):
    await over_socket(lambda salesforce: its_life(salesforce, name))


@every_object
async def test_a_repeated_create_meets_our_key(org, name):
    resource, fields = Salesforce.resource(name), SAMPLES[name][0]
    await org.keyed.prepare(resource)

    (first,) = await org.keyed.write(resource, [create("k", **fields)], tuple(fields))
    (again,) = await org.keyed.write(resource, [create("k", **fields)], tuple(fields))

    assert (first.created, again.created, again.id) == (True, False, first.id)


@every_object
async def test_a_lost_create_is_found_by_what_it_sent_and_no_other_is_taken_for_it(org, name):
    resource, fields = Salesforce.resource(name), SAMPLES[name][0]
    (made,) = await org.plain.write(resource, [create("k", **fields)], tuple(fields))
    identity = "Email" if name == "contacts" else next(iter(fields))
    other = create("o", **{**fields, identity: "other@x.example"})

    found = await org.plain.look_up(resource, [other, create("k", **fields)], START, ())

    assert [one and one.id for one in found] == [None, made.id]


@every_object
async def test_records_are_found_by_a_text_field(org, name):
    resource, fields = Salesforce.resource(name), SAMPLES[name][0]
    field = next(iter(fields))
    (made,) = await org.plain.write(resource, [create("k", **fields)], ())

    found = await org.plain.find_many(resource, field, [fields[field], "nobody"], ())

    assert {value: [one.id for one in ones] for value, ones in found.items()} == {
        fields[field]: [made.id]
    }


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("contacts", "LastName"),
        ("companies", "Name"),
        ("deals", "CloseDate"),
        ("deals", "StageName"),
    ],
)
async def test_a_missing_required_field_is_named_and_its_neighbour_is_made(org, name, missing):
    resource, fields = Salesforce.resource(name), SAMPLES[name][0]
    short = {field: value for field, value in fields.items() if field != missing}

    refused, made = await org.plain.write(
        resource, [create("a", **short), create("b", **fields)], ()
    )

    assert isinstance(refused.error, RecordInvalidError)
    assert "makes no record without it" in refused.error.fields[missing]
    assert made.created


async def test_a_page_of_locators_goes_through_all_deals(org):
    resource = Salesforce.resource("deals")
    writes = [create(f"k{n}", **{**DEAL, "Name": f"Deal {n}"}) for n in range(200)]
    for _ in range(11):
        results = await org.plain.write(resource, writes, ())
        assert all(one.created for one in results)

    page = await org.plain.read_page(resource, ("Name",), None)
    rest, _ = await read_changes(org.plain, resource, ("Name",), page.cursor)

    assert page.more
    assert len({one.id for one in [*page.records, *rest]}) == 2200


async def test_fields_of_one_object_are_not_taken_for_those_of_another(org):
    companies, deals = Salesforce.resource("companies"), Salesforce.resource("deals")
    await org.plain.write(deals, [create("d", **DEAL)], ())

    (refused,) = await org.plain.write(companies, [create("c", Name="A", StageName="x")], ())

    assert set(refused.error.fields) == {"StageName"}


def test_an_amount_keeps_every_digit():
    body = (
        b'[{"Id":"006","SystemModstamp":"2026-03-01T15:00:00.000+0000",'
        b'"Amount":1234567890123456.78,"Probability":10.5}]'
    )

    deals = Salesforce.resource("deals")
    record = record_of(deals, rows_of(body)[0], ("Amount", "Probability"))

    assert record.fields == {"Amount": Decimal("1234567890123456.78"), "Probability": 10.5}
    assert isinstance(record.fields["Probability"], float)
    assert record.modified_at - START == timedelta(hours=6)


@pytest.mark.parametrize("name", ["contacts", "companies"])
async def test_a_merged_record_is_redirected_through_a_chain_of_merges(org, name):
    resource, fields = Salesforce.resource(name), SAMPLES[name][0]
    others = [fields | ({"Email": f"{n}@x.example"} if name == "contacts" else {}) for n in "abc"]
    made = await org.plain.write(
        resource, [create(f"k{n}", **one) for n, one in enumerate(others)], ()
    )
    first, second, third = (one.id for one in made)
    _, cursor = await read_changes(org.plain, resource, ())
    await org.sandbox("edit", {"resource": name, "id": second, "merge": first})
    await org.sandbox("edit", {"resource": name, "id": third, "merge": second})

    found = await org.plain.read_many(resource, [first, second, third], ())
    told, _ = await read_changes(org.plain, resource, (), cursor)

    assert [one.id for one in found] == [third, third, third]
    assert {one.id: one.merged_into for one in told if one.deleted} == {
        first: second,
        second: third,
    }


@every_object
async def test_a_locked_row_may_be_tried_again_and_its_neighbour_is_written(org, name):
    resource, (fields, (changed, value)) = Salesforce.resource(name), SAMPLES[name]
    made = await org.plain.write(resource, [create(n, **fields) for n in "ab"], ())
    updates = [
        Write(action="update", key=one.key, id=one.id, fields={changed: value}) for one in made
    ]
    await org.sandbox("faults", {"faults": [{"kind": "row_lock", "count": 1}]})

    locked, done = await org.plain.write(resource, updates, (changed,))
    (again,) = await org.plain.write(resource, updates[:1], (changed,))

    assert type(locked.error) is TransientError
    assert [one.record.fields[changed] for one in (done, again)] == [value, value]
