"""One external id field for all objects, or one for each."""

import pytest

from dovetail.connector_sdk.spec import Guarantee
from dovetail.connectors.salesforce import Salesforce
from dovetail.errors import ConfigError

CONTACTS, DEALS = Salesforce.resource("contacts"), Salesforce.resource("deals")
DEAL = {"Name": "20 seats", "StageName": "Prospecting", "CloseDate": "2026-04-30"}


@pytest.mark.parametrize(
    "setting",
    [
        {"contacts": "Hub_Key__c", "Account": "Erp__c"},
        {"Contact": "Hub_Key__c"},
        "contacts=Hub_Key__c, Account=Erp__c",
        "Contact=Hub_Key__c",
    ],
)
async def test_an_object_with_a_field_is_upserted_and_another_is_not(new_world, create, setting):
    world = new_world(external_id_fields=("Hub_Key__c",))
    salesforce = world.connector(external_id_field=setting)
    await salesforce.prepare(CONTACTS)
    await salesforce.prepare(DEALS)

    await salesforce.write(CONTACTS, [create("k", LastName="Byron")], ())
    (again,) = await salesforce.write(CONTACTS, [create("k", LastName="Byron")], ())
    await salesforce.write(DEALS, [create("d", **DEAL)], ())

    assert not again.created
    assert "PATCH /composite/sobjects/Contact/Hub_Key__c" in world.calls
    assert "POST /composite/sobjects" in world.calls
    assert salesforce.guarantees(CONTACTS)["create"] is Guarantee.PLATFORM_KEY
    assert salesforce.guarantees(DEALS)["create"] is Guarantee.LOOK_UP


async def test_each_object_may_have_another_field(new_world, create):
    world = new_world(external_id_fields=("Hub_Key__c", "Erp__c"))
    salesforce = world.connector(external_id_field="contacts=Hub_Key__c,deals=Erp__c")

    await salesforce.write(DEALS, [create("d", **DEAL)], ())
    (found,) = await salesforce.look_up(DEALS, [create("d", **DEAL)], world.clock.now(), ())

    assert "PATCH /composite/sobjects/Opportunity/Erp__c" in world.calls
    assert found is not None


@pytest.mark.parametrize("setting", [{"Person": "Hub_Key__c"}, "contact=Hub_Key__c"])
async def test_an_object_that_is_none_is_refused_with_those_there_are(connect, script, setting):
    with pytest.raises(ConfigError, match=r"no object of this connector.*Contact.*contacts"):
        await connect(external_id_field=setting).prepare(CONTACTS)
    assert not script.asked
