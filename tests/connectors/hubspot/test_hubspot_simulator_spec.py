"""Answers against the digest of the platform's own API description."""

import os
from pathlib import Path

import pytest

from dovetail.core import json

ROOT = Path(__file__).parents[3]
SPECS = Path(os.environ.get("DOVETAIL_SPECS", ROOT / ".." / "shared" / "specs")) / "hubspot"

pytestmark = pytest.mark.skipif(
    not SPECS.is_dir(), reason=f"no API descriptions at {SPECS}; set DOVETAIL_SPECS"
)


class Spec:
    def __init__(self, name):
        described = json.decode((SPECS / f"{name}.json").read_bytes())
        self.operations = {each["sdk"]: each for each in described["operations"]}
        self.models = described["models"]

    def check(self, operation, answer):
        responses = self.operations[operation]["responses"]
        if not responses:
            assert answer.status == 204
            return
        assert str(answer.status) in responses, f"{operation}: {answer.status} {answer.raw}"
        self.fits(answer.json, responses[str(answer.status)], operation)

    def fits(self, value, type_, where):
        """Check names, required names and plain types; `type_` is a Python type as text."""
        if type_ in self.models:
            model = self.models[type_]
            unknown = set(value) - set(model["properties"]) - NOT_IN_THE_DIGEST
            missing = set(model.get("required", ())) - set(value) - OPTIONAL_IN_FACT
            assert not unknown, f"{where}: {type_} has no {unknown}"
            assert not missing, f"{where}: {type_} needs {missing}"
            for name, its_type in model["properties"].items():
                if name in value:
                    self.fits(value[name], its_type, f"{where}.{name}")
            for name, allowed in model.get("enum", {}).items():
                assert value.get(name) in [*allowed, None], f"{where}.{name}: {value[name]}"
        elif type_.startswith("list["):
            for position, item in enumerate(value):
                self.fits(item, type_[5:-1], f"{where}[{position}]")
        elif type_.startswith("dict["):
            for name, item in value.items():
                self.fits(item, type_[5:-1].split(", ", 1)[1], f"{where}.{name}")
        else:
            plain = {"str": str, "datetime": str, "int": int, "bool": bool, "object": object}
            assert value is None or isinstance(value, plain[type_]), f"{where}: {value!r} {type_}"


# The digest is of an SDK: everything in a real error body is optional (card, section 7), and
# the phone number field type is known to the platform though not to its SDK.
OPTIONAL_IN_FACT = {"links", "errors", "context"}
NOT_IN_THE_DIGEST = {"status"}


async def test_objects(portal):
    spec, path = Spec("contacts"), "/crm/v3/objects/contacts"
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


async def test_batches(portal):
    spec = Spec("contacts")
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


async def test_errors_are_error_bodies(portal):
    spec = Spec("contacts")
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


async def test_properties_owners_webhooks_and_tokens(portal, make_receiver):
    spec, path = Spec("properties"), "/crm/v3/properties/contacts"
    body = {"name": "erp_id", "label": "ERP", "type": "string", "fieldType": "text"}
    spec.check(
        "core_api.create", await portal.post(path, body | {"groupName": "contactinformation"})
    )
    spec.check("core_api.get_all", await portal.get(path))
    spec.check("core_api.get_by_name", await portal.get(f"{path}/email"))
    spec.check("core_api.update", await portal.patch(f"{path}/erp_id", {"label": "E"}))
    spec.check("core_api.archive", await portal.delete(f"{path}/erp_id"))
    spec.check("groups_api.get_all", await portal.get(f"{path}/groups"))

    spec = Spec("owners")
    page = await portal.get("/crm/v3/owners/", limit=1)
    spec.check("owners_api.get_page", page)
    id = page.json["results"][0]["id"]
    spec.check("owners_api.get_by_id", await portal.get(f"/crm/v3/owners/{id}"))

    spec, receiver = Spec("webhooks"), make_receiver(portal)
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


async def test_every_route_of_the_digest_for_contacts_exists(portal):
    for operation in Spec("contacts").operations.values():
        path = operation["path"].replace("{contactId}", "1")
        answer = await portal.call(operation["method"], path, {})

        if answer.status == 404:
            assert path.endswith("/1"), f"{operation['method']} {path} is not routed"
        assert answer.status != 405
