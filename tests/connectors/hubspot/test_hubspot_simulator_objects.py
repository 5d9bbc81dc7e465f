"""Lists, single records, merges: what the fact card says of them."""

CONTACTS = "/crm/v3/objects/contacts"


async def test_only_the_requested_properties_come_back_and_three_always(portal):
    id = await portal.add(email="ada@example.com", firstname="Ada", phone="1")

    default = (await portal.get(f"{CONTACTS}/{id}")).json["properties"]
    asked = (await portal.get(f"{CONTACTS}/{id}", properties="phone,city,nope")).json["properties"]

    always = {"createdate", "hs_object_id", "lastmodifieddate"}
    assert set(default) == always | {"email", "firstname", "lastname"}
    assert set(asked) == always | {"phone", "city"}
    assert asked["phone"] == "1"
    assert asked["city"] is None


async def test_arrays_in_the_query_may_be_repeated(portal):
    id = await portal.add(email="ada@example.com", phone="1", city="London")
    asked = await portal.get(f"{CONTACTS}/{id}", properties=["phone", "city"])

    assert {"phone", "city"} <= set(asked.json["properties"])


async def test_a_record_has_the_envelope_of_the_card(portal):
    id = await portal.add(email="ada@example.com")
    record = (await portal.get(f"{CONTACTS}/{id}")).json

    assert id.isdecimal()
    assert record["properties"]["hs_object_id"] == record["id"] == id
    assert record["createdAt"] == record["properties"]["createdate"]
    assert record["updatedAt"] == record["properties"]["lastmodifieddate"]
    assert record["createdAt"].endswith("Z")
    assert len(record["createdAt"]) == 24
    assert record["archived"] is False


async def test_the_list_pages_by_id_and_the_last_page_has_no_paging(make_portal):
    portal = make_portal(records=250)
    first = await portal.get(CONTACTS, limit=100)
    cursor = first.json["paging"]["next"]
    second = await portal.get(CONTACTS, limit=100, after=cursor["after"])
    third = await portal.get(CONTACTS, limit=100, after=second.json["paging"]["next"]["after"])
    ids = [int(id) for page in (first, second, third) for id in page.ids]

    assert ids == sorted(set(ids))
    assert len(ids) == 250
    assert "paging" not in third.json
    assert cursor["link"].startswith(f"https://api.hubapi.com{CONTACTS}?limit=100")
    assert second.ids[0] == cursor["after"]


async def test_the_list_gives_ten_by_default_and_at_most_a_hundred(make_portal):
    portal = make_portal(records=120)

    assert len((await portal.get(CONTACTS)).ids) == 10
    assert (await portal.get(CONTACTS, limit=101)).status == 400
    assert (await portal.get(CONTACTS, limit=51, propertiesWithHistory="email")).status == 400
    assert (await portal.get(CONTACTS, limit=50, propertiesWithHistory="email")).status == 200


async def test_a_list_goes_on_when_the_record_of_its_cursor_was_archived(make_portal):
    portal = make_portal(records=30)
    cursor = (await portal.get(CONTACTS)).json["paging"]["next"]["after"]
    await portal.delete(f"{CONTACTS}/{cursor}")
    page = await portal.get(CONTACTS, after=cursor, limit=100)

    assert len(page.ids) == 19
    assert cursor not in page.ids


async def test_one_can_be_found_by_its_address_in_any_case(portal):
    id = await portal.add(email="Ada.Byron@Example.COM ")
    found = await portal.get(f"{CONTACTS}/ADA.byron@example.com", idProperty="email")

    assert found.json["id"] == id
    assert found.json["properties"]["email"] == "ada.byron@example.com"


async def test_archived_records_are_only_seen_where_archived_is_asked_for(portal):
    id = await portal.add(email="ada@example.com")
    kept = await portal.add(email="bob@example.com")
    assert (await portal.delete(f"{CONTACTS}/{id}")).status == 204

    missing = await portal.get(f"{CONTACTS}/{id}")
    archived = await portal.get(f"{CONTACTS}/{id}", archived="true")

    assert missing.status == 404
    assert missing.json["message"] == "resource not found"
    assert archived.json["archived"] is True
    assert archived.json["archivedAt"]
    assert (await portal.get(CONTACTS)).ids == [kept]
    assert (await portal.get(CONTACTS, archived="true")).ids == [id]


async def test_archiving_what_does_not_exist_succeeds(portal):
    assert (await portal.delete(f"{CONTACTS}/999999")).status == 204


async def test_an_address_that_is_taken_is_a_conflict_that_names_the_record(portal):
    id = await portal.add(email="ada@example.com")
    again = await portal.post(CONTACTS, {"properties": {"email": "ADA@example.com"}})

    assert again.status == 409
    assert again.json["category"] == "CONFLICT"
    assert again.json["message"] == f"Contact already exists. Existing ID: {id}"
    assert again.json["correlationId"]


async def test_the_address_of_an_archived_contact_is_free_again(portal):
    id = await portal.add(email="ada@example.com")
    await portal.delete(f"{CONTACTS}/{id}")

    assert await portal.add(email="ada@example.com") != id


async def test_an_update_changes_only_what_was_sent(portal):
    id = await portal.add(email="ada@example.com", firstname="Ada", phone="1")
    await portal.clock.sleep(5)
    updated = await portal.patch(f"{CONTACTS}/{id}", {"properties": {"phone": ""}})
    record = (await portal.get(f"{CONTACTS}/{id}", properties="phone,firstname")).json

    assert updated.status == 200
    assert record["properties"]["phone"] is None
    assert record["properties"]["firstname"] == "Ada"
    assert record["updatedAt"] > record["createdAt"]


async def test_a_contact_needs_an_address_or_a_name(portal):
    refused = await portal.post(CONTACTS, {"properties": {"phone": "1"}})

    assert refused.status == 400
    assert refused.json["category"] == "VALIDATION_ERROR"


async def test_the_lifecycle_stage_moves_forward_only(portal):
    id = await portal.add(email="ada@example.com", lifecyclestage="customer")
    path = f"{CONTACTS}/{id}"
    back = await portal.patch(path, {"properties": {"lifecyclestage": "lead"}})
    assert back.status == 200
    assert back.json["properties"]["lifecyclestage"] == "customer"

    await portal.patch(path, {"properties": {"lifecyclestage": ""}})
    again = await portal.patch(path, {"properties": {"lifecyclestage": "lead"}})
    assert again.json["properties"]["lifecyclestage"] == "lead"


async def test_history_is_newest_first_and_names_the_source(portal):
    id = await portal.add(email="ada@example.com", firstname="Ada")
    await portal.control(
        "edit", {"resource": "contacts", "id": id, "fields": {"firstname": "Augusta"}}
    )
    answer = await portal.get(f"{CONTACTS}/{id}", propertiesWithHistory="firstname")
    versions = answer.json["propertiesWithHistory"]["firstname"]

    assert [version["value"] for version in versions] == ["Augusta", "Ada"]
    assert [version["sourceType"] for version in versions] == ["CRM_UI", "INTEGRATION"]
    assert versions[1]["sourceId"] == portal.simulator.credentials["app_id"]


async def test_a_merge_makes_a_new_id_that_the_old_ones_lead_to(portal):
    one = await portal.add(email="ada@example.com", firstname="Ada", lifecyclestage="lead")
    two = await portal.add(email="a.byron@example.com", phone="1", lifecyclestage="customer")
    body = {"primaryObjectId": one, "objectIdToMerge": two}
    merged = (await portal.post(f"{CONTACTS}/merge", body)).json
    names = "email,firstname,phone,lifecyclestage,hs_additional_emails,hs_merged_object_ids"
    seen = [(await portal.get(f"{CONTACTS}/{id}", properties=names)).json for id in (one, two)]

    assert merged["id"] not in (one, two)
    assert [record["id"] for record in seen] == [merged["id"], merged["id"]]
    properties = seen[0]["properties"]
    assert properties["email"] == "ada@example.com"
    assert properties["hs_additional_emails"] == "a.byron@example.com"
    assert properties["phone"] == "1"
    assert properties["lifecyclestage"] == "customer"
    assert properties["hs_merged_object_ids"] == f"{one};{two}"


async def test_after_a_merge_the_secondary_address_finds_and_blocks(portal):
    one = await portal.add(email="ada@example.com")
    two = await portal.add(email="a.byron@example.com")
    body = {"primaryObjectId": one, "objectIdToMerge": two}
    merged = (await portal.post(f"{CONTACTS}/merge", body)).json
    found = await portal.get(f"{CONTACTS}/a.byron@example.com", idProperty="email")
    again = await portal.post(CONTACTS, {"properties": {"email": "a.byron@example.com"}})

    assert found.json["id"] == merged["id"]
    assert again.status == 409
    assert (await portal.get(CONTACTS)).ids == [merged["id"]]
    assert (await portal.get(CONTACTS, archived="true")).ids == []


async def test_a_merge_of_unknown_or_equal_records_is_refused(portal):
    one = await portal.add(email="ada@example.com")
    missing = {"primaryObjectId": one, "objectIdToMerge": "999999"}
    same = {"primaryObjectId": one, "objectIdToMerge": one}

    assert (await portal.post(f"{CONTACTS}/merge", missing)).status == 404
    assert (await portal.post(f"{CONTACTS}/merge", same)).status == 400


async def test_erasing_leaves_nothing(portal):
    id = await portal.add(email="ada@example.com", firstname="Ada")
    body = {"objectId": "ada@example.com", "idProperty": "email"}

    assert (await portal.post(f"{CONTACTS}/gdpr-delete", body)).status == 204
    assert (await portal.get(f"{CONTACTS}/{id}")).status == 404
    shown = await portal.control("records/contacts?deleted=true")
    assert "Ada" not in shown.raw.decode()


async def test_other_types_have_another_modification_property(portal):
    company = await portal.post(
        "/crm/v3/objects/companies", {"properties": {"name": "Acme", "domain": "example.com"}}
    )
    by_id = await portal.get(f"/crm/v3/objects/0-2/{company.json['id']}")
    ticket = await portal.post(
        "/crm/v3/objects/tickets", {"properties": {"subject": "Help", "hs_pipeline_stage": "1"}}
    )
    deal = await portal.post("/crm/v3/objects/deals", {"properties": {"dealname": "Big"}})

    assert "hs_lastmodifieddate" in by_id.json["properties"]
    assert "lastmodifieddate" not in by_id.json["properties"]
    assert ticket.status == deal.status == 201
    assert (await portal.get("/crm/v3/objects/nothings")).status == 400


async def test_whether_a_deal_was_won_is_computed(portal):
    path, properties = "/crm/v3/objects/deals", {"dealname": "Big", "dealstage": "closedwon"}
    id = (await portal.post(path, {"properties": properties})).json["id"]
    asked = await portal.get(f"{path}/{id}", properties="hs_is_closed_won,pipeline")

    assert asked.json["properties"]["hs_is_closed_won"] == "true"
    assert asked.json["properties"]["pipeline"] == "default"


async def test_associations_are_refused_rather_than_forgotten(portal):
    body = {"properties": {"firstname": "Ada"}, "associations": [{"to": {"id": "1"}, "types": []}]}

    assert (await portal.post(CONTACTS, body)).status == 400
