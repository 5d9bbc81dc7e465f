"""What a user sees: contacts that belong to companies, whatever ids the platforms give them."""

from dovetail import Service, db
from dovetail.entities import Company, Contact, Owner
from dovetail.testing.sandbox import sandboxed_app


def declare(*entities, **more):
    return Service.create(
        name="CRM",
        integration={
            "platforms": ["salesforce"],
            "sync_mode": "bidirectional",
            "entities": list(entities),
            "schedule": {"poll_interval": "1 minute"},
        },
        **more,
    )


async def test_a_contact_of_salesforce_points_to_our_company():
    async with sandboxed_app(declare("contacts", "companies", "owners"), records=0) as world:
        acme = await world.edit("salesforce", None, "companies", Name="Acme")
        await world.edit(
            "salesforce", None, "contacts", LastName="Byron", Email="a@x.com", AccountId=acme["id"]
        )
        await world.settle()

        (contact,) = await world.ours(Contact, email="a@x.com")
        (company,) = await world.ours(Company, name="Acme")
        assert contact.company_id == company.id
        owners = {owner.id for owner in await world.ours(Owner)}
        assert contact.owner_id in owners


async def test_a_company_of_ours_reaches_its_contact_there_and_a_move_comes_back():
    async with sandboxed_app(declare("contacts", "companies"), records=0) as world:
        async with world.app.session():
            company = await db.create(Company(name="Zenith", website="https://z.example"))
            await db.create(Contact(last_name="L", email="l@x.com", company_id=company.id))
        await world.settle()

        (contact,) = await world.records("salesforce", "contacts")
        (account,) = await world.records("salesforce", "companies")
        assert contact["fields"]["AccountId"] == account["id"]

        other = await world.edit("salesforce", None, "companies", Name="Other")
        await world.edit("salesforce", contact["id"], "contacts", AccountId=other["id"])
        await world.settle()
        (moved,) = await world.ours(Contact, email="l@x.com")
        (company,) = await world.ours(Company, name="Other")
        assert moved.company_id == company.id
        assert moved.owner_id is None, "owners are not among the entities"


async def test_a_reference_whose_target_is_not_synced_is_left_alone_and_said_so():
    fields = {"LastName": "last_name", "Email": "email", "AccountId": "company_id"}
    crm = declare("contacts", mappings={"contact": {"salesforce": fields}})
    async with sandboxed_app(crm, records=0) as world:
        acme = await world.edit("salesforce", None, "companies", Name="Acme")
        await world.edit(
            "salesforce", None, "contacts", LastName="Byron", Email="a@x.com", AccountId=acme["id"]
        )
        await world.settle()

        (contact,) = await world.ours(Contact, email="a@x.com")
        assert contact.company_id is None
        (note,) = world.app.notes
        assert "company_id" in note
        assert "does not sync companies" in note
