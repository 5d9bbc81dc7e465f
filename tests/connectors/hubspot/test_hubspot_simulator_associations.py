"""Links between records: types and directions, labels, batches, what merges and archives do."""

import pytest

ONE = "/crm/v4/objects/{}/{}/associations/{}"
MANY = "/crm/v4/associations/{}/{}/batch/{}"
NATIVE = "HUBSPOT_DEFINED"


def spec(id, category=NATIVE):
    return {"associationCategory": category, "associationTypeId": id}


def to(id, *types):
    return {"to": {"id": id}, "types": [spec(each) for each in types]}


def pair(near, far, *types, category=NATIVE):
    described = {"from": {"id": near}, "to": {"id": far}}
    return described | ({"types": [spec(each, category) for each in types]} if types else {})


async def types(portal, kind, id, target):
    answer = await portal.get(ONE.format(kind, id, target))
    assert answer.status == 200, answer.raw
    return {
        each["toObjectId"]: [type_["typeId"] for type_ in each["associationTypes"]]
        for each in answer.json["results"]
    }


async def people(portal):
    return await portal.add(email="ada@example.com"), await portal.new("companies", name="Acme")


async def test_a_default_link_is_seen_from_both_ends(portal):
    ada, acme = await people(portal)
    path = f"/crm/v4/objects/contact/{ada}/associations/default/0-2/{acme}"
    made = await portal.put(path)

    assert made.status == 200
    assert made.json["results"] == [
        {"from": {"id": ada}, "to": {"id": acme}, "associationSpec": spec(279)}
    ]
    assert await types(portal, "contacts", ada, "companies") == {acme: [279]}
    assert await types(portal, "companies", acme, "contacts") == {ada: [280]}


async def test_a_primary_brings_the_unlabelled_type_and_there_is_one_primary(portal):
    ada, acme = await people(portal)
    other = await portal.new("companies", name="Other")
    path = ONE.format("contacts", ada, "companies")
    made = await portal.put(f"{path}/{acme}", [spec(1)])
    assert made.status == 201
    assert made.json["labels"] == ["Primary"]
    assert await types(portal, "contacts", ada, "companies") == {acme: [279, 1]}
    await portal.put(f"{path}/{other}", [spec(1)])

    assert await types(portal, "contacts", ada, "companies") == {acme: [279], other: [279, 1]}
    assert await types(portal, "companies", acme, "contacts") == {ada: [280]}
    assert await types(portal, "companies", other, "contacts") == {ada: [280, 2]}


@pytest.mark.parametrize(
    "wrong", [spec(280), spec(3), spec(279, "USER_DEFINED"), spec("x"), {}, spec(True)]
)
async def test_a_type_of_another_direction_or_pair_is_refused(portal, wrong):
    ada, acme = await people(portal)
    refused = await portal.put(f"{ONE.format('contacts', ada, 'companies')}/{acme}", [wrong])

    assert refused.status == 400
    assert refused.json["category"] == "VALIDATION_ERROR"
    assert await types(portal, "contacts", ada, "companies") == {}


async def test_a_record_can_be_created_with_links_or_not_at_all(portal):
    ada, acme = await people(portal)
    deal = await portal.new("deals", to(ada, 3), to(acme, 341, 5), dealname="D")
    body = {"properties": {"dealname": "E"}, "associations": [to("999999", 3)]}
    refused = await portal.post("/crm/v3/objects/deals", body)

    assert await types(portal, "deals", deal, "contacts") == {ada: [3]}
    assert await types(portal, "companies", acme, "deals") == {deal: [342, 6]}
    assert refused.status == 400
    assert refused.json["context"] == {"CONTACT": ["999999"]}
    assert (await portal.get("/crm/v3/objects/deals")).ids == [deal]


async def test_reads_show_links_by_the_names_of_their_types(portal):
    ada, acme = await people(portal)
    deal = await portal.new("deals", to(ada, 3), dealname="D")
    await portal.put(f"{ONE.format('contacts', ada, 'companies')}/{acme}", [spec(1)])
    path = "/crm/v3/objects/contacts"
    one = await portal.get(f"{path}/{ada}", associations="companies,deals,tickets")
    listed = await portal.get(path, associations=["company", "deals"])

    assert one.json["associations"] == {
        "companies": {
            "results": [
                {"id": acme, "type": "contact_to_company_unlabeled"},
                {"id": acme, "type": "contact_to_company"},
            ]
        },
        "deals": {"results": [{"id": deal, "type": "contact_to_deal"}]},
    }
    assert listed.json["results"][0]["associations"].keys() == {"companies", "deals"}
    assert "associations" not in (await portal.get(f"{path}/{ada}")).json
    assert (await portal.get(f"{path}/{ada}", associations="owners")).status == 400


async def test_a_link_can_be_removed_whole_or_by_label(portal):
    ada, acme = await people(portal)
    path = f"{ONE.format('contacts', ada, 'companies')}/{acme}"
    await portal.put(path, [spec(1)])
    labels = MANY.format("contacts", "companies", "labels/archive")
    assert (await portal.post(labels, {"inputs": [pair(ada, acme, 1)]})).status == 204
    assert await types(portal, "contacts", ada, "companies") == {acme: [279]}
    assert (await portal.delete(path)).status == 204
    assert (await portal.delete(path)).status == 204

    assert await types(portal, "contacts", ada, "companies") == {}
    assert await types(portal, "companies", acme, "contacts") == {}


async def test_a_batch_links_what_it_can_and_names_the_rest(portal):
    ada, acme = await people(portal)
    inputs = [pair(ada, acme, 279), pair(ada, "999", 279), pair(ada, acme, 280)]
    made = await portal.post(MANY.format("contacts", "companies", "create"), {"inputs": inputs})

    assert made.status == 207
    assert made.json["numErrors"] == 2
    assert made.json["results"][0]["toObjectId"] == acme
    contexts = [error["context"] for error in made.json["errors"]]
    assert contexts[0] == {"fromObjectId": [ada], "toObjectId": ["999"]}


async def test_a_batch_read_names_records_without_links(portal):
    ada, acme = await people(portal)
    await portal.post(
        MANY.format("companies", "contacts", "associate/default"), {"inputs": [pair(acme, ada)]}
    )
    path = MANY.format("contacts", "companies", "read")
    read = await portal.post(path, {"inputs": [{"id": ada}, {"id": "999"}]})
    whole = await portal.post(path, {"inputs": [{"id": ada}]})

    assert whole.status == 200
    assert read.status == 207
    assert [each["toObjectId"] for each in read.json["results"][0]["to"]] == [acme]
    assert read.json["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert read.json["errors"][0]["context"]["fromObjectId"] == ["999"]


async def test_a_list_of_links_has_pages(portal):
    acme = await portal.new("companies", name="Acme")
    everyone = [await portal.add(email=f"p{number}@example.com") for number in range(5)]
    inputs = [pair(acme, id) for id in everyone]
    await portal.post(MANY.format("companies", "contacts", "associate/default"), {"inputs": inputs})
    path, seen, after = ONE.format("companies", acme, "contacts"), [], {}
    while True:
        page = (await portal.get(path, limit=2, **after)).json
        seen += [each["toObjectId"] for each in page["results"]]
        if "paging" not in page:
            break
        after = {"after": page["paging"]["next"]["after"]}

    assert seen == everyone


async def test_an_archived_record_is_linked_to_nothing_and_a_merged_one_passes_links_on(portal):
    ada, acme = await people(portal)
    bob, other = await portal.add(email="bob@example.com"), await portal.new("companies", name="B")
    for contact, company in ((ada, acme), (bob, other)):
        await portal.put(f"{ONE.format('contacts', contact, 'companies')}/{company}", [spec(1)])
    merge = {"primaryObjectId": ada, "objectIdToMerge": bob}
    merged = (await portal.post("/crm/v3/objects/contacts/merge", merge)).json["id"]

    expected = {acme: [279, 1], other: [279]}
    assert await types(portal, "contacts", merged, "companies") == expected
    assert await types(portal, "contacts", bob, "companies") == expected
    assert await types(portal, "companies", other, "contacts") == {merged: [280]}
    await portal.delete(f"/crm/v3/objects/companies/{acme}")
    assert await types(portal, "contacts", merged, "companies") == {other: [279]}


async def test_some_portals_keep_the_primary_id_in_a_merge(make_portal):
    portal = make_portal(keeps_primary_id=True)
    ada, bob = await portal.add(email="ada@example.com"), await portal.add(email="bob@example.com")
    acme = await portal.new("companies", name="Acme")
    await portal.put(f"/crm/v4/objects/contacts/{bob}/associations/default/companies/{acme}")
    merge = {"primaryObjectId": ada, "objectIdToMerge": bob}
    merged = await portal.post("/crm/v3/objects/contacts/merge", merge)
    asked = "hs_merged_object_ids,hs_additional_emails,email"
    read = await portal.get(f"/crm/v3/objects/contacts/{bob}", properties=asked)

    assert merged.json["id"] == read.json["id"] == ada
    assert read.json["properties"]["hs_merged_object_ids"] == bob
    assert read.json["properties"]["hs_additional_emails"] == "bob@example.com"
    assert await types(portal, "contacts", ada, "companies") == {acme: [279]}
    assert (await portal.get("/crm/v3/objects/contacts")).ids == [ada]
    assert (await portal.search()).ids == [ada]
    by_email = await portal.get("/crm/v3/objects/contacts/bob@example.com", idProperty="email")
    assert by_email.json["id"] == ada


async def test_deals_move_people_forward_where_the_portal_is_set_so(make_portal):
    async def stage(portal, kind, id):
        read = await portal.get(f"/crm/v3/objects/{kind}/{id}", properties="lifecyclestage")
        return read.json["properties"]["lifecyclestage"]

    for moves in (True, False):
        portal = make_portal(deals_move_lifecycle=moves)
        ada = await portal.add(email="ada@example.com", lifecyclestage="lead")
        eve = await portal.add(email="eve@example.com", lifecyclestage="evangelist")
        acme = await portal.new("companies", name="Acme")
        links = (to(ada, 3), to(eve, 3), to(acme, 341))
        deal = await portal.new("deals", *links, dealname="D", dealstage="qualifiedtobuy")
        first = [await stage(portal, "contacts", ada), await stage(portal, "companies", acme)]
        won = {"properties": {"dealstage": "closedwon"}}
        await portal.patch(f"/crm/v3/objects/deals/{deal}", won)

        assert first == (["opportunity"] * 2 if moves else ["lead", None])
        assert await stage(portal, "contacts", ada) == ("customer" if moves else "lead")
        assert await stage(portal, "contacts", eve) == "evangelist"


async def test_labels_of_ones_own(portal):
    ada, acme = await people(portal)
    path = "/crm/v4/associations/contacts/companies/labels"
    made = await portal.post(path, {"label": "Payer", "name": "payer", "inverseLabel": "Paid by"})
    forward, backward = (each["typeId"] for each in made.json["results"])
    link = f"{ONE.format('contacts', ada, 'companies')}/{acme}"
    linked = await portal.put(link, [spec(forward, "USER_DEFINED")])

    assert linked.json["labels"] == ["Payer"]
    assert await types(portal, "companies", acme, "contacts") == {ada: [280, backward]}
    assert (await portal.post(path, {"label": "Payer", "name": "again"})).status == 409
    change = {"associationTypeId": forward, "label": "Pays"}
    assert (await portal.put(path, change)).status == 204
    listed = {each["typeId"]: each["label"] for each in (await portal.get(path)).json["results"]}
    assert listed == {279: None, 1: "Primary", forward: "Pays"}
    assert (await portal.delete(f"{path}/279")).status == 400
    assert (await portal.delete(f"{path}/{forward}")).status == 204
    assert await types(portal, "companies", acme, "contacts") == {ada: [280]}


async def test_older_endpoints_name_the_types(portal):
    ada, acme = await people(portal)
    link = {**pair(ada, acme), "type": "contact_to_company"}
    path = "/crm/v3/associations/contacts/companies/batch/"
    made = await portal.post(path + "create", {"inputs": [link]})
    read = await portal.post(path + "read", {"inputs": [{"id": ada}]})
    removed = await portal.post(path + "archive", {"inputs": [link]})
    wrong = await portal.post(path + "create", {"inputs": [{**link, "type": "friend"}]})

    assert made.status == 201
    assert [each["type"] for each in read.json["results"][0]["to"]] == [
        "contact_to_company_unlabeled",
        "contact_to_company",
    ]
    assert removed.status == 204
    assert await types(portal, "contacts", ada, "companies") == {acme: [279]}
    assert wrong.status == 400


async def test_links_are_told_to_subscribers_of_either_end(portal, make_receiver):
    receiver = make_receiver(portal)
    settings = {"targetUrl": receiver.url, "throttling": {"maxConcurrentRequests": 10}}
    await portal.developer("PUT", "settings", settings)
    for noun in ("contact", "company"):
        wanted = {"eventType": f"{noun}.associationChange", "active": True}
        await portal.developer("POST", "subscriptions", wanted)
    ada, acme = await people(portal)
    path = f"{ONE.format('contacts', ada, 'companies')}/{acme}"
    await portal.put(path, [spec(1)])
    await portal.delete(path)
    await portal.simulator.drain()

    [made, removed] = receiver.of("contact.associationChange")
    assert made["associationType"] == "CONTACT_TO_COMPANY"
    assert (made["fromObjectId"], made["toObjectId"]) == (int(ada), int(acme))
    assert made["isPrimaryAssociation"] is True
    assert "objectId" not in made
    assert removed["associationRemoved"] is True
    assert [event["associationType"] for event in receiver.of("company.associationChange")] == [
        "COMPANY_TO_CONTACT"
    ] * 2


async def test_links_need_the_scope_of_where_they_start(make_portal):
    portal = make_portal(scopes={"crm.objects.contacts.read"})
    edit = {"resource": "contacts", "fields": {"email": "a@b.cc"}}
    id = (await portal.control("edit", edit)).json["record"]["id"]

    assert (await portal.get(ONE.format("contacts", id, "companies"))).status == 200
    assert (await portal.get(ONE.format("companies", id, "contacts"))).status == 403
    put = await portal.put(f"{ONE.format('contacts', id, 'companies')}/1", [spec(279)])
    assert put.status == 403


async def test_answers_about_links_fit_the_description(portal, load_spec):
    described, ada_acme = load_spec("associations_v4"), await people(portal)
    ada, acme = ada_acme
    one = ONE.format("contacts", ada, "companies")
    check = described.check
    check(
        "basic_api.create_default",
        await portal.put(f"/crm/v4/objects/contacts/{ada}/associations/default/companies/{acme}"),
    )
    check("basic_api.create", await portal.put(f"{one}/{acme}", [spec(1)]))
    check("basic_api.get_page", await portal.get(one))
    many = "contacts", "companies"
    create = MANY.format(*many, "create")
    check("batch_api.create", await portal.post(create, {"inputs": [pair(ada, acme, 1)]}))
    bad = {"inputs": [pair(ada, acme, 1), pair(ada, "9", 1)]}
    check("batch_api.create", await portal.post(create, bad))
    default = {"inputs": [pair(ada, acme)]}
    path = MANY.format(*many, "associate/default")
    check("batch_api.create_default", await portal.post(path, default))
    path = MANY.format(*many, "read")
    check("batch_api.get_page", await portal.post(path, {"inputs": [{"id": ada}]}))
    check("batch_api.get_page", await portal.post(path, {"inputs": [{"id": ada}, {"id": "9"}]}))
    path, gone = MANY.format(*many, "labels/archive"), {"inputs": [pair(ada, acme, 1)]}
    check("batch_api.archive_labels", await portal.post(path, gone))
    gone = {"inputs": [{"from": {"id": ada}, "to": [{"id": acme}]}]}
    check("batch_api.archive", await portal.post(MANY.format(*many, "archive"), gone))
    check("basic_api.archive", await portal.delete(f"{one}/{acme}"))

    check = load_spec("associations_v4_schema").check
    path = "/crm/v4/associations/contacts/companies/labels"
    made = await portal.post(path, {"label": "Payer", "name": "payer"})
    check("definitions_api.create", made)
    id = made.json["results"][0]["typeId"]
    check("definitions_api.get_all", await portal.get(path))
    change = {"associationTypeId": id, "label": "P"}
    check("definitions_api.update", await portal.put(path, change))
    check("definitions_api.remove", await portal.delete(f"{path}/{id}"))
    contact = await portal.get(f"/crm/v3/objects/contacts/{ada}", associations="companies")
    load_spec("contacts").check("basic_api.get_by_id", contact)


@pytest.mark.parametrize(
    ("name", "most"),
    [("create", 2000), ("read", 1000), ("archive", 100), ("labels/archive", 100)],
)
async def test_batches_of_links_have_limits_of_their_own(portal, name, most):
    ada, acme = await people(portal)
    entry = {**pair(ada, acme, 279), "id": ada}
    path = MANY.format("contacts", "companies", name)
    at_most = await portal.post(path, {"inputs": [entry] * most})
    beyond = await portal.post(path, {"inputs": [entry] * (most + 1)})

    assert at_most.status < 300
    assert beyond.status == 400


async def test_the_same_seed_gives_the_same_ids_tokens_and_codes(make_portal):
    async def live():
        portal = make_portal(seed=5, records=10)
        ada, acme = await people(portal)
        await portal.put(f"/crm/v4/objects/contacts/{ada}/associations/default/companies/{acme}")
        body = {"label": "P", "displayOrder": 1, "stages": []}
        made = await portal.post("/crm/v3/pipelines/deals", body)
        issued = portal.simulator.credentials
        return ada, acme, made.json["id"], issued, portal.simulator.rng.getrandbits(32)

    assert await live() == await live()
