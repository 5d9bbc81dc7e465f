"""Associations of HubSpot as fields, and owners: few calls, each as the vendor describes it."""

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import OutcomeUnknownError, RecordInvalidError, TransientError

CONTACTS, COMPANIES = HubSpot.resource("contacts"), HubSpot.resource("companies")
DEALS, TICKETS = HubSpot.resource("deals"), HubSpot.resource("tickets")
FIRM, PERSON = "associations.companies", "associations.contacts"
STAGE = {"pipeline": "default", "dealstage": "contractsent"}


def create(key, **fields):
    return Write(action="create", key=key, fields=fields)


def update(key, id, fields, replaces=None):
    return Write(action="update", key=key, id=id, fields=fields, replaces=replaces or {})


async def made(hubspot, resource, *rows):
    writes = [
        Write(action="create", key=f"{resource.name}{n}", fields=row) for n, row in enumerate(rows)
    ]
    results = await hubspot.write(resource, writes, list(rows[0]))
    assert all(result.error is None for result in results), results
    return [result.id for result in results]


async def shown(hubspot, resource, id, *fields):
    (record,) = await hubspot.read_many(resource, [id], fields)
    return [record.fields.get(field, "not told") for field in fields]


async def test_a_record_is_made_with_its_edges_and_shows_them(portal):
    hubspot, digest = portal()
    acme, zen = await made(hubspot, COMPANIES, {"name": "Acme"}, {"name": "Zen"})
    [ada] = await made(hubspot, CONTACTS, {"email": "ada@x.com", FIRM: acme})
    [deal] = await made(
        hubspot,
        DEALS,
        {
            "dealname": "D",
            "pipeline": "default",
            "dealstage": "contractsent",
            FIRM: zen,
            PERSON: ada,
        },
    )
    ticket = {"subject": "T", "hs_pipeline": "0", "hs_pipeline_stage": "1", FIRM: acme, PERSON: ada}
    [ticket] = await made(hubspot, TICKETS, ticket)

    assert await shown(hubspot, CONTACTS, ada, "email", FIRM) == ["ada@x.com", acme]
    assert await shown(hubspot, DEALS, deal, FIRM, PERSON) == [zen, ada]
    assert await shown(hubspot, TICKETS, ticket, FIRM, PERSON) == [acme, ada]
    page = await hubspot.read_page(DEALS, ["dealname", FIRM], None)
    assert [record.fields[FIRM] for record in page.records if record.id == deal] == [zen]
    assert {"associations_v4 batch_api.create", "associations_v4 batch_api.get_page"} <= set(
        digest.seen
    )


async def test_an_edge_moves_and_ends_and_leaves_the_others_alone(portal):
    hubspot, _ = portal()
    acme, zen = await made(hubspot, COMPANIES, {"name": "Acme"}, {"name": "Zen"})
    people = await made(hubspot, CONTACTS, *({"email": f"{n}@x.com"} for n in range(3)))
    [deal] = await made(hubspot, DEALS, {"dealname": "D", **STAGE, FIRM: acme, PERSON: people[0]})
    other = [update("k", deal, {PERSON: people[1]})]  # somebody adds a second one
    await hubspot.write(DEALS, other, [PERSON])
    assert await shown(hubspot, DEALS, deal, PERSON) == [people[:2]]

    moves = {FIRM: zen, PERSON: people[2]}
    [result] = await hubspot.write(
        DEALS,
        [
            Write(
                action="update",
                key="k",
                id=deal,
                fields=moves,
                replaces={FIRM: acme, PERSON: people[0]},
            )
        ],
        ["dealname", FIRM, PERSON],
    )
    assert result.record.fields == {"dealname": "D", **moves}
    assert await shown(hubspot, DEALS, deal, FIRM, PERSON) == [zen, people[1:]]

    ends = update("k", deal, {FIRM: None}, {FIRM: zen})
    [result] = await hubspot.write(DEALS, [ends], [FIRM])
    assert result.record.fields == {FIRM: None}
    assert await shown(hubspot, DEALS, deal, FIRM) == [None]


async def test_a_target_that_is_not_there_is_refused_alone(portal):
    hubspot, _ = portal()
    [acme] = await made(hubspot, COMPANIES, {"name": "Acme"})
    ids = await made(hubspot, CONTACTS, *({"email": f"{n}@x.com"} for n in range(3)))
    writes = [
        update(f"k{n}", id, {"firstname": "F", FIRM: acme if n != 1 else "999999"})
        for n, id in enumerate(ids)
    ]
    results = await hubspot.write(CONTACTS, writes, ["firstname", FIRM])

    assert [result.error is None for result in results] == [True, False, True]
    assert isinstance(results[1].error, RecordInvalidError)
    assert set(results[1].error.fields) == {FIRM}
    assert [await shown(hubspot, CONTACTS, id, "firstname", FIRM) for id in ids] == [
        ["F", acme],
        ["F", None],
        ["F", acme],
    ]


async def test_a_new_record_without_its_edge_is_looked_up_before_anything_else(portal):
    hubspot, _ = portal()
    [result] = await hubspot.write(
        CONTACTS,
        [Write(action="create", key="k", fields={"email": "a@x.com", FIRM: "999"})],
        [FIRM],
    )
    assert isinstance(result.error, OutcomeUnknownError)
    lost = [Write(action="create", key="k", fields={"email": "a@x.com", FIRM: "999"})]
    since = hubspot.api.clock.now()
    [found] = await hubspot.look_up(CONTACTS, lost, since, ["email", FIRM])
    assert found.fields == {"email": "a@x.com", FIRM: None}


async def test_a_thousand_records_and_their_edges_in_as_few_calls_as_batches_need(portal):
    hubspot, digest = portal()
    await hubspot.prepare(CONTACTS)
    [acme] = await made(hubspot, COMPANIES, {"name": "Acme"})
    digest.calls.clear()
    for start in range(0, 1000, 100):
        writes = [
            Write(action="create", key=f"k{n}", fields={"email": f"{n}@x.com", FIRM: acme})
            for n in range(start, start + 100)
        ]
        results = await hubspot.write(CONTACTS, writes, ["email", FIRM])
        assert all(result.error is None for result in results)
    # Ten batches of a hundred records, and their pairs behind each.
    assert len(digest.calls) <= 1.1 * (10 + 10)

    digest.calls.clear()
    cursor, seen = None, {}
    while cursor is None or cursor["phase"] == "list":
        page = await hubspot.read_page(CONTACTS, ["email", FIRM], cursor)
        cursor = page.cursor
        seen |= {record.id: record.fields[FIRM] for record in page.records}
    assert len(seen) >= 1000
    assert list(seen.values()).count(acme) == 1000
    pages = -(-len(seen) // 100)
    assert len(digest.calls) <= 1.1 * (pages + pages)

    digest.calls.clear()
    await hubspot.read_many(CONTACTS, list(seen)[:1000], ["email", FIRM])
    assert len(digest.calls) <= 1.1 * (10 + 1)


async def test_owners_are_all_listed_those_who_left_too(hub):
    page = [{"id": "1", "email": "a@x.com", "firstName": "Ada", "lastName": "L", "archived": False}]
    left = [{"id": "2", "email": "b@x.com", "firstName": "Bob", "archived": True, "userId": 9}]
    more = {"paging": {"next": {"after": "1"}}}
    hubspot, script = hub.connect(
        ("GET", "/crm/v3/owners", 200, {"results": left}),
        ("GET", "/crm/v3/owners", 200, {"results": page, **more}),
        ("GET", "/crm/v3/owners", 200, {"results": []}),
    )
    bob, ada = await hubspot.read_owners()

    assert (ada.id, ada.name, ada.email, ada.active) == ("1", "Ada L", "a@x.com", True)
    assert (bob.id, bob.name, bob.active) == ("2", "Bob", False)
    assert "after=1" in script.requests[2].url


async def test_owners_are_told_as_the_vendor_describes(portal):
    hubspot, digest = portal()
    owners = await hubspot.read_owners()
    assert owners
    assert all("@" in owner.email for owner in owners if owner.active)
    assert set(digest.seen) == {"owners owners_api.get_page"}


def pairs(call, body, status=200):
    return ("POST", f"/crm/v4/associations/contacts/companies/batch/{call}", status, body)


def end(id, *types):
    told = [{"category": "HUBSPOT_DEFINED", "typeId": one, "label": None} for one in types]
    return {"toObjectId": id, "associationTypes": told}


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], None),
        ([end(9, 279)], "9"),
        ([end(10, 279), end(9, 279)], ["9", "10"]),
        ([end(9, 279), end(10, 279, 1)], "10"),
    ],
)
async def test_the_primary_one_is_told_or_else_all_of_them(hub, ends, expected):
    answer = {"results": [{"from": {"id": "5"}, "to": ends}]}
    hubspot, _ = hub.connect(
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, {"results": [hub.contact(5)]}),
        pairs("read", answer),
    )
    (record,) = await hubspot.read_many(CONTACTS, ["5"], ["email", FIRM])
    assert record.fields[FIRM] == expected


async def test_more_edges_than_one_answer_holds_are_all_read(hub):
    first = {"from": {"id": "5"}, "to": [end(9, 279)], "paging": {"next": {"after": "x"}}}
    hubspot, script = hub.connect(
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, {"results": [hub.contact(5)]}),
        pairs("read", {"results": [first]}),
        pairs("read", {"results": [{"from": {"id": "5"}, "to": [end(10, 279)]}]}),
    )
    (record,) = await hubspot.read_many(CONTACTS, ["5"], ["email", FIRM])
    assert record.fields[FIRM] == ["9", "10"]
    assert script.bodies[2] == {"inputs": [{"id": "5", "after": "x"}]}


async def test_what_could_not_be_read_now_is_not_told_as_nothing(hub):
    errors = [
        {"category": "INTERNAL", "context": {"ids": ["5"]}},
        {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["6"]}},
    ]
    found = {"results": [hub.contact(5), hub.contact(6)]}
    hubspot, _ = hub.connect(
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, found),
        pairs("read", {"results": [], "numErrors": 2, "errors": errors}, 207),
    )
    five, six = await hubspot.read_many(CONTACTS, ["5", "6"], ["email", FIRM])
    assert FIRM not in five.fields
    assert six.fields[FIRM] is None


async def test_the_new_edge_comes_before_the_old_one_goes(hub):
    done = {"results": [{"fromObjectId": 5, "toObjectId": 9, "labels": []}]}
    hubspot, script = hub.connect(
        hub.key_ready(),
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, {"results": [hub.contact(5)]}),
        pairs("create", done, 201),
        pairs("archive", None, 204),
    )
    change = Write(action="update", key="k", id="5", fields={FIRM: "9"}, replaces={FIRM: "8"})
    [result] = await hubspot.write(CONTACTS, [change], ["email", FIRM])
    assert result.record.fields == {"email": "c5@example.com", FIRM: "9"}
    assert script.bodies[-1] == {"inputs": [{"from": {"id": "5"}, "to": [{"id": "8"}]}]}


@pytest.mark.parametrize("action", ["create", "update"])
async def test_a_platform_that_fails_between_record_and_edge_is_asked_again(hub, action):
    call = "upsert" if action == "create" else "update"
    item = {**hub.contact(5, dovetail_id="k"), "new": True}
    hubspot, _ = hub.connect(
        hub.key_ready(), hub.batch(call, [item]), pairs("create", {"message": "busy"}, 503)
    )
    id = None if action == "create" else "5"
    fields = {"email": "c5@example.com", FIRM: "9"}
    write = Write(action=action, key="k", id=id, fields=fields)
    [result] = await hubspot.write(CONTACTS, [write], ["email", FIRM])
    expected = OutcomeUnknownError if action == "create" else TransientError
    assert isinstance(result.error, expected)


async def test_a_missing_right_is_not_looked_for_in_every_pair(hub):
    count = 100
    denied = {"status": "error", "category": "MISSING_SCOPES", "message": "missing scopes"}
    found = {"results": [hub.contact(n) for n in range(count)]}
    hubspot, script = hub.connect(
        hub.key_ready(),
        ("POST", "/crm/v3/objects/contacts/batch/read", 200, found),
        *[pairs("create", denied, 403)] * (2 * count),
    )
    writes = [update(f"k{n}", str(n), {FIRM: "9"}) for n in range(count)]

    results = await hubspot.write(CONTACTS, writes, ["email", FIRM])

    assert len(script.requests) == 3
    assert {type(one.error) for one in results} == {RecordInvalidError}
    assert {tuple(one.error.fields) for one in results} == {(FIRM,)}
