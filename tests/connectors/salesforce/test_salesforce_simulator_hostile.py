"""Whatever a client sends, the simulator answers as Salesforce would: never with a crash."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.core import json
from dovetail.testing.loop import run

WORDS = st.sampled_from(
    ["Contact", "Account", "CampaignMember", "insert", "upsert", "delete", "query", "Id", "Email",
     "LastName", "Hub_Key__c", "CSV", "COMMA", "TAB", "LF", "CRLF", "UploadComplete", "Aborted",
     "SELECT Id FROM Contact", "SELECT Id, (SELECT Id FROM Contacts) FROM Account", "", "x", "٣",
     "a.b.c", "true", "double", "picklist", "A__c", "\ud7ff", "#N/A", "001000000000000AAA"]
)  # fmt: skip
SCALARS = WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
KEYS = st.sampled_from(
    ["object", "operation", "externalIdFieldName", "contentType", "lineEnding", "columnDelimiter",
     "query", "state", "records", "attributes", "type", "allOrNone", "Id", "LastName", "Email",
     "CampaignId", "ContactId", "Account", "Hub_Key__c", "compositeRequest", "method", "url",
     "referenceId", "body", "resource", "name", "unique", "external_id", "length", "fields",
     "redirect_uris", "jwt_public_key", "code_life_s", "ids"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
BODIES = st.dictionaries(KEYS, ANYTHING, max_size=5) | ANYTHING
BULK = st.fixed_dictionaries(
    {
        "object": st.sampled_from(["Contact", "Account", "Campaign"]),
        "operation": st.sampled_from(["insert", "update", "upsert", "delete", "hardDelete"]),
        "externalIdFieldName": st.sampled_from(["Hub_Key__c", "Id"]),
    }
)
LINES = st.lists(
    st.lists(
        st.sampled_from(
            [
                "Id",
                "LastName",
                "Hub_Key__c",
                "Account.Hub_Key__c",
                "Account.Nothing",
                "Email",
                "HasOptedOutOfEmail",
                "Birthdate",
                "a@b.cc",
                "#N/A",
                "",
                '"',
                "true",
                "1",
                "\x00",
                "é",
                "003000000000000AAA",
                ".",
                "Account.",
            ]
        ),
        min_size=1,
        max_size=4,
    ).map(",".join),
    max_size=4,
)
WORDS_OF_SOQL = st.sampled_from(
    ["SELECT", "Id", "LastName", ",", "(", ")", "FROM", "Contact", "Contacts", "Account", "WHERE",
     "=", "'a'", "AND", "OR", "NOT", "IN", "LIKE", "ORDER", "BY", "DESC", "LIMIT", "1", "OFFSET",
     "COUNT()", "Account.Name", "null", "true", "2026-03-01T00:00:00Z", "NULLS", "LAST", "'"]
)  # fmt: skip
PLAIN = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TARGETS = [
    ("POST", "/services/data/v60.0/jobs/ingest"),
    ("POST", "/services/data/v60.0/jobs/query"),
    ("POST", "/services/data/v60.0/sobjects/CampaignMember"),
    ("PATCH", "/services/data/v60.0/sobjects/Contact/Hub_Key__c/k"),
    ("POST", "/services/data/v60.0/composite"),
    ("POST", "/services/data/v60.0/composite/sobjects"),
    ("PATCH", "/services/data/v60.0/composite/sobjects/Contact/Hub_Key__c"),
    ("POST", "/_sandbox/fields"),
    ("POST", "/_sandbox/app"),
    ("POST", "/_sandbox/edit"),
]


def fine(answer):
    assert answer.status < 500, answer.text


@pytest.mark.parametrize(("method", "path"), TARGETS)
@PLAIN
@given(body=BODIES)
def test_no_body_breaks_the_simulator(new_org, method, path, body):
    async def attempt():
        org = new_org(external_id_fields=("Hub_Key__c",))
        fine(await org.call(method, path, json.encode(body), {"Content-Type": "application/json"}))

    run(attempt())


@PLAIN
@given(described=BULK, lines=LINES, ending=st.sampled_from(["\n", "\r\n", "\r"]))
def test_no_content_breaks_a_job(new_org, described, lines, ending):
    async def attempt():
        org = new_org(external_id_fields=("Hub_Key__c",), bulk_job_s=0)
        job = (await org.post("/jobs/ingest", described)).body["id"]
        path = f"/services/data/v60.0/jobs/ingest/{job}"
        text = ending.join(lines) + ending
        await org.call("PUT", f"{path}/batches", text.encode(), {"Content-Type": "text/csv"})
        fine(await org.call("PATCH", path, {"state": "UploadComplete"}))
        done = await org.call("GET", path)
        assert done.body["state"] in {"JobComplete", "Failed"}
        for name in ("successfulResults", "failedResults", "unprocessedrecords"):
            fine(await org.call("GET", f"{path}/{name}"))

    run(attempt())


@PLAIN
@given(words=st.lists(WORDS_OF_SOQL, max_size=14))
def test_no_query_breaks_the_simulator(new_org, words):
    async def attempt():
        org = new_org(records=3)
        text = " ".join(words)
        for soql in (text, " ".join(("SELECT", text, "FROM Account"))):
            fine(await org.get(f"/query?q={quote(soql, safe='')}"))
            fine(await org.post("/jobs/query", {"operation": "query", "query": soql}))

    run(attempt())


@PLAIN
@given(
    form=st.dictionaries(
        st.sampled_from(["grant_type", "code", "redirect_uri", "assertion", "refresh_token"])
        | st.sampled_from(["client_id", "client_secret", "code_verifier", "decision", "scope"]),
        st.text(max_size=8)
        | st.sampled_from(
            [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "a.b.c",
                "e30.e30.e30",
                "http://[",
                "https://x/y",
                "allow",
            ]
        ),
        max_size=6,
    )
)
def test_no_form_breaks_the_login(new_org, form):
    async def attempt():
        org = new_org()
        names = ("client_id", "client_secret")
        known = {name: org.simulator.credentials[name] for name in names}
        for fields in (form, known | form):
            fine(await org.form("/services/oauth2/token", fields))
            query = urlencode(fields)
            fine(await org.form(f"/services/oauth2/authorize?{query}", fields))
            fine(await org.call("GET", f"/services/oauth2/authorize?{query}"))

    run(attempt())
