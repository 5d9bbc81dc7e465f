"""The ways in which a new connector can show who it is, and the text of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuthChoice:
    """
    One way; every attribute but `name` is text of a template (see `scaffold.Project`).

    Attributes:
        name: As ``--auth`` takes it.
        imported: What the connector imports from `dovetail.connector_sdk.auth`.
        values: The class attributes of the connector.
        credentials: What the simulator gives to whoever may call, one a line.
        is_allowed: How the simulator looks at a call.
        headers: What a test sends, given the credentials as ``known``.
        connect: How a person connects a real account.
        std_import: What the simulator needs of the standard library.
    """

    name: str
    imported: str
    values: str
    credentials: str
    is_allowed: str
    headers: str
    connect: str
    std_import: str = ""


_BEARER = """\
expected = f"Bearer {self.credentials['access_token']}"
return request.headers.get("authorization") == expected"""

TOKEN = AuthChoice(
    "token",
    imported="BearerToken",
    values="auth = BearerToken()",
    credentials='"access_token": self.new_secret("token"),',
    is_allowed=_BEARER,
    headers="""{"Authorization": f"Bearer {known['access_token']}"}""",
    connect=(
        "`dovetail connect $name` asks for the token, or takes it from `DOVETAIL_${upper}_TOKEN`."
    ),
)
API_KEY = AuthChoice(
    "api-key",
    imported="ApiKey",
    values='auth = ApiKey("X-$header_title-Key")',
    credentials='"api_key": self.new_secret("key"),',
    is_allowed='return request.headers.get("x-$header-key") == self.credentials["api_key"]',
    headers='{"X-$header_title-Key": known["api_key"]}',
    connect=(
        "`dovetail connect $name` asks for the key, or takes it from `DOVETAIL_${upper}_TOKEN`."
    ),
)
BASIC = AuthChoice(
    "basic",
    imported="Basic",
    values="auth = Basic()",
    credentials="""\
"username": f"dovetail-{self.account_id}",
"password": self.new_secret("password"),""",
    is_allowed="""\
pair = f"{self.credentials['username']}:{self.credentials['password']}"
expected = f"Basic {base64.b64encode(pair.encode()).decode()}"
return request.headers.get("authorization") == expected""",
    headers="""{"Authorization": basic(known["username"], known["password"])}""",
    connect=(
        "`dovetail connect $name` asks for name and password, or takes them from "
        "`DOVETAIL_${upper}_USERNAME` and `DOVETAIL_${upper}_PASSWORD`."
    ),
    std_import="import base64",
)
OAUTH2 = AuthChoice(
    "oauth2",
    imported="BearerToken",
    values="""\
auth = BearerToken()
grants = (
    AuthorizationCode(
        authorize_url="https://$name.example/oauth/authorize",
        tokens_url="https://api.$name.example/oauth/token",
        scopes=("records.read", "records.write"),
    ),
    ClientCredentials(tokens_url="https://api.$name.example/oauth/token"),
)""",
    credentials="""\
"access_token": self.new_secret("token"),
"client_id": self.new_secret("client"),
"client_secret": self.new_secret("secret"),""",
    is_allowed="""\
token = request.headers.get("authorization", "").removeprefix("Bearer ")
# The first is one that a person made in the settings; it does not end.
return token == self.credentials["access_token"] or self._oauth.is_good(token)""",
    headers="""{"Authorization": f"Bearer {known['access_token']}"}""",
    connect=(
        "Set `DOVETAIL_${upper}_CLIENT_ID` and `DOVETAIL_${upper}_CLIENT_SECRET`; "
        "`dovetail connect $name` opens the page that asks, `--auth client-credentials` does "
        "without."
    ),
)

AUTHS = {one.name: one for one in (TOKEN, OAUTH2, API_KEY, BASIC)}
"""By the name that ``--auth`` takes."""
