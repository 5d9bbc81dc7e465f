"""Every object of the CRM, read and written at the simulator, in process and over a socket."""

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from dovetail.connector_sdk.assembly import connector_of
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.connector_sdk.limits import MemoryBudgetStore
from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.spec import Guarantee
from dovetail.connectors.hubspot import HubSpot
from dovetail.core.clock import LoopClock, SystemClock
from dovetail.core.transport import HttpResponse
from dovetail.errors import RecordInvalidError, UnsupportedCapabilityError
from dovetail.simulator_sdk.background import served_sandbox
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.testing.asgi import AsgiTransport

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BASE = "https://api.hubapi.com"
# A record of each object, one changed property, and fields to read.
SAMPLES = {
    "contacts": ({"email": "ada@x.example", "firstname": "Ada"}, ("firstname", "Grace")),
    "companies": ({"name": "Acme", "domain": "acme.example"}, ("name", "Acme Ltd")),
    "deals": (
        {
            "dealname": "Acme, 20 seats",
            "amount": "1200.50",
            "pipeline": "default",
            "dealstage": "qualifiedtobuy",
            "closedate": "2026-04-30",
        },
        ("dealstage", "contractsent"),
    ),
    "tickets": (
        {
            "subject": "It squeaks",
            "content": "Every time.",
            "hs_pipeline": "0",
            "hs_pipeline_stage": "1",
            "hs_ticket_priority": "HIGH",
        },
        ("hs_ticket_priority", "LOW"),
    ),
}
every_object = pytest.mark.parametrize("name", SAMPLES)


def connector(transport, base_url, token, clock):
    return connector_of(
        HubSpot,
        base_url=base_url,
        credentials=Credentials({"access_token": token}),
        transport=transport,
        clock=clock,
        store=MemoryBudgetStore(),
        account="h",
    )


class WithoutRights:
    """Carries everything but what adds a property: that is forbidden."""

    def __init__(self, transport):
        self.transport = transport

    async def send(self, request):
        if request.method == "POST" and "/crm/v3/properties/" in request.url:
            body = b'{"status":"error","category":"MISSING_SCOPES","message":"missing scopes"}'
            return HttpResponse(status=403, headers={}, body=body)
        return await self.transport.send(request)


@pytest.fixture
def portal(hub):
    clock, inner = LoopClock(START), AsgiTransport()
    simulator = HubSpotSimulator(
        clock=clock, rng=random.Random(1), transport=inner, base_url=BASE, seed=1
    )
    inner.add(BASE, simulator.app)
    transport = hub.described(inner)
    token = simulator.credentials["access_token"]
    return SimpleNamespace(
        hubspot=connector(transport, BASE, token, clock),
        simulator=simulator,
        clock=clock,
        without_rights=connector(WithoutRights(transport), BASE, token, clock),
    )


def create(key, **fields):
    return Write(action="create", key=key, fields=fields)


async def made(hubspot, name, *fields):
    """Write creates and return their records."""
    writes = [create(f"k{number}", **one) for number, one in enumerate(fields)]
    results = await hubspot.write(HubSpot.resource(name), writes, tuple(fields[0]))
    assert [result.error for result in results] == [None] * len(fields)
    return [result.record for result in results]


async def read_changes(hubspot, resource, fields, cursor=None):
    records = []
    while True:
        page = await hubspot.read_page(resource, fields, cursor)
        records += page.records
        cursor = page.cursor
        if not page.more:
            return records, cursor


@every_object
async def test_a_record_is_made_read_changed_and_archived(portal, name):
    await its_life(portal.hubspot, name, portal.clock.sleep)


@every_object
@pytest.mark.real_time
async def test_the_same_over_a_socket(name):
    with served_sandbox(["hubspot"], settings={"hubspot": {"search_lag_s": 0}}) as sandbox:
        described = sandbox["hubspot"]
        transport = AiohttpTransport()
        try:
            token = described["credentials"]["access_token"]
            hubspot = connector(transport, described["base_url"], token, SystemClock())
            await its_life(hubspot, name, None)
        finally:
            await transport.close()


async def its_life(hubspot, name, sleep):
    resource = HubSpot.resource(name)
    fields, (changed, value) = SAMPLES[name]
    names = tuple(fields)
    _, cursor = await read_changes(hubspot, resource, names)
    (record,) = await made(hubspot, name, fields)
    update = Write(action="update", key="u", id=record.id, fields={changed: value})
    (updated,) = await hubspot.write(resource, [update], names)
    assert (updated.error, updated.record.fields[changed]) == (None, value)

    if sleep is not None:
        await sleep(90)
    told, _ = await read_changes(hubspot, resource, names, cursor)
    assert [(one.id, one.fields[changed]) for one in told] == [(record.id, value)]

    (found,) = await hubspot.read_many(resource, [record.id], names)
    assert found.fields == updated.record.fields
    again = await hubspot.write(resource, [create("k0", **fields)], names)
    assert [(one.id, one.created) for one in again] == [(record.id, False)], "our key holds"

    delete = Write(action="delete", key="d", id=record.id)
    await hubspot.write(resource, [delete], names)
    assert await hubspot.read_many(resource, [record.id], names) == [None]


async def test_a_deal_has_its_amount_as_told_and_its_date_at_midnight(portal):
    (record,) = await made(portal.hubspot, "deals", SAMPLES["deals"][0])

    assert record.fields["amount"] == "1200.50"
    assert record.fields["closedate"].startswith("2026-04-30T00:00:00")


@every_object
async def test_a_merged_record_is_redirected(portal, name):
    hubspot, resource = portal.hubspot, HubSpot.resource(name)
    fields = SAMPLES[name][0]
    other = fields | ({"email": "b@x.example"} if name == "contacts" else {})
    kept, gone = await made(hubspot, name, fields, other)
    portal.simulator.merge_records(name, kept.id, gone.id, source="CRM_UI")
    await portal.clock.sleep(90)

    first, second = await hubspot.read_many(resource, [kept.id, gone.id], tuple(fields))
    cursor = hubspot.cursor_at(resource, START)
    told, _ = await read_changes(hubspot, resource, tuple(fields), cursor)

    survivor = first.merged_into or first.id
    assert second.merged_into == survivor
    assert {one.id: one.merged_into for one in told}[gone.id] == survivor


async def test_companies_are_found_by_domain_however_it_is_written(portal):
    companies = HubSpot.resource("companies")
    first, second, _ = await made(
        portal.hubspot,
        "companies",
        {"name": "Acme", "domain": "acme.example"},
        {"name": "Acme again", "domain": "acme.example"},
        {"name": "Other", "domain": "other.example"},
    )
    await portal.clock.sleep(90)

    found = await portal.hubspot.find_many(
        companies,
        "domain",
        ["https://www.Acme.example/about", "acme.example", "no.example", " "],
        ("name",),
    )

    assert {key: {one.id for one in records} for key, records in found.items()} == {
        "https://www.Acme.example/about": {first.id, second.id},
        "acme.example": {first.id, second.id},
    }


async def test_more_domains_than_one_search_takes_are_found(portal):
    domains = [f"a-rather-long-name-of-a-company-{number}.example" for number in range(150)]
    fields = [{"name": "x", "domain": domain} for domain in domains]
    for start in (0, 100):
        writes = [create(one["domain"], **one) for one in fields[start : start + 100]]
        await portal.hubspot.write(HubSpot.resource("companies"), writes, ("name",))
    await portal.clock.sleep(90)

    found = await portal.hubspot.find_many(
        HubSpot.resource("companies"), "domain", domains, ("domain",)
    )

    assert sorted(found) == sorted(domains)


@pytest.mark.parametrize("name", ["companies", "deals", "tickets"])
async def test_a_property_of_the_account_finds_records_when_it_is_unique(portal, name):
    resource = HubSpot.resource(name)
    group = {"companies": "company", "deals": "deal", "tickets": "ticket"}[name]
    await portal.hubspot.api.request(
        "POST",
        f"/crm/v3/properties/{name}",
        operation="add a property",
        json={
            "name": "erp_id",
            "label": "ERP id",
            "type": "string",
            "fieldType": "text",
            "groupName": f"{group}information",
            "hasUniqueValue": True,
        },
    )
    (record,) = await made(portal.hubspot, name, SAMPLES[name][0] | {"erp_id": "E-1"})

    found = await portal.hubspot.find_many(resource, "erp_id", ["E-1", "E-2"], ("erp_id",))

    assert "erp_id" in await portal.hubspot.known_fields(resource)
    assert {key: [one.id for one in records] for key, records in found.items()} == {
        "E-1": [record.id]
    }
    plain = next(iter(resource.fields.keys() - {"domain"}))
    with pytest.raises(UnsupportedCapabilityError, match=plain):
        await portal.hubspot.find_many(resource, plain, ["x"], ())


@every_object
@pytest.mark.parametrize("has_key", [True, False])
async def test_a_lost_create_is_looked_up_by_our_key_or_by_its_values(portal, name, has_key):
    hubspot = portal.hubspot if has_key else portal.without_rights
    fields = SAMPLES[name][0]
    (record,) = await made(hubspot, name, fields)
    await portal.clock.sleep(90)
    creates = [create("k0", **fields), create("never", **fields)]

    found = await hubspot.look_up(HubSpot.resource(name), creates, START, ("hs_object_id",))

    # Without our key one address is one contact; of the others, each takes a record of its own.
    second = record.id if name == "contacts" and not has_key else None
    assert [each and each.id for each in found] == [record.id, second]
    expected = Guarantee.PLATFORM_KEY if has_key else Guarantee.LOOK_UP
    assert hubspot.guarantees(HubSpot.resource(name))["create"] is expected


async def test_an_older_deal_that_says_the_same_is_not_the_lost_create(portal):
    fields = SAMPLES["deals"][0]
    await made(portal.without_rights, "deals", fields)
    await portal.clock.sleep(3600)

    found = await portal.without_rights.look_up(
        HubSpot.resource("deals"), [create("k", **fields)], START + timedelta(hours=1), ()
    )

    assert found == [None]


@pytest.mark.parametrize("name", ["contacts", "companies"])
async def test_a_life_cycle_goes_back_when_it_is_told_to(portal, name):
    fields = {**SAMPLES[name][0], "lifecyclestage": "customer"}
    (record,) = await made(portal.hubspot, name, fields)
    update = Write(action="update", key="u", id=record.id, fields={"lifecyclestage": "lead"})

    (result,) = await portal.hubspot.write(HubSpot.resource(name), [update], ("lifecyclestage",))

    assert result.record.fields == {"lifecyclestage": "lead"}


async def test_one_bad_deal_leaves_its_neighbours_alone(portal):
    fields = SAMPLES["deals"][0]
    writes = [create("good", **fields), create("bad", **{**fields, "dealstage": "nowhere"})]

    good, bad = await portal.hubspot.write(HubSpot.resource("deals"), writes, ("dealname",))

    assert good.error is None
    assert isinstance(bad.error, RecordInvalidError)


async def test_more_than_ten_thousand_of_one_millisecond_are_all_read(portal):
    assert portal.simulator.table("companies") is not None  # seeded before, at other moments
    with portal.simulator.one_moment():
        for number in range(10_050):
            portal.simulator.create_record("companies", {"name": f"C{number}"}, source="IMPORT")
    await portal.clock.sleep(90)
    companies = HubSpot.resource("companies")

    told, _ = await read_changes(
        portal.hubspot, companies, ("name",), portal.hubspot.cursor_at(companies, START)
    )

    assert len({one.id for one in told}) == 10_050
