"""Whose contact, deal or case it is: references as the org's ids, and its users."""

import pytest

from dovetail.connector_sdk.base import Owners
from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.spec import OWNERS
from dovetail.connectors.salesforce import Salesforce
from dovetail.errors import RecordInvalidError
from dovetail.model.entity import fields_of

CONTACTS, COMPANIES = Salesforce.resource("contacts"), Salesforce.resource("companies")
DEAL = {"Name": "20 seats", "StageName": "Prospecting", "CloseDate": "2026-04-30"}
SAMPLES = {
    "contacts": {"LastName": "Byron"},
    "companies": {"Name": "Acme"},
    "deals": DEAL,
    "tickets": {"Subject": "It squeaks"},
}


@pytest.mark.parametrize("resource", Salesforce.resources, ids=lambda one: one.name)
def test_each_reference_has_a_field_of_ours_and_a_target_that_there_is(resource):
    known = {one.name for one in Salesforce.resources} | {OWNERS}

    assert "OwnerId" in resource.references
    for theirs, reference in resource.references.items():
        assert theirs not in resource.fields
        assert reference.field in fields_of(resource.entity)
        assert reference.resource in known


async def its_relations(salesforce, create):
    """Make a company, and one record of each kind that belongs to it."""
    (company,) = await salesforce.write(COMPANIES, [create("c", Name="Acme")], ())
    (person,) = await salesforce.write(
        CONTACTS, [create("p", LastName="Byron", AccountId=company.id)], ("AccountId",)
    )
    targets = {"companies": company.id, "contacts": person.id}
    for name in ("contacts", "deals", "tickets"):
        resource = Salesforce.resource(name)
        names = tuple(resource.references)
        values = {
            theirs: targets[one.resource]
            for theirs, one in resource.references.items()
            if one.resource in targets
        }
        (made,) = await salesforce.write(resource, [create(name, **SAMPLES[name], **values)], names)
        assert made.error is None
        assert {field: made.record.fields[field] for field in values} == values
        assert made.record.fields["OwnerId"].startswith("005")
        (read,) = await salesforce.read_many(resource, [made.id], names)
        assert read.fields == made.record.fields


async def test_references_are_written_and_read_as_ids(new_world, create):
    await its_relations(new_world().connector(), create)


@pytest.mark.real_time
async def test_references_over_a_socket(over_socket, create):
    await over_socket(lambda salesforce: its_relations(salesforce, create))


async def test_a_reference_is_cleared_and_a_change_of_it_is_read(new_world, create, read_all):
    salesforce = new_world().connector()
    (company,) = await salesforce.write(COMPANIES, [create("c", Name="Acme")], ())
    (person,) = await salesforce.write(
        CONTACTS, [create("p", LastName="Byron", AccountId=company.id)], ("AccountId",)
    )
    seen = await read_all(salesforce, CONTACTS, ("AccountId",))
    clear = Write(action="update", key="p", id=person.id, fields={"AccountId": None})
    await salesforce.write(CONTACTS, [clear], ("AccountId",))

    after = await read_all(salesforce, CONTACTS, ("AccountId",), seen.cursor)

    assert [one.fields["AccountId"] for one in seen.records] == [company.id]
    assert [one.fields["AccountId"] for one in after.records] == [None]


async def test_a_company_that_is_not_there_fails_its_record_alone(new_world, create):
    salesforce = new_world().connector()
    writes = [
        create("a", LastName="Byron", AccountId="0015e00000XyZaBAAV"),
        create("b", LastName="Ohm"),
    ]

    refused, made = await salesforce.write(CONTACTS, writes, ())

    assert isinstance(refused.error, RecordInvalidError)
    assert (made.error, made.created) == (None, True)


async def test_a_queue_is_no_owner_and_not_told(salesforce, script, row, page):
    queue, person = "00G5e000000AAAAEA2", "0055e000000AAAAEA2"
    script.then(page(row(1, OwnerId=queue), row(2, OwnerId=person), row(3, OwnerId=None)))

    read = await salesforce.read_page(CONTACTS, ("LastName", "OwnerId"), None)

    assert [one.fields.get("OwnerId", "not told") for one in read.records] == [
        "not told",
        person,
        None,
    ]


async def its_owners(salesforce):
    assert isinstance(salesforce, Owners)
    found = await salesforce.read_owners()
    assert found
    assert all(one.id.startswith("005") and one.name for one in found)
    assert [one.id for one in found] == sorted({one.id for one in found})


async def test_owners_are_the_users_of_the_org(new_world, create):
    salesforce = new_world().connector()
    (made,) = await salesforce.write(COMPANIES, [create("c", Name="Acme")], ("OwnerId",))

    await its_owners(salesforce)

    assert made.record.fields["OwnerId"] in {one.id for one in await salesforce.read_owners()}


@pytest.mark.real_time
async def test_owners_over_a_socket(over_socket):
    await over_socket(its_owners)


async def test_owners_who_left_are_told_page_by_page(salesforce, script, page):
    user = {"Id": "0055e000000AAAAAA1", "Name": "Ada", "Email": "ada@x.example", "IsActive": True}
    left = {"Id": "0055e000000AAAAAA2", "Name": "Bob", "Email": None, "IsActive": False}
    locator = "/services/data/v60.0/query/0r8-1"
    script.then(page(user, locator=locator)).then(page(left))

    first, second = await salesforce.read_owners()

    assert script.soql(0) == "SELECT Id,Name,Email,IsActive FROM User ORDER BY Id ASC"
    assert script.path() == locator
    assert (first.email, first.name, first.active) == ("ada@x.example", "Ada", True)
    assert (second.email, second.active) == (None, False)
