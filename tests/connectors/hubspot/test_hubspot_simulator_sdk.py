"""The vendor's own SDK over a socket: it must not be able to tell."""

import http.client
import http.server
import json
import queue
import threading
import urllib.request
from datetime import datetime
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from dovetail.simulator_sdk.background import served_sandbox

hubspot = pytest.importorskip(
    "hubspot", reason="the vendor's SDK is not installed: pip install 'dovetail[sdk]'"
)
from hubspot.crm.contacts import ApiException  # noqa: E402 - only where the SDK is
from hubspot.utils.signature import Signature  # noqa: E402 - as above

pytestmark = pytest.mark.real_time

FAST = {"burst_limit": 100_000, "search_limit": 100_000, "search_lag_s": 0}
BACK = "http://127.0.0.1:1/callback"


@pytest.fixture(scope="module")
def described():
    with served_sandbox(["hubspot"], records=230, settings={"hubspot": FAST}) as sandbox:
        yield sandbox["hubspot"]


@pytest.fixture
def reset(described):
    request(described, "POST", "/_sandbox/reset", {})
    return described


@pytest.fixture
def client(reset):
    return connect(reset, access_token=reset["credentials"]["access_token"])


def connect(described, **credentials):
    url = described["base_url"]
    return hubspot.Client.create(host=url, base_url=url, **credentials)


def request(described, method, path, body):
    call = urllib.request.Request(  # noqa: S310 - a loopback address
        described["base_url"] + path,
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(call) as answer:  # noqa: S310 - as above
        return json.loads(answer.read())


def create(api, **properties):
    return api.basic_api.create({"properties": properties, "associations": []})


def refused(api, *arguments, **named):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each package has its own class
        api(*arguments, **named)
    assert "ApiException" in [base.__name__ for base in type(caught.value).__mro__]
    return caught.value


KINDS = {
    "contacts": {"email": "ada@example.com"},
    "companies": {"name": "Acme"},
    "deals": {"dealname": "D", "pipeline": "default", "dealstage": "closedwon"},
    "tickets": {"subject": "T", "hs_pipeline": "0", "hs_pipeline_stage": "1"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_created_read_changed_found_and_archived(client, kind):
    api = getattr(client.crm, kind)
    made = create(api, **KINDS[kind])
    name, value = next(iter(KINDS[kind].items()))
    read = api.basic_api.get_by_id(made.id, properties=[name], properties_with_history=[name])
    changed = api.basic_api.update(made.id, {"properties": {name: f"x{value}"}})
    filters = [{"propertyName": name, "operator": "EQ", "value": f"x{value}"}]
    found = api.search_api.do_search({"filterGroups": [{"filters": filters}], "limit": 5})
    api.basic_api.archive(made.id)
    gone = api.basic_api.get_page(archived=True)

    assert read.properties[name] == value
    assert read.properties_with_history[name][0].value == value
    assert isinstance(read.created_at, datetime)
    assert changed.properties[name] == f"x{value}"
    assert [each.id for each in found.results] == [made.id]
    assert found.total == 1
    assert refused(api.basic_api.get_by_id, made.id).status == 404
    assert [(each.id, each.archived) for each in gone.results] == [(made.id, True)]
    assert api.basic_api.get_by_id(made.id, archived=True).archived_at is not None


def test_lists_have_pages_and_get_all_follows_them(client):
    api = client.crm.contacts
    page = api.basic_api.get_page(limit=100, properties=["email", "phone"])
    everyone = api.get_all()

    assert len(page.results) == 100
    assert page.paging.next.after
    assert len(everyone) == len({each.id for each in everyone}) == 230
    last = api.basic_api.get_page(limit=100, after=everyone[200].id)
    assert len(last.results) == 30
    assert last.paging is None


def test_search_sorts_and_pages_by_offset(client):
    sorts = [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}]
    seen, after = [], "0"
    while after is not None:
        asked = {"sorts": sorts, "limit": 100, "after": after, "properties": ["email"]}
        page = client.crm.contacts.search_api.do_search(asked)
        seen += page.results
        after = page.paging.next.after if page.paging else None

    stamps = [each.properties["lastmodifieddate"] for each in seen]
    assert len(seen) == page.total == 230
    assert stamps == sorted(stamps)
    beyond = refused(client.crm.contacts.search_api.do_search, {"limit": 1, "after": "10000"})
    assert beyond.status == 400


def test_batches_succeed_in_part(client):
    api = client.crm.contacts.batch_api
    rows = [
        {"properties": {"email": "ada@example.com"}, "objectWriteTraceId": "a"},
        {"properties": {"email": "nonsense"}, "objectWriteTraceId": "b"},
    ]
    made = api.create({"inputs": rows})
    [id] = [each.id for each in made.results]
    upserts = [
        {"idProperty": "email", "id": "ada@example.com", "properties": {"phone": "1"}},
        {"idProperty": "email", "id": "bob@example.com", "properties": {"firstname": "Bob"}},
    ]
    upserted = api.upsert({"inputs": upserts})
    read = api.read({"inputs": [{"id": id}, {"id": "999"}], "properties": ["phone"]})
    updated = api.update({"inputs": [{"id": id, "properties": {"phone": "2"}}]})
    api.archive({"inputs": [{"id": id}]})

    assert type(made).__name__ == "BatchResponseSimplePublicObjectWithErrors"
    assert made.num_errors == 1
    assert made.errors[0].context == {"objectWriteTraceId": ["b"]}
    assert [each.new for each in upserted.results] == [False, True]
    assert read.errors[0].context == {"ids": ["999"]}
    assert read.results[0].properties["phone"] == "1"
    assert updated.results[0].properties["phone"] == "2"
    assert refused(client.crm.contacts.basic_api.get_by_id, id).status == 404


def test_errors_are_the_sdks_own_exceptions(client):
    api = client.crm.contacts
    made = create(api, email="ada@example.com")
    with pytest.raises(ApiException) as caught:
        create(api, email="ADA@example.com")
    invalid = refused(api.basic_api.update, made.id, {"properties": {"nope": "1"}})
    domain = {"idProperty": "domain", "id": "x.example", "properties": {"name": "X"}}
    trap = refused(client.crm.companies.batch_api.upsert, {"inputs": [domain]})

    assert caught.value.status == 409
    assert json.loads(caught.value.body)["message"].endswith(f"Existing ID: {made.id}")
    assert invalid.status == 400
    assert "PROPERTY_DOESNT_EXIST" in json.loads(invalid.body)["message"]
    assert "non-unique 0-2 property domain" in json.loads(trap.body)["message"]


def test_a_merge_gives_a_new_id_to_which_both_lead(client):
    api = client.crm.contacts
    ada, bob = create(api, email="ada@example.com"), create(api, email="bob@example.com")
    merged = api.basic_api.merge({"primaryObjectId": ada.id, "objectIdToMerge": bob.id})
    asked = ["hs_merged_object_ids", "hs_additional_emails"]
    read = api.basic_api.get_by_id(bob.id, properties=asked)

    assert merged.id not in (ada.id, bob.id)
    assert read.id == merged.id
    assert read.properties["hs_merged_object_ids"] == f"{ada.id};{bob.id}"
    assert read.properties["hs_additional_emails"] == "bob@example.com"


def test_records_are_linked(client):
    ada = create(client.crm.contacts, email="ada@example.com")
    acme = create(client.crm.companies, name="Acme")
    api = client.crm.associations.v4
    api.basic_api.create_default("contacts", ada.id, "companies", acme.id)
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    made = api.basic_api.create("contacts", ada.id, "companies", acme.id, primary)
    page = api.basic_api.get_page("contacts", ada.id, "companies")
    inputs = {"inputs": [{"id": ada.id}, {"id": "999"}]}
    batch = api.batch_api.get_page("contacts", "companies", inputs)
    read = client.crm.contacts.basic_api.get_by_id(ada.id, associations=["companies"])
    labels = api.schema.definitions_api.get_all("contacts", "companies")
    older = client.crm.associations.batch_api.read(
        "contacts", "companies", {"inputs": [{"id": ada.id}]}
    )
    api.basic_api.archive("contacts", ada.id, "companies", acme.id)

    assert made.labels == ["Primary"]
    [link] = page.results
    assert str(link.to_object_id) == acme.id
    assert [each.type_id for each in link.association_types] == [279, 1]
    assert batch.num_errors == 1
    assert str(batch.results[0].to[0].to_object_id) == acme.id
    types = [each.type for each in read.associations["companies"].results]
    assert types == ["contact_to_company_unlabeled", "contact_to_company"]
    assert {each.type_id for each in labels.results} == {279, 1}
    assert {each.id for each in older.results[0].to} == {acme.id}
    assert api.basic_api.get_page("contacts", ada.id, "companies").results == []


def test_properties_owners_and_pipelines_describe_the_portal(client):
    core = client.crm.properties.core_api
    wanted = {"name": "erp_id", "label": "ERP id", "type": "string", "fieldType": "text"}
    made = core.create("contacts", {**wanted, "groupName": "contactinformation"})
    names = {each.name for each in core.get_all("contacts").results}
    changed = core.update("contacts", "erp_id", {"label": "ERP"})
    core.archive("contacts", "erp_id")
    owners = client.crm.owners.owners_api.get_page(limit=100)
    pipelines = client.crm.pipelines.pipelines_api
    stages = {each.id for each in pipelines.get_all("deals").results[0].stages}

    assert made.name == "erp_id"
    assert {"erp_id", "email", "hs_object_id"} <= names
    assert changed.label == "ERP"
    assert refused(core.get_by_name, "contacts", "erp_id").status == 404
    assert client.crm.owners.owners_api.get_by_id(owners.results[0].id).email
    assert "closedwon" in stages
    assert pipelines.get_by_id("tickets", "0").label == "Support Pipeline"


def test_an_app_is_authorised_by_a_person_and_its_token_ends(reset):
    query = {
        "client_id": reset["credentials"]["client_id"],
        "redirect_uri": BACK,
        "scope": "oauth crm.objects.contacts.read",
        "state": "s",
    }
    back = allow(f"{reset['base_url']}/oauth/authorize?{urlencode(query)}")
    tokens = connect(reset).oauth.tokens_api
    named = {name: reset["credentials"][name] for name in ("client_id", "client_secret")}
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, **named}
    request(reset, "POST", "/_sandbox/app", {"token_life_s": 0.001})
    issued = tokens.create(code=back["code"], **form)
    client = connect(reset, access_token=issued.access_token)
    while True:
        try:
            client.crm.contacts.basic_api.get_page(limit=1)
        except ApiException as error:
            expired = error
            break
    used = refused(tokens.create, code=back["code"], **form)
    request(reset, "POST", "/_sandbox/app", {"token_life_s": 1800})
    refresh = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token, **named}
    client = connect(reset, access_token=tokens.create(**refresh).access_token)

    assert back["state"] == "s"
    assert expired.status == 401
    assert json.loads(expired.body)["category"] == "EXPIRED_AUTHENTICATION"
    assert json.loads(used.body)["status"] == "BAD_AUTH_CODE"
    assert len(client.crm.contacts.basic_api.get_page(limit=1).results) == 1
    assert refused(client.crm.companies.basic_api.get_page).status == 403


def allow(url):
    """Press "Allow" as a person does, and return what comes back to the app."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("POST", f"{parts.path}?{parts.query}", body=b"decision=allow")
    answer = connection.getresponse()
    query = urlsplit(answer.headers["location"]).query
    connection.close()
    return {name: values[0] for name, values in parse_qs(query).items()}


def test_any_object_type_by_name_or_id_and_calls_of_ones_own(client, reset):
    api = client.crm.objects
    made = api.basic_api.create("0-2", {"properties": {"name": "Acme"}, "associations": []})
    read = api.basic_api.get_by_id("companies", made.id, properties=["name"])
    listed = api.get_all("companies")
    api.batch_api.update("company", {"inputs": [{"id": made.id, "properties": {"name": "B"}}]})
    answer = client.api_request(
        {"method": "GET", "path": f"/crm/objects/2026-03/companies/{made.id}"}
    )

    assert read.properties["name"] == "Acme"
    assert [each.id for each in listed] == [made.id]
    assert answer.json()["properties"]["name"] == "B"


def test_pipelines_are_made_and_deals_move_through_them(client):
    api = client.crm.pipelines
    stages = [
        {"label": "Talk", "displayOrder": 0, "metadata": {"probability": "0.5"}},
        {"label": "Won", "displayOrder": 1, "metadata": {"probability": "1.0"}},
    ]
    body = {"label": "Partners", "displayOrder": 1, "stages": stages}
    made = api.pipelines_api.create("deals", body)
    talk, won = (stage.id for stage in made.stages)
    deal = create(client.crm.deals, dealname="D", pipeline=made.id, dealstage=talk)
    client.crm.deals.basic_api.update(deal.id, {"properties": {"dealstage": won}})
    read = client.crm.deals.basic_api.get_by_id(deal.id, properties=["hs_is_closed_won"])
    wrong = refused(create, client.crm.deals, dealname="E", dealstage=talk)
    api.pipeline_stages_api.archive("deals", made.id, talk)

    assert read.properties["hs_is_closed_won"] == "true"
    assert wrong.status == 400
    assert [each.id for each in api.pipeline_stages_api.get_all("deals", made.id).results] == [won]


def test_webhooks_are_subscribed_to_and_bear_signatures_that_the_sdk_accepts(client, reset):
    credentials, received = reset["credentials"], queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            received.put((dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hooks?tenant=7"
        webhooks = connect(reset, api_key=credentials["developer_api_key"]).webhooks
        app = int(credentials["app_id"])
        settings = {"targetUrl": url, "throttling": {"maxConcurrentRequests": 5}}
        webhooks.settings_api.configure(app, settings)
        wanted = {"eventType": "contact.creation", "active": True}
        subscription = webhooks.subscriptions_api.create(app, wanted)
        made = create(client.crm.contacts, email="ada@example.com")
        headers, body = received.get(timeout=10)
        server.shutdown()
    headers = {name.lower(): value for name, value in headers.items()}
    signed = {
        "signature": headers["x-hubspot-signature-v3"],
        "client_secret": credentials["client_secret"],
        "http_uri": url,
        "http_method": "POST",
        "signature_version": "v3",
        "timestamp": headers["x-hubspot-request-timestamp"],
    }

    assert subscription.event_type == "contact.creation"
    assert [each.id for each in webhooks.subscriptions_api.get_all(app).results] == [
        subscription.id
    ]
    assert json.loads(body)[0]["objectId"] == int(made.id)
    assert Signature.is_valid(request_body=body, **signed)
    assert not Signature.is_valid(request_body=body + " ", **signed)


def test_limits_are_the_sdks_exceptions_too(described):
    strict = {"hubspot": {**FAST, "burst_limit": 2}}
    with served_sandbox(["hubspot"], settings=strict) as sandbox:
        token = sandbox["hubspot"]["credentials"]["access_token"]
        api = connect(sandbox["hubspot"], access_token=token).crm.contacts.basic_api
        api.get_page()
        api.get_page()
        limited = refused(api.get_page)

    assert limited.status == 429
    assert json.loads(limited.body)["policyName"] == "TEN_SECONDLY_ROLLING"
