"""The client library that most Python programs use, over a socket: it must not be able to tell."""

import csv
import http.client
import io
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dovetail.simulator_sdk.background import served_sandbox

library = pytest.importorskip(
    "simple_salesforce", reason="the library is not installed: pip install 'dovetail[sdk]'"
)
import requests  # noqa: E402 - comes with the library

pytestmark = pytest.mark.real_time

SETTINGS = {"external_id_fields": ("Hub_Key__c",), "bulk_job_s": 0}


class ToLoopback(requests.adapters.HTTPAdapter):
    """Sends to the sandbox what the library addresses to ``https://`` anywhere."""

    def __init__(self, url):
        super().__init__()
        self.url = url
        self.hosts = set()

    def send(self, request, **named):
        parts = urlsplit(request.url)
        self.hosts.add(parts.netloc)
        request.url = request.url.replace(f"https://{parts.netloc}", self.url, 1)
        return super().send(request, **named)


@pytest.fixture(scope="module")
def served():
    with served_sandbox(["salesforce"], records=30, settings={"salesforce": SETTINGS}) as sandbox:
        yield sandbox["salesforce"]


@pytest.fixture
def described(served):
    control(served, "reset")
    return served


@pytest.fixture
def session(described):
    with requests.Session() as session:
        session.mount("https://", ToLoopback(described["base_url"]))
        yield session


@pytest.fixture
def client(described, session):
    return library.Salesforce(
        instance_url=described["base_url"].replace("http://", "https://"),
        session_id=described["credentials"]["access_token"],
        version="60.0",
        session=session,
    )


def control(described, name, **body):
    connection = http.client.HTTPConnection(urlsplit(described["base_url"]).netloc)
    connection.request("POST", f"/_sandbox/{name}", body=json.dumps(body))
    answer = connection.getresponse()
    decoded = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, decoded
    return decoded


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


REQUIRED = {
    "Contact": {"LastName": "Byron"},
    "Account": {"Name": "Acme"},
    "Lead": {"LastName": "Byron", "Company": "Acme"},
    "Opportunity": {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-03-01"},
    "Case": {"Subject": "Broken"},
    "Campaign": {"Name": "Spring"},
}


@pytest.mark.parametrize("kind", REQUIRED)
def test_rows_are_created_read_changed_and_deleted(client, kind):
    api = getattr(client, kind)
    made = api.create(REQUIRED[kind])
    id = made["id"]
    name = next(iter(REQUIRED[kind]))
    read = api.get(id)
    updated = api.update(id, {name: "Changed"})
    again = api.get(id)
    deleted = api.delete(id)

    assert made == {"id": id, "success": True, "errors": []}
    assert len(id) == 18
    assert read[name] == REQUIRED[kind][name]
    assert read["attributes"]["type"] == kind
    assert (updated, deleted) == (204, 204)
    assert again[name] == "Changed"
    with pytest.raises(library.exceptions.SalesforceResourceNotFound):
        api.get(id)


def test_upserts_and_reads_by_a_key(client):
    first = client.Contact.upsert("Hub_Key__c/crm-1", {"LastName": "Byron"})
    second = client.Contact.upsert("Hub_Key__c/crm-1", {"LastName": "King"})
    read = client.Contact.get_by_custom_id("Hub_Key__c", "crm-1")

    assert (first, second) == (201, 200)
    assert read["LastName"] == "King"


def test_queries_have_pages_and_query_all_follows_them(client):
    for number in range(230):
        client.Lead.create({"LastName": f"L{number:03}", "Company": "Acme"})
    few = {"Sforce-Query-Options": "batchSize=200"}
    soql = "SELECT Id, LastName FROM Lead ORDER BY LastName"
    first = client.query(soql, headers=few)
    rest = client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    whole = client.query_all(soql, headers=few)
    gone = whole["records"][0]["Id"]
    client.Lead.delete(gone)
    names = [row["LastName"] for row in client.query_all_iter(soql, headers=few)]
    binned = client.query("SELECT Id FROM Lead WHERE IsDeleted = true", include_deleted=True)

    assert (first["totalSize"], first["done"], len(first["records"])) == (230, False, 200)
    assert (rest["done"], len(rest["records"])) == (True, 30)
    assert "nextRecordsUrl" not in rest
    assert len(whole["records"]) == 230
    assert len(names) == 229
    assert names == sorted(names)
    assert [row["Id"] for row in binned["records"]] == [gone]
    assert client.query("SELECT COUNT() FROM Lead")["totalSize"] == 229


def test_lookups_are_walked_both_ways(client):
    acme = client.Account.create({"Name": "O'Neil & Co"})["id"]
    client.Contact.create({"LastName": "Byron", "AccountId": acme})
    soql = library.format_soql(
        "SELECT LastName, Account.Name FROM Contact WHERE Account.Name = {}", "O'Neil & Co"
    )
    [contact] = client.query(soql)["records"]
    soql = library.format_soql(
        "SELECT Name, (SELECT LastName FROM Contacts) FROM Account WHERE Id = {}", acme
    )
    [account] = client.query(soql)["records"]

    assert contact["Account"]["Name"] == "O'Neil & Co"
    assert account["Contacts"]["records"][0]["LastName"] == "Byron"


def test_the_org_describes_itself_and_its_limits(client):
    listed = {each["name"] for each in client.describe()["sobjects"]}
    fields = {each["name"]: each for each in client.Contact.describe()["fields"]}
    before = client.limits()["DailyApiRequests"]
    client.limits()

    assert set(REQUIRED) <= listed
    assert fields["Hub_Key__c"]["externalId"] is True
    assert fields["LastName"]["nillable"] is False
    assert client.Contact.metadata()["objectDescribe"]["keyPrefix"] == "003"
    assert client.api_usage["api-usage"].total == before["Max"]
    assert client.api_usage["api-usage"].used > before["Max"] - before["Remaining"]


def test_what_changed_and_what_was_deleted(client):
    start = datetime.now(UTC) - timedelta(minutes=5)
    kept = client.Contact.create({"LastName": "Kept"})["id"]
    gone = client.Contact.create({"LastName": "Gone"})["id"]
    client.Contact.delete(gone)
    end = datetime.now(UTC) + timedelta(minutes=2)

    assert kept in client.Contact.updated(start, end)["ids"]
    assert gone not in client.Contact.updated(start, end)["ids"]
    assert [row["id"] for row in client.Contact.deleted(start, end)["deletedRecords"]] == [gone]


def test_errors_are_the_librarys_own_exceptions(client):
    refused = library.exceptions
    with pytest.raises(refused.SalesforceMalformedRequest) as missing:
        client.Contact.create({"FirstName": "Ada"})
    with pytest.raises(refused.SalesforceMalformedRequest) as soql:
        client.query("SELECT Nothing FROM Contact")
    with pytest.raises(refused.SalesforceResourceNotFound):
        client.Contact.get("003000000000000AAA")
    with pytest.raises(refused.SalesforceResourceNotFound):
        client.Nothing.create({"A": 1})
    client.Contact.upsert("Hub_Key__c/k", {"LastName": "A"})
    with pytest.raises(refused.SalesforceMalformedRequest) as taken:
        client.Contact.create({"LastName": "B", "Hub_Key__c": "K"})

    assert missing.value.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert missing.value.content[0]["fields"] == ["LastName"]
    assert soql.value.content[0]["errorCode"] == "INVALID_FIELD"
    assert taken.value.content[0]["errorCode"] == "DUPLICATE_VALUE"


def test_faults_are_the_librarys_own_exceptions(client, described):
    id = client.Contact.create({"LastName": "A"})["id"]
    kinds = {
        "rate_limit": library.exceptions.SalesforceRefusedRequest,
        "expired_token": library.exceptions.SalesforceExpiredSession,
        "server_error": library.exceptions.SalesforceGeneralError,
        "row_lock": library.exceptions.SalesforceMalformedRequest,
    }
    for kind, error in kinds.items():
        control(described, "faults", faults=[{"kind": kind, "count": 1}])
        with pytest.raises(error):
            client.Contact.update(id, {"LastName": "B"})


def test_composites_and_collections(client):
    parts = [
        {
            "method": "POST",
            "url": "/services/data/v60.0/sobjects/Account",
            "referenceId": "acme",
            "body": {"Name": "Acme"},
        },
        {
            "method": "POST",
            "url": "/services/data/v60.0/sobjects/Contact",
            "referenceId": "ada",
            "body": {"LastName": "Byron", "AccountId": "@{acme.id}"},
        },
    ]
    body = {"allOrNone": True, "compositeRequest": parts}
    made = client.restful("composite", method="POST", data=json.dumps(body))
    records = [
        {"attributes": {"type": "Contact"}, "LastName": "Hopper"},
        {"attributes": {"type": "Contact"}},
    ]
    body = {"allOrNone": False, "records": records}
    results = client.restful("composite/sobjects", method="POST", data=json.dumps(body))

    assert [part["httpStatusCode"] for part in made["compositeResponse"]] == [201, 201]
    assert [result["success"] for result in results] == [True, False]
    assert results[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"


@pytest.mark.slow
def test_bulk_jobs_write_and_read(client):
    records = [{"Hub_Key__c": f"k{number}", "LastName": f"L{number}"} for number in range(20)]
    records.append({"Hub_Key__c": "bad", "LastName": ""})
    upsert = client.bulk2.Contact.upsert(records=records, external_id_field="Hub_Key__c", wait=0.01)
    [job] = upsert
    good = rows(client.bulk2.Contact.get_successful_records(job["job_id"]))
    bad = rows(client.bulk2.Contact.get_failed_records(job["job_id"]))
    untouched = client.bulk2.Contact.get_unprocessed_records(job["job_id"])
    soql = "SELECT Id, Hub_Key__c FROM Contact WHERE Hub_Key__c LIKE 'k%' ORDER BY LastName"
    pages = list(client.bulk2.Contact.query(soql, max_records=8))
    found = [row for page in pages for row in rows(page)]
    ids = [{"Id": row["Id"]} for row in found]
    [deleted] = client.bulk2.Contact.delete(records=ids, wait=0.01)

    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (21, 1)
    assert {row["Hub_Key__c"] for row in good} == {f"k{number}" for number in range(20)}
    assert {row["sf__Created"] for row in good} == {"true"}
    assert [row["Hub_Key__c"] for row in bad] == ["bad"]
    assert rows(untouched) == []
    assert [len(rows(page)) for page in pages] == [8, 8, 4]
    assert deleted["numberRecordsFailed"] == 0
    assert client.query("SELECT COUNT() FROM Contact WHERE Hub_Key__c LIKE 'k%'")["totalSize"] == 0


@pytest.mark.slow
def test_bulk_jobs_insert_update_erase_and_download(client, tmp_path):
    api = client.bulk2.Contact
    api.insert(records=[{"LastName": f"L{number}"} for number in range(3)], wait=0.01)
    soql = "SELECT Id, LastName FROM Contact WHERE LastName LIKE 'L_' ORDER BY LastName"
    rows_before = client.query(soql)["records"]
    changed = [{"Id": row["Id"], "Title": 'Dr. "é", etc.'} for row in rows_before]
    api.update(records=changed, wait=0.01)
    [file] = api.download(soql.replace("LastName FROM", "Title FROM"), path=str(tmp_path))
    with open(file["file"], encoding="utf-8", newline="") as text:  # noqa: PTH123 - a temporary one
        titles = [row["Title"] for row in csv.DictReader(text)]
    api.hard_delete(records=[{"Id": row["Id"]} for row in rows_before], wait=0.01)

    assert [row["LastName"] for row in rows_before] == ["L0", "L1", "L2"]
    assert titles == ['Dr. "é", etc.'] * 3
    assert client.query(soql, include_deleted=True)["totalSize"] == 0


def test_a_session_that_ends_is_renewed_by_the_library(described, session):
    credentials = described["credentials"]
    client = library.Salesforce(
        consumer_key=credentials["client_id"],
        consumer_secret=credentials["client_secret"],
        domain="acme.my",
        version="60.0",
        session=session,
    )
    first = client.session_id
    client.oauth2("revoke", {"token": first}, method="POST")
    with pytest.raises(library.exceptions.SalesforceExpiredSession):
        library.Salesforce(
            instance_url="https://acme.my.salesforce.com",
            session_id=first,
            version="60.0",
            session=session,
        ).limits()

    assert client.limits()["DailyApiRequests"]
    assert client.session_id != first


def test_a_bulk_job_that_fails_as_a_whole_says_why(client):
    with pytest.raises(library.exceptions.SalesforceOperationError, match="Field name not found"):
        client.bulk2.Contact.insert(records=[{"LastName": "A", "Nothing": "1"}], wait=0.01)


def test_an_app_logs_in_for_itself(described, session):
    credentials = described["credentials"]
    client = library.Salesforce(
        consumer_key=credentials["client_id"],
        consumer_secret=credentials["client_secret"],
        domain="acme.my",
        version="60.0",
        session=session,
    )

    assert client.query("SELECT COUNT() FROM Contact")["totalSize"] == 30
    assert "acme.my.salesforce.com" in session.get_adapter("https://").hosts


def test_an_app_logs_in_with_a_key(described, session):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    named = {
        "username": "integration@sandbox.example.com",
        "consumer_key": described["credentials"]["client_id"],
        "privatekey": private,
        "version": "60.0",
        "session": session,
    }
    with pytest.raises(library.exceptions.SalesforceAuthenticationFailed, match="invalid_grant"):
        library.Salesforce(**named)
    control(described, "app", jwt_public_key=public.decode())

    assert library.Salesforce(**named).query("SELECT COUNT() FROM Contact")["totalSize"] == 30


def test_a_wrong_secret_is_refused(described, session):
    with pytest.raises(library.exceptions.SalesforceAuthenticationFailed, match="invalid_client"):
        library.Salesforce(
            consumer_key=described["credentials"]["client_id"],
            consumer_secret="guess",
            domain="acme.my",
            session=session,
        )
