"""The ways of OAuth 2 as values: forms, challenges, signatures, and what an answer means."""

import base64
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from dovetail.app.authorization import Authorization
from dovetail.connector_sdk import token_call
from dovetail.connector_sdk.auth import ApiKey, Basic, Credentials
from dovetail.connector_sdk.grant import (
    AuthorizationCode,
    ClientCredentials,
    JwtBearer,
    challenge,
    grant_named,
)
from dovetail.connector_sdk.registry import connector_class
from dovetail.core.clock import LoopClock, from_micros
from dovetail.core.transport import HttpResponse
from dovetail.errors import (
    AuthenticationError,
    ConfigError,
    MissingCredentialError,
    PlatformUnavailableError,
    RateLimitedError,
    UnsupportedCapabilityError,
)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
TOKENS = "https://login.acme.test/oauth/token"
CODE = AuthorizationCode(
    authorize_url="https://acme.test/authorize", tokens_url=TOKENS, scopes=("read", "write")
)
CLIENT = Credentials({"client_id": "the-client", "client_secret": "the-secret"})


class Endpoint:
    """Gives one answer to whoever asks."""

    def __init__(self, status, body, **headers):
        self.answer = HttpResponse(
            status=status,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        return self.answer

    async def close(self):
        pass


def ask(endpoint, grant=CODE, credentials=None):
    found = Credentials({**CLIENT, "refresh_token": "refresh-1", **(credentials or {})})
    return token_call.ask(
        grant,
        grant.renewal(found, NOW),
        found,
        address=grant.token_address(None),
        title="Acme",
        platform="acme",
        transport=endpoint,
        clock=LoopClock(NOW),
    )


def test_the_challenge_is_that_of_the_rfc():
    # RFC 7636, appendix B
    assert (
        challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_the_page_asks_for_the_scopes_and_names_where_to_come_back():
    page = CODE.page(None, "the client", "http://localhost:1/callback", "s t", "v" * 43)

    query = dict(parse_qsl(urlsplit(page).query))
    assert page.startswith("https://acme.test/authorize?")
    assert query["scope"] == "read write"
    assert query["state"] == "s t"
    assert query["code_challenge"] == challenge("v" * 43)
    assert "v" * 43 not in page


def test_at_an_address_of_its_own_a_connection_uses_the_same_paths():
    assert CODE.token_address("http://127.0.0.1:9401/") == "http://127.0.0.1:9401/oauth/token"
    page = CODE.page("http://127.0.0.1:9401", "c", "u", "s", "v")
    assert page.startswith("http://127.0.0.1:9401/authorize?")


def test_without_a_refresh_token_only_a_person_can_renew():
    assert CODE.renewal(CLIENT, NOW) is None


def test_a_client_may_show_its_secret_in_a_header():
    grant = ClientCredentials(tokens_url=TOKENS, client_in_header=True)

    form = grant.renewal(Credentials({"client_id": "a:b", "client_secret": "c d"}), NOW)

    assert base64.b64decode(form.headers["Authorization"].split()[1]) == b"a%3Ab:c%20d"
    assert "client_secret" not in form.fields


def test_a_grant_is_found_by_its_name():
    grants = connector_class("salesforce").grants

    assert grant_named(grants, "jwt_bearer").audience == "https://login.salesforce.com"
    assert grant_named(grants, None) is None


def test_an_assertion_is_signed_for_a_short_time():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    grant = JwtBearer(tokens_url=TOKENS, audience="https://login.acme.test")

    form = grant.renewal(
        Credentials({"client_id": "app", "username": "ada@acme.test", "private_key": pem_of(key)}),
        NOW,
    )

    head, claims, signature = form.fields["assertion"].split(".")
    key.public_key().verify(
        decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(decoded(head))["alg"] == "RS256"
    assert json.loads(decoded(claims)) == {
        "iss": "app",
        "sub": "ada@acme.test",
        "aud": "https://login.acme.test",
        "exp": int(NOW.timestamp()) + 180,
    }


@pytest.mark.parametrize("pem", ["", "no key", "ec"])
def test_a_key_that_cannot_sign_is_told_without_showing_it(pem):
    text = pem_of(ec.generate_private_key(ec.SECP256R1())) if pem == "ec" else pem
    grant = JwtBearer(tokens_url=TOKENS, audience="x")
    found = Credentials({"client_id": "app", "username": "ada", "private_key": text})

    with pytest.raises((ConfigError, MissingCredentialError), match="private_key") as caught:
        grant.renewal(found, NOW)
    assert not text or text not in str(caught.value)


async def test_an_answer_is_kept_with_its_end_counted_from_the_question():
    endpoint = Endpoint(200, {"access_token": "t-2", "expires_in": 1800, "scope": "read"})

    values = await ask(endpoint)

    form = parse_qs(endpoint.requests[0].body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert values["access_token"] == "t-2"
    assert values["refresh_token"] == "refresh-1", "an old one stays where no new one came"
    assert values["grant"] == "authorization_code"
    assert (from_micros(int(values["expires_at"])) - NOW).total_seconds() == 1800
    assert (from_micros(int(values["renew_at"])) - NOW).total_seconds() == 1500


async def test_a_token_without_an_end_is_renewed_when_it_is_refused():
    values = await ask(Endpoint(200, {"access_token": "t-2"}), credentials={"expires_at": "1"})

    assert "expires_at" not in values
    assert "renew_at" not in values


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_grant", "error_description": "expired refresh-1"}, 0),
        (401, {"error": "invalid_client"}, 0),
        (400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid"}, 0),
        (400, {"error": "temporarily_unavailable"}, PlatformUnavailableError),
        (400, {"error": "rate_limit_exceeded"}, RateLimitedError),
        (429, b"", RateLimitedError),
        (500, b"<html>", PlatformUnavailableError),
        (302, b"", PlatformUnavailableError),
        (200, b"<html>log in</html>", PlatformUnavailableError),
        (200, {"access_token": ""}, PlatformUnavailableError),
        (200, [1], PlatformUnavailableError),
    ],
)
async def test_what_an_answer_without_a_token_means(status, body, kind):
    with pytest.raises(kind or AuthenticationError, match="Acme gave no token") as caught:
        await ask(Endpoint(status, body, retry_after="7"))

    assert "refresh-1" not in str(caught.value.to_record())
    assert "the-secret" not in str(caught.value.to_record())
    if kind is RateLimitedError:
        assert caught.value.retry_after_s == 7


async def test_an_answer_never_sends_calls_to_where_nothing_is_encrypted():
    grant = ClientCredentials(tokens_url=TOKENS, keeps=("instance_url",))
    endpoint = Endpoint(200, {"access_token": "t", "instance_url": "http://evil.test"})

    with pytest.raises(AuthenticationError, match="not encrypted"):
        await ask(endpoint, grant)


def test_a_platform_without_a_login_is_told():
    class Plain(connector_class("hubspot")):
        platform = "plain"
        title = "Plain"
        grants = ()

    with pytest.raises(UnsupportedCapabilityError, match="give a token"):
        Authorization(Plain, CLIENT, base_url=None, redirect_uri="http://localhost:1/callback")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"code": "c"}, "state is not ours"),
        ({"code": "c", "state": "another"}, "state is not ours"),
        ({"error": "access_denied"}, "was denied"),
        ({"error": "server_error", "error_description": "try later"}, "try later"),
        ({}, "neither a code nor an error"),
    ],
)
def test_an_answer_that_holds_no_code_is_told(answer, told):
    asked = Authorization(
        connector_class("hubspot"), CLIENT, base_url=None, redirect_uri="http://localhost:1/x"
    )
    state = dict(parse_qsl(urlsplit(asked.page).query))["state"]

    with pytest.raises(AuthenticationError, match=told):
        asked.code_in(answer if "state is" in told else {**answer, "state": state})
    assert asked.code_in({"code": "c", "state": state}) == "c"


async def test_keys_and_passwords_go_where_the_platform_wants_them():
    found = Credentials({"api_key": "k-123456", "username": "ada", "password": "pw"})

    assert await ApiKey("X-Api-Key").headers(found) == {"X-Api-Key": "k-123456"}
    assert await Basic().headers(found) == {"Authorization": "Basic YWRhOnB3"}
    alone = await Basic("api_key", None).headers(found)
    assert base64.b64decode(alone["Authorization"].split()[1]) == b"k-123456:"
    assert Basic("api_key", None).required == ("api_key",)


def pem_of(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
