"""
The ways in which OAuth 2 gives a token, as values that a connector declares.

    grants = (AuthorizationCode(authorize_url=…, tokens_url=…, scopes=(…)), ClientCredentials(…))

A connection keeps the name of its grant beside its credentials (``grant``); one without has a token
that a person gave and that nobody can renew. What is asked of a platform is a form; asking is for
`token_call`, and when to ask for whoever keeps the connection.
"""

from __future__ import annotations

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import quote, urlencode, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from dovetail.connector_sdk.auth import Credentials, basic
from dovetail.core import json
from dovetail.errors import ConfigError

_JWT_LIFE_S = 180


@dataclass(frozen=True, slots=True)
class TokenForm:
    """One request to a token endpoint."""

    fields: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant(ABC):
    """
    One way to a token.

    Attributes:
        tokens_url: Where tokens are asked for. Where a connection has an address of its own
            (a sandbox, a company's own host), the same path there.
        lifetime_s: How long a token lives where the answer does not tell; None: nobody knows,
            it is renewed when a call is refused.
        keeps: What else of an answer is kept: the address to call, the scopes.
        client_in_header: The client's id and secret go as Basic, instead of in the form.
    """

    name: ClassVar[str]

    tokens_url: str
    lifetime_s: float | None = None
    keeps: tuple[str, ...] = ("scope",)
    client_in_header: bool = False

    @property
    @abstractmethod
    def required(self) -> tuple[str, ...]:
        """The credentials that a person must give for it."""

    @abstractmethod
    def renewal(self, credentials: Credentials, now: datetime) -> TokenForm | None:
        """Return the form that asks for the next token; None where only a person can."""

    def token_address(self, base_url: str | None) -> str:
        """Return where this connection's tokens are asked for."""
        return _at(self.tokens_url, base_url)

    def form(self, credentials: Credentials, fields: Mapping[str, str]) -> TokenForm:
        """Return a form that also says which client asks."""
        client, secret = credentials.require("client_id"), credentials.get("client_secret", "")
        if self.client_in_header and secret:
            header = basic(quote(client, safe=""), quote(secret, safe=""))
            return TokenForm(fields, {"Authorization": header})
        known = {"client_id": client} | ({"client_secret": secret} if secret else {})
        return TokenForm({**fields, **known}, {})


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorizationCode(Grant):
    """
    A person agrees in a browser (RFC 6749, 4.1); a refresh token renews it from then on.

    Attributes:
        authorize_url: The page that asks the person.
        scopes: What is asked for.
        pkce: Whether the platform takes a code challenge (RFC 7636).
    """

    name: ClassVar[str] = "authorization_code"

    authorize_url: str
    scopes: tuple[str, ...] = ()
    pkce: bool = True

    @property
    def required(self) -> tuple[str, ...]:
        """The app that the person agrees with; its secret where it has one."""
        return ("client_id",)

    def page(
        self, base_url: str | None, client_id: str, redirect_uri: str, state: str, verifier: str
    ) -> str:
        """Return the address of the page that asks."""
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.scopes),
            "state": state,
        }
        if self.pkce:
            query |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
        address = _at(self.authorize_url, base_url)
        return f"{address}?{urlencode(query, quote_via=quote)}"

    def exchange(
        self, credentials: Credentials, code: str, redirect_uri: str, verifier: str
    ) -> TokenForm:
        """Return the form that turns the code into the first token."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
        }
        if self.pkce:
            fields["code_verifier"] = verifier
        return self.form(credentials, fields)

    def renewal(self, credentials: Credentials, now: datetime) -> TokenForm | None:
        """Return the form with the refresh token, where the platform gave one."""
        del now
        refresh = credentials.get("refresh_token")
        if not refresh:
            return None
        fields = {"grant_type": "refresh_token", "refresh_token": refresh}
        return self.form(credentials, fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCredentials(Grant):
    """The app acts for itself (RFC 6749, 4.4): its id and secret give every token."""

    name: ClassVar[str] = "client_credentials"

    @property
    def required(self) -> tuple[str, ...]:
        """The app and its secret."""
        return ("client_id", "client_secret")

    def renewal(self, credentials: Credentials, now: datetime) -> TokenForm | None:
        """Return the form that asks for a token."""
        del now
        return self.form(credentials, {"grant_type": "client_credentials"})


@dataclass(frozen=True, kw_only=True, slots=True)
class JwtBearer(Grant):
    """
    The app signs for a user (RFC 7523): its private key gives every token.

    Attributes:
        audience: Whom the assertion is for; a connection's credential ``audience`` overrides it.
    """

    name: ClassVar[str] = "jwt_bearer"

    audience: str

    @property
    def required(self) -> tuple[str, ...]:
        """The app, the user and the key (PEM)."""
        return ("client_id", "username", "private_key")

    def renewal(self, credentials: Credentials, now: datetime) -> TokenForm | None:
        """
        Return the form with a freshly signed assertion.

        Raises:
            ConfigError: The private key cannot be read.
        """
        claims: dict[str, str | int] = {
            "iss": credentials.require("client_id"),
            "sub": credentials.require("username"),
            "aud": credentials.get("audience") or self.audience,
            "exp": int(now.timestamp()) + _JWT_LIFE_S,
        }
        fields = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": _signed(claims, credentials.require("private_key")),
        }
        return TokenForm(fields, {})


def grant_named(grants: Sequence[Grant], name: str | None) -> Grant | None:
    """Return the grant of a connection, None for a token that a person gave."""
    return next((grant for grant in grants if grant.name == name), None)


def challenge(verifier: str) -> str:
    """Return the code challenge of a verifier (RFC 7636, S256)."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def _at(url: str, base_url: str | None) -> str:
    return base_url.rstrip("/") + urlsplit(url).path if base_url else url


def _signed(claims: Mapping[str, str | int], pem: str) -> str:
    # A line break in an environment variable is often written as these two characters.
    try:
        key = serialization.load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "The connection's private_key cannot be read. Give the key of the app's certificate "
            "as PEM, without a password, with `dovetail connect`."
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError("The connection's private_key is not an RSA key, which RS256 needs.")
    head = _base64url(json.encode({"alg": "RS256", "typ": "JWT"}))
    signed = f"{head}.{_base64url(json.encode(dict(claims)))}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
