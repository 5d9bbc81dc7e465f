"""Pipelines and stages, and what they make of deals and tickets; restoring records."""

import pytest

DEALS, TICKETS = "/crm/v3/pipelines/deals", "/crm/v3/pipelines/tickets"
STAGES = [
    {"label": "Talk", "displayOrder": 0, "metadata": {"probability": "0.2"}},
    {"label": "Won", "displayOrder": 1, "metadata": {"probability": "1.0"}},
]


async def own_pipeline(portal):
    body = {"label": "Partners", "displayOrder": 1, "stages": STAGES}
    made = await portal.post(DEALS, body)
    assert made.status == 201, made.raw
    return made.json["id"], [stage["id"] for stage in made.json["stages"]]


async def deal(portal, **properties):
    return await portal.post("/crm/v3/objects/deals", {"properties": properties})


async def test_a_stage_belongs_to_its_pipeline(portal):
    pipeline, [talk, won] = await own_pipeline(portal)
    right = await deal(portal, dealname="A", pipeline=pipeline, dealstage=won)
    wrong = await deal(portal, dealname="B", pipeline="default", dealstage=talk)
    missing = await deal(portal, dealname="C", dealstage=talk)
    path = f"/crm/v3/objects/deals/{right.json['id']}"
    alone = await portal.patch(path, {"properties": {"pipeline": "default"}})
    both = {"pipeline": "default", "dealstage": "closedlost"}
    together = await portal.patch(path, {"properties": both})

    assert right.status == 201
    for refused in (wrong, missing, alone):
        assert refused.status == 400
        assert "INVALID_OPTION" in refused.json["message"]
    assert together.status == 200
    closed = await portal.get(path, properties="hs_is_closed_won")
    assert closed.json["properties"]["hs_is_closed_won"] == "false"


async def test_a_deal_is_won_by_the_probability_of_its_stage(portal):
    pipeline, [_, won] = await own_pipeline(portal)
    made = await deal(portal, dealname="A", pipeline=pipeline, dealstage=won)
    read = await portal.get(
        f"/crm/v3/objects/deals/{made.json['id']}", properties="hs_is_closed_won"
    )

    assert read.json["properties"]["hs_is_closed_won"] == "true"


async def test_properties_offer_the_pipelines_and_stages_that_there_are(portal):
    pipeline, stages = await own_pipeline(portal)
    path = "/crm/v3/properties/deals/"
    before = [each["value"] for each in (await portal.get(path + "pipeline")).json["options"]]
    await portal.delete(f"{DEALS}/{pipeline}/stages/{stages[0]}")
    offered = [each["value"] for each in (await portal.get(path + "dealstage")).json["options"]]
    await portal.delete(f"{DEALS}/{pipeline}")
    after = [each["value"] for each in (await portal.get(path + "pipeline")).json["options"]]

    assert before == ["default", pipeline]
    assert stages[1] in offered
    assert stages[0] not in offered
    assert after == ["default"]
    assert (await portal.get(f"{DEALS}/{pipeline}")).status == 404


async def test_a_pipeline_in_use_is_kept_when_the_caller_asks_for_that(portal):
    pipeline, [talk, _] = await own_pipeline(portal)
    await deal(portal, dealname="A", pipeline=pipeline, dealstage=talk)
    path = f"{DEALS}/{pipeline}?validateReferencesBeforeDelete=true"

    assert (await portal.delete(path)).status == 400
    assert (await portal.delete(path.partition("?")[0])).status == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"label": "A", "displayOrder": 0},
        {"label": "A", "displayOrder": 0, "stages": [{"label": "S", "displayOrder": 0}]},
        {"label": "", "displayOrder": 0, "stages": []},
        {"label": "A", "displayOrder": "x", "stages": []},
    ],
)
async def test_an_incomplete_pipeline_is_refused(portal, wrong):
    assert (await portal.post(DEALS, wrong)).status == 400
    assert len((await portal.get(DEALS)).json["results"]) == 1


async def test_only_deals_and_tickets_have_pipelines(portal):
    assert (await portal.get("/crm/v3/pipelines/contacts")).status == 404
    assert (await portal.get("/crm/v3/pipelines/0-5")).json["results"][0]["id"] == "0"


async def test_a_person_restores_a_record_with_its_address_and_links(portal, make_receiver):
    receiver = make_receiver(portal)
    settings = {"targetUrl": receiver.url, "throttling": {"maxConcurrentRequests": 10}}
    await portal.developer("PUT", "settings", settings)
    wanted = {"eventType": "contact.restore", "active": True}
    await portal.developer("POST", "subscriptions", wanted)
    ada, acme = await portal.add(email="ada@example.com"), await portal.new("companies", name="A")
    await portal.put(f"/crm/v4/objects/contacts/{ada}/associations/default/companies/{acme}")
    await portal.delete(f"/crm/v3/objects/contacts/{ada}")
    edit = {"resource": "contacts", "id": ada, "fields": {"archived": False}}
    restored = await portal.control("edit", edit)
    await portal.simulator.drain()

    assert restored.status == 200
    read = await portal.get(f"/crm/v3/objects/contacts/{ada}", associations="companies")
    assert read.json["associations"]["companies"]["results"][0]["id"] == acme
    taken = await portal.post(
        "/crm/v3/objects/contacts", {"properties": {"email": "ada@example.com"}}
    )
    assert taken.status == 409
    assert [event["objectId"] for event in receiver.of("contact.restore")] == [int(ada)]
    assert (await portal.control("edit", edit)).status == 404


async def test_a_record_whose_address_went_to_another_cannot_be_restored(portal):
    ada = await portal.add(email="ada@example.com")
    await portal.delete(f"/crm/v3/objects/contacts/{ada}")
    await portal.add(email="ada@example.com")
    edit = {"resource": "contacts", "id": ada, "fields": {"archived": False}}

    assert (await portal.control("edit", edit)).status == 409


async def test_properties_are_defined_and_read_in_batches(portal):
    path = "/crm/v3/properties/contacts/batch/"
    plain = {"label": "L", "type": "string", "fieldType": "text", "groupName": "contactinformation"}
    inputs = [{**plain, "name": "one"}, {**plain, "name": "Not A Name"}]
    made = await portal.post(path + "create", {"inputs": inputs})
    names = {"inputs": [{"name": "one"}, {"name": "none"}], "archived": False}
    read = await portal.post(path + "read", names)
    await portal.post(path + "archive", names)

    assert made.status == 207
    assert [each["name"] for each in made.json["results"]] == ["one"]
    assert made.json["errors"][0]["context"] == {"name": ["Not A Name"]}
    assert read.status == 207
    assert [each["name"] for each in read.json["results"]] == ["one"]
    assert (await portal.get("/crm/v3/properties/contacts/one")).status == 404


async def test_a_group_holds_properties_and_stays_while_it_does(portal):
    path = "/crm/v3/properties/contacts"
    body = {"name": "erp", "label": "ERP"}
    field = {"name": "erp_id", "label": "I", "type": "string", "fieldType": "text"}
    before = await portal.post(path, {**field, "groupName": "erp"})
    await portal.post(path + "/groups", body)
    made = await portal.post(path, {**field, "groupName": "erp"})

    assert before.status == 400
    assert made.status == 201
    assert (await portal.post(path + "/groups", body)).status == 409
    assert (await portal.delete(path + "/groups/erp")).status == 400
    await portal.delete(path + "/erp_id")
    assert (await portal.delete(path + "/groups/erp")).status == 204
    assert (await portal.get(path + "/groups/erp")).status == 404


async def test_answers_about_pipelines_fit_the_description(portal, load_spec):
    check = load_spec("pipelines").check
    body = {"label": "Partners", "displayOrder": 1, "stages": STAGES}
    made = await portal.post(DEALS, body)
    check("pipelines_api.create", made)
    one = f"{DEALS}/{made.json['id']}"
    check("pipelines_api.get_all", await portal.get(DEALS))
    check("pipelines_api.get_by_id", await portal.get(one))
    check("pipelines_api.update", await portal.patch(one, {"label": "P"}))
    check("pipelines_api.replace", await portal.put(one, body))
    check("pipeline_stages_api.get_all", await portal.get(f"{one}/stages"))
    stage = await portal.post(f"{one}/stages", STAGES[0])
    check("pipeline_stages_api.create", stage)
    its = f"{one}/stages/{stage.json['id']}"
    check("pipeline_stages_api.get_by_id", await portal.get(its))
    check("pipeline_stages_api.update", await portal.patch(its, {"label": "T"}))
    check("pipeline_stages_api.replace", await portal.put(its, STAGES[0]))
    check("pipeline_stages_api.archive", await portal.delete(its))
    check("pipelines_api.archive", await portal.delete(one))
    check("pipelines_api.get_all", await portal.get(TICKETS))


async def test_answers_about_batches_and_groups_of_properties_fit_the_description(
    portal, load_spec
):
    check = load_spec("properties").check
    path = "/crm/v3/properties/companies"
    group = {"name": "erp", "label": "ERP", "displayOrder": 2}
    check("groups_api.create", await portal.post(path + "/groups", group))
    check("groups_api.get_by_name", await portal.get(path + "/groups/erp"))
    check("groups_api.update", await portal.patch(path + "/groups/erp", {"label": "E"}))
    field = {"name": "erp_id", "label": "I", "type": "string", "fieldType": "text"}
    inputs = {"inputs": [{**field, "groupName": "erp"}]}
    check("batch_api.create", await portal.post(path + "/batch/create", inputs))
    check("batch_api.create", await portal.post(path + "/batch/create", inputs))
    names = {"inputs": [{"name": "erp_id"}], "archived": False}
    check("batch_api.read", await portal.post(path + "/batch/read", names))
    check("batch_api.archive", await portal.post(path + "/batch/archive", names))
    check("batch_api.read", await portal.post(path + "/batch/read", names))
    check("groups_api.archive", await portal.delete(path + "/groups/erp"))
