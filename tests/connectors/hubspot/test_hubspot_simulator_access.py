"""Tokens, scopes, limits and their headers, unknown routes."""

from urllib.parse import urlencode

CONTACTS = "/crm/v3/objects/contacts"


async def oauth(portal, **form):
    credentials = portal.simulator.credentials
    named = {name: credentials[name] for name in ("client_id", "client_secret")}
    return await portal.call(
        "POST",
        "/oauth/v1/token",
        raw=urlencode({**named, **form}).encode(),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )


async def test_a_call_without_or_with_a_wrong_token_is_refused(portal):
    none = await portal.call("GET", CONTACTS, headers={"authorization": ""})
    wrong = await portal.call("GET", CONTACTS, headers={"authorization": "Bearer pat-na1-x"})

    for answer in (none, wrong):
        assert answer.status == 401
        assert answer.json["category"] == "INVALID_AUTHENTICATION"
        assert answer.json["status"] == "error"
        assert answer.json["correlationId"]


async def test_the_token_looks_like_one_and_the_credentials_are_complete(portal):
    credentials = portal.simulator.credentials

    assert credentials["access_token"].startswith("pat-na1-")
    assert credentials["app_id"].isdecimal()
    assert credentials["developer_api_key"]
    assert credentials["client_secret"] == portal.simulator.webhook_secret


async def test_an_oauth_token_ends_after_half_an_hour(portal):
    refresh_token = portal.simulator.credentials["refresh_token"]
    issued = await oauth(portal, grant_type="refresh_token", refresh_token=refresh_token)
    portal.token = issued.json["access_token"]
    described = await portal.get(f"/oauth/v1/access-tokens/{portal.token}")

    assert issued.json["expires_in"] == 1800
    assert issued.json["token_type"] == "bearer"
    assert described.json["hub_id"] == portal.simulator.portal_id
    assert (await portal.get(CONTACTS)).status == 200
    await portal.clock.sleep(1807)
    expired = await portal.get(CONTACTS)
    assert expired.status == 401
    assert expired.json["category"] == "EXPIRED_AUTHENTICATION"
    assert expired.json["message"].endswith("expired 7 second(s) ago.")
    assert expired.json["context"]["expire time"][0].endswith("Z")


async def test_a_code_can_be_used_once(portal):
    code = portal.simulator.credentials["authorization_code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://x/y"}
    first, second = await oauth(portal, **form), await oauth(portal, **form)

    assert first.status == 200
    assert second.status == 400
    assert second.json["status"] == "BAD_AUTH_CODE"


async def test_a_wrong_refresh_token_is_refused_in_the_vendors_words(portal):
    answer = await oauth(portal, grant_type="refresh_token", refresh_token="gone")

    assert answer.status == 400
    assert answer.json["status"] == "BAD_REFRESH_TOKEN"
    assert answer.json["message"] == "missing or invalid refresh token"


async def test_a_missing_scope_is_a_403_that_names_it(make_portal):
    portal = make_portal(scopes={"crm.objects.contacts.read"})
    refused = await portal.post(CONTACTS, {"properties": {"firstname": "Ada"}})

    assert (await portal.get(CONTACTS)).status == 200
    assert (await portal.search()).status == 200
    assert refused.status == 403
    assert refused.json["category"] == "MISSING_SCOPES"
    named = refused.json["errors"][0]["context"]["requiredGranularScopes"]
    assert named == ["crm.objects.contacts.write"]
    assert (await portal.get("/crm/v3/owners")).status == 403
    assert (await portal.get("/crm/v3/properties/contacts")).status == 403
    assert (await portal.get("/crm/v3/objects/tickets")).status == 403


async def test_the_burst_limit_is_strict_and_slides(make_portal):
    portal = make_portal(burst_limit=5)
    for _ in range(4):
        assert (await portal.get(CONTACTS)).status == 200
    await portal.clock.sleep(6)
    last = await portal.get(CONTACTS)
    refused = await portal.get(CONTACTS)

    assert last.headers["x-hubspot-ratelimit-max"] == "5"
    assert last.headers["x-hubspot-ratelimit-remaining"] == "0"
    assert last.headers["x-hubspot-ratelimit-interval-milliseconds"] == "10000"
    assert refused.status == 429
    assert refused.json["errorType"] == "RATE_LIMIT"
    assert refused.json["policyName"] == "TEN_SECONDLY_ROLLING"
    assert "category" not in refused.json
    assert "retry-after" not in refused.headers
    await portal.clock.sleep(3.9)
    assert (await portal.get(CONTACTS)).status == 429
    await portal.clock.sleep(0.2)
    statuses = [(await portal.get(CONTACTS)).status for _ in range(5)]
    assert statuses == [200] * 4 + [429]


async def test_refused_calls_do_not_use_up_the_window_and_show_in_the_peak(make_portal):
    portal = make_portal(burst_limit=2)
    statuses = [(await portal.get(CONTACTS)).status for _ in range(6)]
    await portal.clock.sleep(10)

    assert statuses == [200, 200, 429, 429, 429, 429]
    assert (await portal.get(CONTACTS)).status == 200
    shown = (await portal.control("calls")).json["max_in_window"]["ten_secondly_rolling"]
    assert shown == {"limit": 2, "per_s": 10.0, "max": 6}


async def test_oauth_apps_have_a_limit_of_their_own_and_no_daily_headers(make_portal):
    portal = make_portal(burst_limit=1)
    refresh_token = portal.simulator.credentials["refresh_token"]
    issued = await oauth(portal, grant_type="refresh_token", refresh_token=refresh_token)
    portal.token = issued.json["access_token"]
    answers = [await portal.get(CONTACTS) for _ in range(111)]

    assert [answer.status for answer in answers] == [200] * 110 + [429]
    assert answers[0].headers["x-hubspot-ratelimit-max"] == "110"
    assert "x-hubspot-ratelimit-daily" not in answers[0].headers


async def test_search_has_its_own_limit_and_no_headers(make_portal):
    portal = make_portal(search_limit=5)
    answers = [await portal.search() for _ in range(6)]

    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json["policyName"] == "SECONDLY"
    assert not [name for answer in answers for name in answer.headers if "ratelimit" in name]
    assert (await portal.get(CONTACTS)).status == 200
    await portal.clock.sleep(1)
    assert (await portal.search()).status == 200


async def test_the_daily_limit_ends_at_midnight(make_portal):
    portal = make_portal(daily_limit=2)
    answers = [await portal.get(CONTACTS) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[1].headers["x-hubspot-ratelimit-daily"] == "2"
    assert answers[1].headers["x-hubspot-ratelimit-daily-remaining"] == "0"
    assert answers[2].json["policyName"] == "DAILY"
    assert answers[2].json["message"] == "You have reached your daily limit."
    await portal.clock.sleep(15 * 3600 - 1)  # the clock starts at nine in the morning
    assert (await portal.get(CONTACTS)).status == 429
    await portal.clock.sleep(2)
    assert (await portal.get(CONTACTS)).status == 200


async def test_unknown_routes_and_methods(portal):
    unknown = await portal.get("/crm/v3/nowhere")

    assert unknown.status == 404
    assert unknown.json["message"] == "resource not found"
    assert (await portal.call("PUT", CONTACTS, {})).status == 405


async def test_a_body_that_is_no_json_object_is_refused(portal):
    for raw in (b"{", b"[]", b"", b"\xff"):
        answer = await portal.call("POST", CONTACTS, raw=raw)

        assert answer.status == 400
        assert answer.json["category"] == "VALIDATION_ERROR"
    for body in ({}, {"properties": []}, {"properties": {"firstname": {}}}):
        assert (await portal.post(CONTACTS, body)).status == 400


async def test_paths_with_a_date_mean_the_same_as_version_3(portal):
    id = await portal.add(email="ada@example.com")
    dated = await portal.get(f"/crm/objects/2026-03/contacts/{id}")
    found = await portal.post("/crm/objects/2026-03/0-1/search", {})

    assert dated.json == (await portal.get(f"{CONTACTS}/{id}")).json
    assert found.json["total"] == 1


async def test_a_url_that_is_too_long_is_a_414(portal):
    names = ",".join(f"property_{number}" for number in range(2000))

    assert (await portal.get(CONTACTS, properties=names)).status == 414
    assert (await portal.get(CONTACTS, properties=names[:4000])).status == 200


async def test_a_portal_that_moves_says_when_to_come_back(portal):
    faults = [
        {"kind": "server_error", "status": 477, "seconds": 90, "count": 1},
        {"kind": "server_error", "status": 522, "count": 1},
    ]
    await portal.control("faults", {"faults": faults})
    moving, unreachable = await portal.get(CONTACTS), await portal.get(CONTACTS)

    assert (moving.status, moving.headers["retry-after"]) == (477, "90")
    assert unreachable.status == 522
    assert "retry-after" not in unreachable.headers
