"""The login host: the page that asks a person, tokens for grants, and who the caller is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.consent import (
    Asked,
    CodeBook,
    CodeRefusedError,
    answer_decision,
    consent_page,
    is_absolute,
    refusal_page,
    send_back,
)
from dovetail.simulators.salesforce.assertion import Expected, check_assertion
from dovetail.simulators.salesforce.session import OAuthError

if TYPE_CHECKING:
    from dovetail.simulators.salesforce.simulator import Salesforce

AUTHORIZE_PATH = "/services/oauth2/authorize"
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
REVOKE_PATH = "/services/oauth2/revoke"
USER_INFO_PATH = "/services/oauth2/userinfo"

APP_SCOPE = "api refresh_token"
APP_NAME = "Sandbox app"
_LONG_LIVED = frozenset({"refresh_token", "offline_access"})
_SCOPES = _LONG_LIVED | {"api", "full", "web", "id", "openid", "profile", "email"}
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class LoginHost:
    """Answers ``/services/oauth2/*`` of one simulator."""

    def __init__(self, simulator: Salesforce) -> None:
        self._simulator = simulator
        self._codes = CodeBook(simulator.now)
        self._grants = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            "client_credentials": self._by_client_credentials,
            _JWT_BEARER: self._by_assertion,
        }

    def routes(self) -> list[Route]:
        """Return the routes; only the one that says who the caller is needs a session."""
        return [
            Route(AUTHORIZE_PATH, self._ask, methods=["GET"]),
            Route(AUTHORIZE_PATH, self._decide, methods=["POST"]),
            Route(TOKEN_PATH, self._token, methods=["POST"]),
            Route(REVOKE_PATH, self._revoke, methods=["POST"]),
            Route(USER_INFO_PATH, self._user_info, methods=["GET", "POST"]),
        ]

    def clear(self) -> None:
        """Forget the codes that were issued."""
        self._codes = CodeBook(self._simulator.now)

    async def _ask(self, request: Request) -> Response:
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        return consent_page("Salesforce", APP_NAME, sorted(asked.scopes))

    async def _decide(self, request: Request) -> Response:
        return await answer_decision(
            request,
            self._asked(request),
            book=self._codes,
            new_code=self._simulator.sessions.new_code,
            denied="end-user denied authorization",
        )

    def _asked(self, request: Request) -> Asked | Response:
        """Return what the app asks for, or the answer that says why it cannot be asked."""
        query, registration = request.query_params, self._simulator.registration
        uri, registered = query.get("redirect_uri", ""), registration.redirect_uris
        if query.get("client_id") != self._simulator.credentials["client_id"]:
            return _page("invalid_client_id", "client identifier invalid")
        if not is_absolute(uri) or (registered and uri not in registered):
            return _page("redirect_uri_mismatch", "redirect_uri must match configuration")
        scopes = frozenset((query.get("scope") or APP_SCOPE).split())
        asked = Asked(
            client_id=query["client_id"],
            redirect_uri=uri,
            scopes=scopes,
            state=query.get("state"),
            challenge=query.get("code_challenge") or None,
        )
        error = None
        if query.get("response_type") != "code":
            error = ("unsupported_response_type", "response type not supported")
        elif not scopes <= _SCOPES:
            error = ("invalid_scope", "the requested scope is not allowed")
        elif registration.requires_pkce and asked.challenge is None:
            error = ("invalid_request", "missing required code challenge")
        elif asked.challenge and query.get("code_challenge_method", "S256") != "S256":
            error = ("invalid_request", "invalid code challenge method")
        if error is None:
            return asked
        return send_back(asked, error=error[0], error_description=error[1])

    async def _token(self, request: Request) -> Response:
        form = await _read_form(request)
        try:
            grant = self._grants.get(form.get("grant_type", ""))
            if grant is None:
                raise OAuthError("unsupported_grant_type", "grant type not supported")
            if form["grant_type"] != _JWT_BEARER:
                self._check_client(form, request.headers.get("authorization"))
            return json_response(grant(form))
        except OAuthError as exc:
            return json_response(exc.body, 400)

    def _by_code(self, form: Mapping[str, str]) -> dict[str, Any]:
        simulator, code = self._simulator, form.get("code", "")
        try:
            asked = self._codes.read(code, life_s=simulator.registration.code_life_s)
        except CodeRefusedError as exc:
            shown = "expired" if exc.reason == "expired" else "invalid"
            raise OAuthError("invalid_grant", f"{shown} authorization code") from exc
        if form.get("redirect_uri") != asked.redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        verifier = form.get("code_verifier") or None
        # A verifier without a challenge is refused as well as a challenge without a verifier.
        if (verifier is None) != (asked.challenge is None) or not asked.is_answered_by(verifier):
            raise OAuthError("invalid_grant", "invalid code verifier")
        self._codes.use(code)
        scope = " ".join(sorted(asked.scopes))
        refresh = simulator.sessions.grant(scope) if asked.scopes & _LONG_LIVED else None
        reply: dict[str, Any] = {"access_token": simulator.sessions.open(scope, refresh)}
        if refresh is not None:
            reply["refresh_token"] = refresh
        return reply | self._facts(scope) | self._signed()

    def _by_refresh_token(self, form: Mapping[str, str]) -> dict[str, Any]:
        sessions, refresh = self._simulator.sessions, form.get("refresh_token", "")
        scope = sessions.scope_of(refresh)
        if scope is None:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        reply: dict[str, Any] = {}
        if self._simulator.registration.rotates_refresh_tokens:
            refresh = reply["refresh_token"] = sessions.rotate(refresh)
        reply = {"access_token": sessions.open(scope, refresh)} | reply
        return reply | self._facts(scope) | self._signed()

    def _by_client_credentials(self, _form: Mapping[str, str]) -> dict[str, Any]:
        reply = {"access_token": self._simulator.sessions.open("api")}
        return reply | self._facts("api") | self._signed()

    def _by_assertion(self, form: Mapping[str, str]) -> dict[str, Any]:
        simulator = self._simulator
        expected = Expected(
            client_id=simulator.credentials["client_id"],
            username=str(self._user().get("Username")),
            audiences=(*_AUDIENCES, simulator.base_url),
            public_key=simulator.registration.jwt_public_key,
        )
        check_assertion(form.get("assertion", ""), expected, simulator.clock.now())
        return {"access_token": simulator.sessions.open("api")} | self._facts("api")

    async def _revoke(self, request: Request) -> Response:
        form = await _read_form(request)
        if self._simulator.sessions.revoke(form.get("token", "")):
            return Response(status_code=200)
        error = {"error": "unsupported_token_type", "error_description": "this token is unknown"}
        return json_response(error, 400)

    async def _user_info(self, request: Request) -> Response:
        org, user = self._simulator.org, self._user()
        return json_response(
            {
                "sub": self._identity_url(),
                "user_id": org.user_id,
                "organization_id": org.id,
                "preferred_username": user.get("Username"),
                "name": user.get("Name"),
                "email": user.get("Email"),
                "active": True,
            }
        )

    def _check_client(self, form: Mapping[str, str], authorization: str | None) -> None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as exc:
                raise OAuthError("invalid_client", "invalid client credentials") from exc
        credentials = self._simulator.credentials
        if client_id != credentials["client_id"]:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if secret != credentials["client_secret"]:
            raise OAuthError("invalid_client", "invalid client credentials")

    def _facts(self, scope: str) -> dict[str, Any]:
        return {
            "scope": scope,
            "instance_url": self._simulator.base_url,
            "id": self._identity_url(),
            "token_type": "Bearer",
        }

    def _signed(self) -> dict[str, Any]:
        issued_at = int(self._simulator.now().timestamp() * 1000)
        return {"signature": self._simulator.sessions.sign(), "issued_at": str(issued_at)}

    def _user(self) -> Mapping[str, Any]:
        org = self._simulator.org
        return org.lookup("User", org.user_id) or {}

    def _identity_url(self) -> str:
        org = self._simulator.org
        return f"{self._simulator.base_url}/id/{org.id}/{org.user_id}"


def _page(code: str, description: str) -> Response:
    return refusal_page("Salesforce", f"error={code} error_description={description}")


async def _read_form(request: Request) -> dict[str, str]:
    body = await request.body()
    fields = dict(request.query_params)
    fields.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return fields
