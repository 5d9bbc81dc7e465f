"""The whole way of an app to a token: asked, allowed or denied, back, redeemed, refreshed."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

BACK = "https://app.example.com/callback?tenant=7"
FORM = {"content-type": "application/x-www-form-urlencoded", "authorization": ""}


async def ask(portal, decision=None, **changed):
    query = {
        "client_id": portal.simulator.credentials["client_id"],
        "redirect_uri": BACK,
        "scope": "crm.objects.contacts.read oauth",
        "state": "s+1/=",
        **changed,
    }
    query = {name: value for name, value in query.items() if value is not None}
    if decision is None:
        return await portal.call("GET", "/oauth/authorize", query=query, headers=FORM)
    raw = urlencode({"decision": decision}).encode()
    return await portal.call("POST", "/oauth/authorize", query=query, raw=raw, headers=FORM)


def answer_in(redirect):
    assert redirect.status == 302
    parts = urlsplit(redirect.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://app.example.com/callback"
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


async def redeem(portal, path="/oauth/v1/token", **form):
    credentials = portal.simulator.credentials
    named = {name: credentials[name] for name in ("client_id", "client_secret")}
    named |= {"grant_type": "authorization_code", "redirect_uri": BACK}
    return await portal.call("POST", path, raw=urlencode(named | form).encode(), headers=FORM)


async def code_for(portal, **asked):
    return answer_in(await ask(portal, "allow", **asked))["code"]


async def test_a_person_is_asked_and_sent_back_with_a_code_that_opens_the_portal(portal):
    page = await ask(portal)
    back = answer_in(await ask(portal, "allow"))
    issued = await redeem(portal, code=back["code"])
    portal.token = issued.json["access_token"]

    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert b"Allow" in page.raw
    assert b"Deny" in page.raw
    assert b"crm.objects.contacts.read" in page.raw
    assert back["state"] == "s+1/="
    assert back["tenant"] == "7"
    assert issued.json.keys() == {"token_type", "access_token", "refresh_token", "expires_in"}
    assert (await portal.get("/crm/v3/objects/contacts")).status == 200


async def test_a_token_holds_the_scopes_that_were_allowed_and_no_more(portal):
    code = await code_for(portal, optional_scope="tickets nothing.such")
    issued = await redeem(portal, code=code)
    portal.token = issued.json["access_token"]
    described = await portal.get(f"/oauth/v1/access-tokens/{portal.token}")

    assert described.json["scopes"] == ["crm.objects.contacts.read", "oauth", "tickets"]
    assert (await portal.get("/crm/v3/objects/tickets")).status == 200
    assert (await portal.get("/crm/v3/objects/companies")).status == 403
    refused = await portal.post("/crm/v3/objects/contacts", {"properties": {"firstname": "A"}})
    assert refused.status == 403


async def test_a_person_who_denies_is_sent_back_without_a_code(portal):
    back = answer_in(await ask(portal, "deny"))

    assert back["error"] == "access_denied"
    assert back["state"] == "s+1/="
    assert "code" not in back


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "other"},
        {"redirect_uri": "callback"},
        {"redirect_uri": None},
        {"scope": "crm.objects.contacts.read never.heard.of"},
        {"scope": None},
    ],
)
async def test_what_cannot_be_asked_is_a_page_and_no_redirect(portal, changed):
    for decision in (None, "allow"):
        page = await ask(portal, decision, **changed)

        assert page.status == 400
        assert page.headers["content-type"].startswith("text/html")
        assert "location" not in page.headers


async def test_only_registered_redirect_urls_are_taken_once_there_are_some(portal):
    await portal.control("app", {"redirect_uris": [BACK]})

    assert (await ask(portal)).status == 200
    assert (await ask(portal, redirect_uri=BACK + "&x=1")).status == 400
    await portal.control("reset", {})
    assert (await ask(portal, redirect_uri=BACK + "&x=1")).status == 200


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"code": "na1-other"}, "BAD_AUTH_CODE"),
        ({"redirect_uri": "https://app.example.com/other"}, "MISMATCH_REDIRECT_URI_AUTH_CODE"),
        ({"redirect_uri": ""}, "BAD_REDIRECT_URI"),
        ({"client_secret": "guess"}, "BAD_CLIENT_SECRET"),
        ({"client_id": "guess"}, "BAD_CLIENT_ID"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
    ],
)
async def test_a_refused_redemption_says_why_and_leaves_the_code_good(portal, changed, status):
    code = await code_for(portal)
    refused = await redeem(portal, **{"code": code, **changed})

    assert refused.status == 400
    assert refused.json["status"] == status
    assert refused.json["correlationId"]
    assert (await redeem(portal, code=code)).status == 200


async def test_a_code_opens_once_and_for_a_while(portal):
    code, late = await code_for(portal), await code_for(portal)
    assert (await redeem(portal, code=code)).status == 200
    assert (await redeem(portal, code=code)).json["status"] == "BAD_AUTH_CODE"
    await portal.clock.sleep(601)
    assert (await redeem(portal, code=late)).json["status"] == "EXPIRED_AUTH_CODE"


async def test_a_refresh_token_stays_the_same_until_it_is_forgotten(portal):
    issued = await redeem(portal, code=await code_for(portal))
    kept = issued.json["refresh_token"]
    again = await redeem(portal, grant_type="refresh_token", refresh_token=kept)
    described = await portal.get(f"/oauth/v1/refresh-tokens/{kept}")
    forgotten = await portal.delete(f"/oauth/v1/refresh-tokens/{kept}")
    refused = await redeem(portal, grant_type="refresh_token", refresh_token=kept)

    assert again.json["refresh_token"] == kept
    assert again.json["access_token"] != issued.json["access_token"]
    assert described.json["scopes"] == ["crm.objects.contacts.read", "oauth"]
    assert forgotten.status == 204
    assert refused.json["status"] == "BAD_REFRESH_TOKEN"


async def test_where_refresh_tokens_are_replaced_each_is_good_for_one_use(portal):
    set_to = {"rotates_refresh_tokens": True}
    portal.simulator.registration = portal.simulator.registration.changed(set_to)
    first = (await redeem(portal, code=await code_for(portal))).json["refresh_token"]

    renewed = await redeem(portal, grant_type="refresh_token", refresh_token=first)
    again = await redeem(portal, grant_type="refresh_token", refresh_token=first)
    portal.token = renewed.json["access_token"]

    assert renewed.json["refresh_token"] != first
    assert again.status == 400
    assert again.json["status"] == "BAD_REFRESH_TOKEN"
    assert (await portal.get("/crm/v3/objects/contacts")).status == 200


async def test_the_life_of_tokens_can_be_set(portal):
    await portal.control("app", {"token_life_s": 60})
    issued = await redeem(portal, code=await code_for(portal))
    portal.token = issued.json["access_token"]

    assert issued.json["expires_in"] == 60
    await portal.clock.sleep(61)
    answer = await portal.get("/crm/v3/objects/contacts")
    assert answer.json["category"] == "EXPIRED_AUTHENTICATION"


async def test_the_newer_endpoints_say_more_introspect_and_revoke(portal):
    issued = await redeem(portal, "/oauth/v3/token", code=await code_for(portal))
    token, refresh = issued.json["access_token"], issued.json["refresh_token"]
    known = await redeem(portal, "/oauth/v3/token/introspect", token=token)
    await redeem(portal, "/oauth/v3/token/revoke", token=token)
    gone = await redeem(portal, "/oauth/v3/token/introspect", token=token)
    portal.token = token

    assert issued.json["hub_id"] == portal.simulator.portal_id
    assert issued.json["token_use"] == "access_token"
    assert known.json["active"] is True
    assert known.json["scopes"] == ["crm.objects.contacts.read", "oauth"]
    assert gone.json == {"active": False}
    assert (await portal.get("/crm/v3/objects/contacts")).status == 401
    assert (await redeem(portal, "/oauth/v3/token/introspect", token=refresh)).json["active"]


async def test_a_slow_or_failing_token_endpoint_leaves_the_api_alone(portal):
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": portal.simulator.credentials["refresh_token"],
    }
    path = "/oauth/v1/token"
    faults = [
        {"kind": "latency", "path": path, "seconds": 20, "count": 1},
        {"kind": "server_error", "path": path, "status": 502, "count": 1},
        {"kind": "expired_token", "path": path, "count": 1},
    ]
    await portal.control("faults", {"faults": faults})
    before = portal.clock.now()
    answers = [await redeem(portal, **refresh) for _ in range(3)]

    assert [answer.status for answer in answers] == [502, 400, 200]
    assert answers[1].json["status"] == "BAD_REFRESH_TOKEN"
    assert (portal.clock.now() - before).total_seconds() == 20
    assert (await portal.get("/crm/v3/objects/contacts")).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"nothing": 1},
        {"redirect_uris": "https://x"},
        {"requires_pkce": 1},
        {"code_life_s": 0},
        {"jwt_public_key": 5},
    ],
)
async def test_a_wrong_setting_of_the_app_is_refused_and_changes_nothing(portal, wrong):
    before = (await portal.control("app")).json
    refused = await portal.control("app", wrong)

    assert refused.status == 400
    assert next(iter(wrong)) in refused.json["error"]
    assert (await portal.control("app")).json == before
