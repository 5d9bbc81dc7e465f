"""Every way to a session: web server flow with PKCE, refresh, client credentials, JWT bearer."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dovetail.core import json

BACK = "https://app.example.com/callback"
VERIFIER = "v" * 43
TOKEN = "/services/oauth2/token"
USERNAME = "integration@sandbox.example.com"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


CHALLENGE = b64(hashlib.sha256(VERIFIER.encode()).digest())


async def ask(org, decision=None, **changed):
    query = {
        "response_type": "code",
        "client_id": org.simulator.credentials["client_id"],
        "redirect_uri": BACK,
        "scope": "api refresh_token",
        "state": "s1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changed,
    }
    query = {name: value for name, value in query.items() if value is not None}
    path = f"/services/oauth2/authorize?{urlencode(query)}"
    if decision is None:
        return await org.call("GET", path)
    return await org.form(path, {"decision": decision})


def answer_in(redirect):
    assert redirect.status == 302
    target, _, query = redirect.headers["location"].partition("?")
    assert target == BACK
    return {name: values[0] for name, values in parse_qs(query).items()}


async def token(org, **form):
    credentials = org.simulator.credentials
    named = {name: credentials[name] for name in ("client_id", "client_secret")}
    return await org.form(TOKEN, named | form)


async def redeem(org, **changed):
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": VERIFIER}
    form |= changed
    return await token(org, **{name: value for name, value in form.items() if value is not None})


async def code_for(org, **asked):
    return answer_in(await ask(org, "allow", **asked))["code"]


async def test_the_web_server_flow_with_pkce_opens_a_session(org):
    page = await ask(org)
    back = answer_in(await ask(org, "allow"))
    issued = (await redeem(org, code=back["code"])).body
    org.token = issued["access_token"]

    assert page.status == 200
    assert "Allow" in page.text
    assert "Deny" in page.text
    assert back["state"] == "s1"
    assert issued.keys() == {
        "access_token",
        "refresh_token",
        "signature",
        "scope",
        "instance_url",
        "id",
        "token_type",
        "issued_at",
    }
    assert issued["issued_at"].isdecimal()
    assert (await org.get("/limits")).status == 200


async def test_without_the_scope_there_is_no_refresh_token(org):
    issued = await redeem(org, code=await code_for(org, scope="api"))

    assert issued.body["scope"] == "api"
    assert "refresh_token" not in issued.body


async def test_a_person_who_denies_is_sent_back_without_a_code(org):
    back = answer_in(await ask(org, "deny"))

    assert back == {
        "error": "access_denied",
        "error_description": "end-user denied authorization",
        "state": "s1",
    }


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"client_id": "other"}, "invalid_client_id"),
        ({"redirect_uri": "/callback"}, "redirect_uri_mismatch"),
    ],
)
async def test_a_wrong_app_or_address_is_a_page_and_no_redirect(org, changed, code):
    page = await ask(org, "allow", **changed)

    assert page.status == 400
    assert code in page.text
    assert "location" not in page.headers


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "api everything"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
async def test_what_else_is_wrong_goes_back_to_the_app(org, changed, code):
    assert answer_in(await ask(org, "allow", **changed))["error"] == code


async def test_an_app_can_require_pkce_and_registered_addresses(org):
    await org.sandbox("POST", "app", {"requires_pkce": True, "redirect_uris": [BACK]})
    without = answer_in(await ask(org, "allow", code_challenge=None))

    assert without["error_description"] == "missing required code challenge"
    assert (await ask(org, redirect_uri=f"{BACK}/other")).status == 400
    assert (await ask(org)).status == 200


@pytest.mark.parametrize(
    ("changed", "error", "described"),
    [
        ({"code": "aPrxOther=="}, "invalid_grant", "invalid authorization code"),
        ({"code_verifier": "w" * 43}, "invalid_grant", "invalid code verifier"),
        ({"code_verifier": None}, "invalid_grant", "invalid code verifier"),
        ({"redirect_uri": f"{BACK}/x"}, "redirect_uri_mismatch", "redirect_uri must match"),
        ({"client_secret": "guess"}, "invalid_client", "invalid client credentials"),
        ({"client_id": "guess"}, "invalid_client_id", "client identifier invalid"),
        ({"grant_type": "implicit"}, "unsupported_grant_type", "grant type not supported"),
    ],
)
async def test_a_refused_redemption_says_why(org, changed, error, described):
    code = await code_for(org)
    refused = await redeem(org, **{"code": code, **changed})

    assert refused.status == 400
    assert refused.body["error"] == error
    assert refused.body["error_description"].startswith(described)
    assert (await redeem(org, code=code)).status == 200


async def test_a_verifier_without_a_challenge_is_refused_too(org):
    code = await code_for(org, code_challenge=None)

    assert (await redeem(org, code=code)).body["error"] == "invalid_grant"
    assert (await redeem(org, code=code, code_verifier=None)).status == 200


async def test_a_code_opens_once_and_for_a_quarter_of_an_hour(org):
    code, late = await code_for(org), await code_for(org)
    assert (await redeem(org, code=code)).status == 200
    again = await redeem(org, code=code)
    await org.simulator.clock.sleep(901)
    expired = await redeem(org, code=late)

    assert again.body["error_description"] == "invalid authorization code"
    assert expired.body["error_description"] == "expired authorization code"


async def test_rotation_can_be_switched_on_and_a_used_refresh_token_is_refused(org):
    await org.sandbox("POST", "app", {"rotates_refresh_tokens": True})
    first = (await redeem(org, code=await code_for(org))).body["refresh_token"]
    second = (await token(org, grant_type="refresh_token", refresh_token=first)).body
    used = await token(org, grant_type="refresh_token", refresh_token=first)
    third = await token(org, grant_type="refresh_token", refresh_token=second["refresh_token"])

    assert second["refresh_token"] != first
    assert used.body == {
        "error": "invalid_grant",
        "error_description": "expired access/refresh token",
    }
    assert third.status == 200


async def test_a_sixth_grant_ends_the_oldest(org):
    grants = []
    for _ in range(5):
        grants.append((await redeem(org, code=await code_for(org))).body["refresh_token"])
    first = org.simulator.credentials["refresh_token"]
    gone = await token(org, grant_type="refresh_token", refresh_token=first)

    assert gone.body["error"] == "invalid_grant"
    for grant in grants:
        assert (await token(org, grant_type="refresh_token", refresh_token=grant)).status == 200


async def test_revoking_a_grant_ends_its_sessions(org):
    issued = (await redeem(org, code=await code_for(org))).body
    org.token = issued["access_token"]
    assert (await org.get("/limits")).status == 200
    await org.form("/services/oauth2/revoke", {"token": issued["refresh_token"]})

    assert (await org.get("/limits")).code == "INVALID_SESSION_ID"


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def signed(org, key):
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    simulator = org.simulator
    simulator.registration = simulator.registration.changed({"jwt_public_key": pem.decode()})

    def make(by=key, alg="RS256", **changed):
        claims = {
            "iss": org.simulator.credentials["client_id"],
            "sub": USERNAME,
            "aud": "https://login.salesforce.com",
            "exp": int(org.simulator.clock.now().timestamp()) + 180,
            **changed,
        }
        parts = [b64(json.encode(part)) for part in ({"alg": alg}, claims)]
        signature = by.sign(".".join(parts).encode(), PKCS1v15(), SHA256())
        return ".".join([*parts, b64(signature)])

    return make


async def bearer(org, assertion):
    kind = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return await org.form(TOKEN, {"grant_type": kind, "assertion": assertion})


async def test_a_signed_assertion_opens_a_session_and_gives_no_refresh_token(org, signed):
    issued = (await bearer(org, signed())).body
    as_text = await bearer(org, signed(exp=str(int(org.simulator.clock.now().timestamp()) + 9)))
    org.token = issued["access_token"]

    assert issued.keys() == {"access_token", "scope", "instance_url", "id", "token_type"}
    assert as_text.status == 200
    assert (await org.get("/limits")).status == 200


@pytest.mark.parametrize(
    ("changed", "error", "described"),
    [
        ({"aud": "https://login.example.com"}, "invalid_grant", "audience is invalid"),
        ({"sub": "nobody@example.com"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"iss": "other"}, "invalid_client_id", "client identifier invalid"),
        ({"exp": 1}, "invalid_grant", "invalid assertion"),
        ({"exp": None}, "invalid_grant", "invalid assertion"),
        ({"alg": "none"}, "invalid_grant", "invalid assertion"),
    ],
)
async def test_a_wrong_assertion_is_refused(org, signed, changed, error, described):
    refused = await bearer(org, signed(**changed))

    assert refused.status == 400
    assert refused.body == {"error": error, "error_description": described}


async def test_an_assertion_of_another_key_or_no_assertion_opens_nothing(org, signed, key):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = signed()
    changed = good.rpartition(".")[0] + ".AAAA"
    for text in (signed(by=other), changed, "", "a.b.c", "é.é.é", good + ".x"):
        assert (await bearer(org, text)).body["error"] in {"invalid_grant", "invalid_client_id"}
    await org.sandbox("POST", "app", {"jwt_public_key": None})
    assert (await bearer(org, good)).body["error_description"] == "invalid assertion"


async def test_the_token_endpoint_can_be_slow_and_fail_alone(org):
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": org.simulator.credentials["refresh_token"],
    }
    faults = [
        {"kind": "latency", "path": TOKEN, "seconds": 20, "count": 1},
        {"kind": "server_error", "path": TOKEN, "count": 1},
        {"kind": "rate_limit", "path": TOKEN, "count": 1},
        {"kind": "expired_token", "path": TOKEN, "count": 1},
    ]
    await org.sandbox("POST", "faults", {"faults": faults})
    before = org.simulator.clock.now()
    answers = [await token(org, **refresh) for _ in range(4)]

    assert answers[0].status == 400
    assert answers[0].body["error"] == "rate_limit_exceeded"
    assert answers[1].status == 503
    assert answers[2].body["error"] == "invalid_grant"
    assert answers[3].status == 200
    assert (org.simulator.clock.now() - before).total_seconds() == 20
    assert (await org.get("/limits")).status == 200


async def test_a_code_ends_in_characters_that_forms_have_to_encode(org):
    code = await code_for(org)

    assert code.endswith("==")
    assert (await redeem(org, code=code.rstrip("="))).body["error"] == "invalid_grant"
