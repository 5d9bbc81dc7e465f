"""Objects beside contacts: what they require, derive and refuse, and how they hang together."""

import re

import pytest

from dovetail.simulators.salesforce.field import Field

STAMP = r"\d{4}-\d\d-\d\dT[\d:.]+\+0000|\"issued_at\":\"\d+\""
DEAL = {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-03-01"}


@pytest.mark.parametrize(
    ("kind", "fields", "missing"),
    [
        ("Account", {}, ["Name"]),
        ("Lead", {"LastName": "A"}, ["Company"]),
        ("Opportunity", {"Name": "D"}, ["StageName", "CloseDate"]),
        ("Campaign", {}, ["Name"]),
        ("CampaignMember", {}, ["CampaignId"]),
    ],
)
async def test_what_is_required_is_refused_without(org, kind, fields, missing):
    refused = await org.post(f"/sobjects/{kind}", fields)

    assert refused.code == "REQUIRED_FIELD_MISSING"
    assert refused.body[0]["fields"] == missing


async def test_a_stage_decides_what_a_deal_is(org):
    id = await org.create("Opportunity", **DEAL, Amount=10)
    path = f"/sobjects/Opportunity/{id}"
    first = (await org.get(path)).body
    await org.patch(path, {"StageName": "Closed Won"})
    won = (await org.get(path)).body
    await org.patch(path, {"StageName": "Qualification", "Probability": 42})
    own = (await org.get(path)).body

    assert (first["Probability"], first["IsClosed"], first["IsWon"]) == (10, False, False)
    assert (won["Probability"], won["IsClosed"], won["IsWon"]) == (100, True, True)
    assert (own["Probability"], own["IsClosed"]) == (42, False)


async def test_a_person_is_in_a_campaign_once(org):
    campaign, other = await org.create("Campaign", Name="A"), await org.create("Campaign", Name="B")
    contact = await org.create(LastName="Byron")
    lead = await org.create("Lead", LastName="Byron", Company="Acme")
    member = {"CampaignId": campaign, "ContactId": contact}
    id = await org.create("CampaignMember", **member)
    again = await org.post("/sobjects/CampaignMember", member)
    nobody = await org.post("/sobjects/CampaignMember", {"CampaignId": campaign})

    assert id.startswith("00v")
    assert again.code == "DUPLICATE_VALUE"
    assert again.body[0]["message"] == "Already a campaign member."
    assert nobody.code == "REQUIRED_FIELD_MISSING"
    await org.create("CampaignMember", CampaignId=campaign, LeadId=lead)
    await org.create("CampaignMember", CampaignId=other, ContactId=contact)
    await org.delete(f"/sobjects/CampaignMember/{id}")
    await org.create("CampaignMember", **member)


async def test_a_member_responds_but_does_not_move_to_another_campaign(org):
    campaign = await org.create("Campaign", Name="A")
    contact = await org.create(LastName="Byron")
    id = await org.create("CampaignMember", CampaignId=campaign, ContactId=contact)
    path = f"/sobjects/CampaignMember/{id}"
    before = (await org.get(path)).body
    moved = await org.patch(path, {"CampaignId": campaign})
    await org.patch(path, {"Status": "Responded"})
    fields = {
        each["name"]: each
        for each in (await org.get("/sobjects/CampaignMember/describe")).body["fields"]
    }

    assert (before["Status"], before["HasResponded"]) == ("Sent", False)
    assert moved.code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert (await org.get(path)).body["HasResponded"] is True
    assert fields["CampaignId"]["createable"] is True
    assert fields["CampaignId"]["updateable"] is False
    assert [
        each["value"] for each in fields["Status"]["picklistValues"] if each["defaultValue"]
    ] == ["Sent"]


async def test_owners_are_users_of_the_org(org):
    users = await org.rows("SELECT Id, Name, Email, IsActive FROM User ORDER BY Name")
    grace = next(user["Id"] for user in users if user["Name"] == "Grace Hopper")
    id = await org.create("Account", Name="Acme", OwnerId=grace)
    [row] = await org.rows("SELECT Id, Owner.Email FROM Account")
    assert row["Id"] == id
    unknown = await org.post("/sobjects/Account", {"Name": "B", "OwnerId": "005000000000000AAA"})

    assert [user["IsActive"] for user in users] == [True, False, True, True]
    assert row["Owner"]["Email"] == "grace@sandbox.example.com"
    assert unknown.code == "INVALID_CROSS_REFERENCE_KEY"
    assert (await org.post("/sobjects/User", {"LastName": "X"})).status == 400


async def test_a_merge_moves_members_deals_and_cases(org):
    winner, loser = await org.create("Account", Name="A"), await org.create("Account", Name="B")
    deal = await org.create("Opportunity", **DEAL, AccountId=loser)
    case = await org.create("Case", Subject="S", AccountId=loser)
    edit = {"resource": "companies", "id": winner, "merge": loser}
    await org.sandbox("POST", "edit", edit)

    assert (await org.get(f"/sobjects/Opportunity/{deal}")).body["AccountId"] == winner
    assert (await org.get(f"/sobjects/Case/{case}")).body["AccountId"] == winner


async def test_a_person_converts_a_lead(org):
    id = await org.create("Lead", FirstName="Ada", LastName="Byron", Company="Acme", Email="a@b.cc")
    edit = {"resource": "leads", "id": id, "fields": {"IsConverted": True}}
    done = await org.sandbox("POST", "edit", edit)
    lead = (await org.get(f"/sobjects/Lead/{id}")).body
    contact = await org.contact(lead["ConvertedContactId"])
    deal = (await org.get(f"/sobjects/Opportunity/{lead['ConvertedOpportunityId']}")).body

    assert done.status == 200
    assert lead["IsConverted"] is True
    assert lead["Status"] == "Closed - Converted"
    assert (contact["Name"], contact["Email"]) == ("Ada Byron", "a@b.cc")
    assert contact["AccountId"] == lead["ConvertedAccountId"] == deal["AccountId"]
    assert (await org.sandbox("POST", "edit", edit)).status == 400
    assert (await org.patch(f"/sobjects/Lead/{id}", {"IsConverted": False})).status == 400


async def test_an_org_can_have_fields_of_its_own(new_org):
    fields = (
        Field("Score__c", "double", "Score"),
        Field("Tier__c", "picklist", "Tier", picklist=("A", "B"), restricted=True),
    )
    org = new_org(custom_fields={"Opportunity": fields}, external_id_fields=("Hub_Key__c",))
    path = "/sobjects/Opportunity/Hub_Key__c/d1"
    made = await org.patch(path, {**DEAL, "Score__c": 1.5, "Tier__c": "A"})
    wrong = await org.patch(path, {"Tier__c": "Z"})
    described = {
        each["name"]: each["custom"]
        for each in (await org.get("/sobjects/Opportunity/describe")).body["fields"]
    }

    assert made.status == 201
    assert wrong.code == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert (await org.get(path)).body["Score__c"] == 1.5
    assert described["Score__c"] is True
    assert described["Hub_Key__c"] is True
    assert "Score__c" not in {
        each["name"] for each in (await org.get("/sobjects/Contact/describe")).body["fields"]
    }


async def test_an_administrator_adds_a_key_while_the_org_is_in_use(new_org):
    org = new_org(commit_lag_s=30)
    id = await org.create(LastName="Byron")
    before = await org.contact(id)
    field = {"name": "Hub_Key__c", "external_id": True, "unique": True}
    added = await org.sandbox("POST", "fields", {"resource": "contacts", **field})
    await org.patch(f"/sobjects/Contact/{id}", {"Hub_Key__c": "k1"})
    upserted = await org.patch("/sobjects/Contact/Hub_Key__c/K1", {"Title": "Countess"})
    await org.simulator.clock.sleep(40)
    [row] = await org.rows("SELECT Id, Hub_Key__c FROM Contact WHERE Hub_Key__c = 'k1'")
    taken = await org.post("/sobjects/Contact", {"LastName": "B", "Hub_Key__c": "k1"})

    assert added.status == 200
    assert "Hub_Key__c" in added.body["fields"]
    assert "Hub_Key__c" not in before
    assert upserted.body["created"] is False
    assert row["Id"] == id
    assert taken.code == "DUPLICATE_VALUE"
    again = await org.sandbox("POST", "fields", {"resource": "contacts", **field})
    assert again.status == 400
    await org.sandbox("POST", "reset")
    assert (await org.query("SELECT Hub_Key__c FROM Contact")).code == "INVALID_FIELD"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Key"},
        {"name": None},
        {"name": "A__c", "type": "blob"},
        {"name": "A__c", "unique": 1},
        {"name": "A__c", "length": 0},
        {"name": "A__c", "picklist": "x"},
        {"name": "A__c", "colour": "red"},
    ],
)
async def test_a_field_that_cannot_be_is_refused(org, wrong):
    refused = await org.sandbox("POST", "fields", {"resource": "contacts", **wrong})

    assert refused.status == 400
    assert refused.body["error"]


async def test_the_same_seed_gives_the_same_answers(new_org):
    async def live():
        org = new_org(records=20, seed=3, bulk_job_s=0)
        answers = [await org.get("/sobjects/Contact/describe"), await org.get("/sobjects")]
        await org.create(LastName="A")
        credentials = org.simulator.credentials
        form = {name: credentials[name] for name in ("client_id", "client_secret")}
        form |= {"grant_type": "refresh_token", "refresh_token": credentials["refresh_token"]}
        answers.append(await org.form("/services/oauth2/token", form))
        job = (await org.post("/jobs/ingest", {"object": "Contact", "operation": "insert"})).body
        text = "LastName\n" + "".join(f"L{number}\n" for number in range(9))
        path = f"/services/data/v60.0/jobs/ingest/{job['id']}"
        await org.call("PUT", f"{path}/batches", text.encode(), {"Content-Type": "text/csv"})
        await org.call("PATCH", path, {"state": "UploadComplete"})
        answers.append(await org.call("GET", f"{path}/successfulResults"))
        answers.append(await org.query("SELECT Id, LastName, SystemModstamp FROM Contact"))
        return [answer.text for answer in answers]

    first, second = await live(), await live()

    assert "L8" in first[-1]
    # The second org was founded later; all else is the same.
    assert [re.sub(STAMP, "", text) for text in first] == [
        re.sub(STAMP, "", text) for text in second
    ]
