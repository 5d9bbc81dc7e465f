"""Answers against the digest of the platform's own API description."""

import re
from urllib.parse import urlencode

import pytest


async def test_objects(portal, load_spec):
    spec, path = load_spec("contacts"), "/crm/v3/objects/contacts"
    created = await portal.post(path, {"properties": {"email": "ada@example.com"}})
    id = created.json["id"]
    spec.check("basic_api.create", created)
    spec.check("basic_api.get_by_id", await portal.get(f"{path}/{id}"))
    with_history = await portal.get(path, limit=1, propertiesWithHistory="email")
    spec.check("basic_api.get_page", with_history)
    other = await portal.add(email="bob@example.com")
    await portal.add(email="cid@example.com")
    spec.check("basic_api.get_page", await portal.get(path, limit=1))
    body = {"properties": {"phone": "1"}}
    spec.check("basic_api.update", await portal.patch(f"{path}/{id}", body))
    spec.check("search_api.do_search", await portal.search(limit=1))
    merge = {"primaryObjectId": id, "objectIdToMerge": other}
    merged = await portal.post(f"{path}/merge", merge)
    spec.check("basic_api.merge", merged)
    spec.check("basic_api.archive", await portal.delete(f"{path}/{merged.json['id']}"))
    erase = {"objectId": "cid@example.com", "idProperty": "email"}
    spec.check("basic_api.purge", await portal.post(f"{path}/gdpr-delete", erase))


async def test_batches(portal, load_spec):
    spec = load_spec("contacts")
    good = {"properties": {"email": "ada@example.com"}, "objectWriteTraceId": "a"}
    bad = {"properties": {"email": "bad"}, "objectWriteTraceId": "b"}
    created = await portal.batch("create", good)
    [id] = created.ids
    up = {"idProperty": "email", "id": "ada@example.com", **good}
    bad_up = {"idProperty": "email", "id": "bad", **bad}
    spec.check("batch_api.create", created)
    spec.check("batch_api.create", await portal.batch("create", good, bad))
    spec.check("batch_api.read", await portal.batch("read", {"id": id}))
    spec.check("batch_api.read", await portal.batch("read", {"id": id}, {"id": "999"}))
    spec.check("batch_api.update", await portal.batch("update", {**good, "id": id}))
    update = await portal.batch("update", {**good, "id": id}, {**bad, "id": "999"})
    spec.check("batch_api.update", update)
    spec.check("batch_api.upsert", await portal.batch("upsert", up))
    spec.check("batch_api.upsert", await portal.batch("upsert", up, bad_up))
    spec.check("batch_api.archive", await portal.batch("archive", {"id": id}))


async def test_errors_are_error_bodies(portal, load_spec):
    spec = load_spec("contacts")
    path = "/crm/v3/objects/contacts"
    id = await portal.add(email="ada@example.com")
    for answer in (
        await portal.post(path, {"properties": {"email": "ada@example.com"}}),
        await portal.post(path, {"properties": {"nope": "1"}}),
        await portal.call("GET", path, headers={"authorization": ""}),
        await portal.patch(f"{path}/{id}", {}),
    ):
        assert answer.status >= 400
        spec.fits(answer.json, "Error", str(answer.status))


async def test_properties_owners_webhooks_and_tokens(portal, make_receiver, load_spec):
    spec, path = load_spec("properties"), "/crm/v3/properties/contacts"
    body = {"name": "erp_id", "label": "ERP", "type": "string", "fieldType": "text"}
    spec.check(
        "core_api.create", await portal.post(path, body | {"groupName": "contactinformation"})
    )
    spec.check("core_api.get_all", await portal.get(path))
    spec.check("core_api.get_by_name", await portal.get(f"{path}/email"))
    spec.check("core_api.update", await portal.patch(f"{path}/erp_id", {"label": "E"}))
    spec.check("core_api.archive", await portal.delete(f"{path}/erp_id"))
    spec.check("groups_api.get_all", await portal.get(f"{path}/groups"))

    spec = load_spec("owners")
    page = await portal.get("/crm/v3/owners/", limit=1)
    spec.check("owners_api.get_page", page)
    id = page.json["results"][0]["id"]
    spec.check("owners_api.get_by_id", await portal.get(f"/crm/v3/owners/{id}"))

    spec, receiver = load_spec("webhooks"), make_receiver(portal)
    settings = {"targetUrl": receiver.url, "throttling": {"maxConcurrentRequests": 10}}
    spec.check("settings_api.configure", await portal.developer("PUT", "settings", settings))
    spec.check("settings_api.get_all", await portal.developer("GET", "settings"))
    wanted = {"eventType": "contact.propertyChange", "propertyName": "email"}
    created = await portal.developer("POST", "subscriptions", wanted)
    spec.check("subscriptions_api.create", created)
    spec.check("subscriptions_api.get_all", await portal.developer("GET", "subscriptions"))
    one = f"subscriptions/{created.json['id']}"
    spec.check("subscriptions_api.get_by_id", await portal.developer("GET", one))
    spec.check("subscriptions_api.archive", await portal.developer("DELETE", one))
    spec.check("settings_api.clear", await portal.developer("DELETE", "settings"))


async def test_every_route_of_the_digest_for_contacts_exists(portal, load_spec):
    for operation in load_spec("contacts").operations.values():
        path = operation["path"].replace("{contactId}", "1")
        answer = await portal.call(operation["method"], path, {})

        if answer.status == 404:
            assert path.endswith("/1"), f"{operation['method']} {path} is not routed"
        assert answer.status != 405


OBJECTS = {
    "companies": ({"name": "Acme"}, {"industry": "NONSENSE"}),
    "deals": ({"dealname": "D", "dealstage": "closedwon"}, {"amount": "much"}),
    "tickets": ({"subject": "T", "hs_pipeline_stage": "1"}, {"hs_pipeline_stage": "9"}),
}


@pytest.mark.parametrize("kind", OBJECTS)
async def test_other_objects(portal, load_spec, kind):
    check, path = load_spec(kind).check, f"/crm/v3/objects/{kind}"
    properties, wrong = OBJECTS[kind]
    created = await portal.post(path, {"properties": properties})
    other = await portal.new(kind, **properties)
    id = created.json["id"]
    check("basic_api.create", created)
    check("basic_api.get_by_id", await portal.get(f"{path}/{id}"))
    check("basic_api.get_page", await portal.get(path, limit=1))
    check("basic_api.update", await portal.patch(f"{path}/{id}", {"properties": properties}))
    check("search_api.do_search", await portal.post(f"{path}/search", {"limit": 1}))
    good = {"properties": properties, "objectWriteTraceId": "a"}
    bad = {"properties": {**properties, **wrong}, "objectWriteTraceId": "b"}
    for name, entries in (
        ("create", [good]),
        ("create", [good, bad]),
        ("update", [{**good, "id": id}]),
        ("update", [{**good, "id": id}, {**bad, "id": other}]),
        ("read", [{"id": id}]),
        ("read", [{"id": id}, {"id": "999"}]),
    ):
        check(f"batch_api.{name}", await portal.post(f"{path}/batch/{name}", {"inputs": entries}))
    merge = {"primaryObjectId": id, "objectIdToMerge": other}
    merged = await portal.post(f"{path}/merge", merge)
    check("basic_api.merge", merged)
    ids = {"inputs": [{"id": merged.json["id"]}]}
    check("batch_api.archive", await portal.post(f"{path}/batch/archive", ids))
    check("basic_api.archive", await portal.delete(f"{path}/{id}"))


@pytest.mark.parametrize(
    "name", ["companies", "deals", "tickets", "associations_v4", "oauth", "owners", "properties"]
)
async def test_every_route_of_the_digest_exists(portal, load_spec, name):
    for operation in load_spec(name).operations.values():
        if operation["sdk"] in NOT_SIMULATED:
            continue
        path = re.sub(r"\{\w*[oO]bjectType\}", "contacts", operation["path"])
        path = re.sub(r"\{\w+\}", "1", path.replace("{toObjectType}", "companies"))
        answer = await portal.call(operation["method"], path, {})

        assert answer.status != 405, path
        if answer.status == 404:
            # The record is missing, not the route: those differ in what was counted.
            assert not portal.simulator.calls.count(path="(unknown)"), path


NOT_SIMULATED = {"report_api.request"}


async def test_tokens(portal, load_spec):
    check, credentials = load_spec("oauth").check, portal.simulator.credentials
    names = ("client_id", "client_secret", "refresh_token")
    form = {"grant_type": "refresh_token", **{name: credentials[name] for name in names}}
    issued = await portal.call("POST", "/oauth/v1/token", raw=urlencode(form).encode())
    check("tokens_api.create", issued)
    token = issued.json["access_token"]
    check("access_tokens_api.get", await portal.get(f"/oauth/v1/access-tokens/{token}"))
    path = f"/oauth/v1/refresh-tokens/{form['refresh_token']}"
    check("refresh_tokens_api.get", await portal.get(path))
    check("refresh_tokens_api.archive", await portal.delete(path))
