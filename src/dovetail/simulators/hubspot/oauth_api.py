"""``/oauth/*``: the page that asks a person, tokens for codes and refresh tokens, who has what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.consent import (
    Asked,
    CodeRefusedError,
    answer_decision,
    consent_page,
    is_absolute,
    refusal_page,
)
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.access import ALL_SCOPES, Access, Grant, Token

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

AUTHORIZE_PATH = "/oauth/authorize"
TOKEN_PATH = "/oauth/v1/token"  # noqa: S105 - a path
_APP_NAME = "Sandbox app"


class OAuthApi:
    """The vendor's authorization server for the one app that is registered."""

    def __init__(self, simulator: HubSpotSimulator, access: Access) -> None:
        self._simulator = simulator
        self._access = access

    def routes(self) -> list[Route]:
        """Return the routes."""
        tokens, refreshers = "/oauth/v1/access-tokens/{token}", "/oauth/v1/refresh-tokens/{token}"
        return [
            Route(AUTHORIZE_PATH, self.ask, methods=["GET"]),
            Route(AUTHORIZE_PATH, self.decide, methods=["POST"]),
            Route(TOKEN_PATH, self.issue, methods=["POST"]),
            Route("/oauth/v3/token", self.issue, methods=["POST"]),
            Route("/oauth/v3/token/introspect", self.introspect, methods=["POST"]),
            Route("/oauth/v3/token/revoke", self.revoke, methods=["POST"]),
            Route(tokens, self.describe, methods=["GET"]),
            Route(refreshers, self.describe_refresh, methods=["GET"]),
            Route(refreshers, self.forget_refresh, methods=["DELETE"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Show what the app asks for."""
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        return consent_page("HubSpot", _APP_NAME, sorted(asked.scopes))

    async def decide(self, request: Request) -> Response:
        """Send the person back to the app, with a code if they allowed it."""
        return await answer_decision(
            request,
            self._asked(request),
            book=self._access.codes,
            new_code=lambda: f"na1-{self._access.new_id()}",
            denied="The user has denied the app access to their HubSpot account",
        )

    async def issue(self, request: Request) -> Response:
        """Issue an access token for a code or a refresh token."""
        form = await _form_of(request)
        self._check_client(form)
        match form.get("grant_type"):
            case "refresh_token":
                grant = self._access.grants.get(form.get("refresh_token", ""))
                if grant is None:
                    raise bad("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
                if self._simulator.registration.rotates_refresh_tokens:
                    grant = self._access.rotate(grant)
            case "authorization_code":
                grant = self._redeem(form)
            case other:
                raise bad("BAD_GRANT_TYPE", f"missing or unknown grant type {other!r}")
        token = self._access.open(grant)
        answer: dict[str, Any] = {
            "token_type": "bearer",
            "access_token": token.text,
            "refresh_token": grant.refresh_token,
            "expires_in": int(self._simulator.registration.token_life_s),
        }
        if request.url.path.startswith("/oauth/v3/"):
            answer.update(self._newer_facts(token))
        return json_response(answer)

    async def introspect(self, request: Request) -> Response:
        """Say whether a token is good, and whose it is."""
        form = await _form_of(request)
        self._check_client(form)
        text = form.get("token", "")
        token, grant = self._access.tokens.get(text), self._access.grants.get(text)
        if token is not None and token.expires_at > self._simulator.now():
            left = int((token.expires_at - self._simulator.now()).total_seconds())
            facts = {"active": True, "token": text, "expires_in": left, **self._newer_facts(token)}
        elif grant is not None:
            facts = {"active": True, "token": text, "token_use": "refresh_token"}
        else:
            facts = {"active": False}
        return json_response(facts)

    async def revoke(self, request: Request) -> Response:
        """End a token; an unknown one has ended already."""
        form = await _form_of(request)
        self._check_client(form)
        self._access.tokens.pop(form.get("token", ""), None)
        self._access.grants.pop(form.get("token", ""), None)
        return Response(status_code=204)

    async def describe(self, request: Request) -> Response:
        """Say whose access token this is."""
        issued = self._access.tokens.get(request.path_params["token"])
        if issued is None or issued.expires_at <= self._simulator.now():
            raise refusal.not_found("access token not found")
        left = int((issued.expires_at - self._simulator.now()).total_seconds())
        facts = {**self._portal(issued.grant), "app_id": self._app_id()}
        return json_response({**facts, "token": issued.text, "expires_in": left})

    async def describe_refresh(self, request: Request) -> Response:
        """Say whose refresh token this is."""
        grant = self._access.grants.get(request.path_params["token"])
        if grant is None:
            raise refusal.not_found("refresh token not found")
        facts = {**self._portal(grant), "token_type": "refresh"}
        client_id = self._simulator.credentials["client_id"]
        return json_response({**facts, "token": grant.refresh_token, "client_id": client_id})

    async def forget_refresh(self, request: Request) -> Response:
        """Forget a refresh token; access tokens end by themselves."""
        if self._access.grants.pop(request.path_params["token"], None) is None:
            raise refusal.not_found("refresh token not found")
        return Response(status_code=204)

    def _asked(self, request: Request) -> Asked | Response:
        """Return what the app asks for, or the page that says why it cannot be asked."""
        query = request.query_params
        uri, registered = query.get("redirect_uri", ""), self._simulator.registration.redirect_uris
        required = _words(query.get("scope", ""))
        problem = None
        if query.get("client_id") != self._simulator.credentials["client_id"]:
            problem = "The client id is missing or unknown: no app has it."
        elif not is_absolute(uri) or (registered and uri not in registered):
            problem = f"The redirect URL {uri!r} does not match the registered ones of the app."
        elif not required or not required <= self._access.scopes:
            lacking = " ".join(sorted(required - self._access.scopes)) or "(none was asked for)"
            problem = f"The scopes do not match those of the app: {lacking}"
        if problem is not None:
            return refusal_page("HubSpot", problem)
        optional = _words(query.get("optional_scope", "")) & self._access.scopes & ALL_SCOPES
        return Asked(
            client_id=query["client_id"],
            redirect_uri=uri,
            scopes=frozenset(required | optional),
            state=query.get("state"),
        )

    def _redeem(self, form: Mapping[str, str]) -> Grant:
        code, uri = form.get("code", ""), form.get("redirect_uri", "")
        if not is_absolute(uri):
            raise bad("BAD_REDIRECT_URI", "missing or invalid redirect URI")
        try:
            asked = self._access.code(code, life_s=self._simulator.registration.code_life_s)
        except CodeRefusedError as exc:
            if exc.reason == "expired":
                raise bad("EXPIRED_AUTH_CODE", "auth code has expired") from exc
            raise bad("BAD_AUTH_CODE", "missing or unknown auth code") from exc
        if asked is None:
            first = self._simulator.credentials["refresh_token"]
            return self._access.grants.get(first) or self._access.grant(self._access.scopes)
        if asked.redirect_uri != uri:
            raise bad(
                "MISMATCH_REDIRECT_URI_AUTH_CODE",
                "Redirect URI does not match initial auth code URI",
            )
        self._access.codes.use(code)
        return self._access.grant(asked.scopes)

    def _check_client(self, form: Mapping[str, str]) -> None:
        credentials = self._simulator.credentials
        if form.get("client_id") != credentials["client_id"]:
            raise bad("BAD_CLIENT_ID", "missing or unknown client id")
        if form.get("client_secret") != credentials["client_secret"]:
            raise bad("BAD_CLIENT_SECRET", "missing or invalid client secret")

    def _app_id(self) -> int:
        return int(self._simulator.credentials["app_id"])

    def _portal(self, grant: Grant) -> dict[str, Any]:
        return {
            "hub_id": self._simulator.portal_id,
            "hub_domain": "example.com",
            "user": "grace@example.com",
            "user_id": 9586504,
            "scopes": sorted(grant.scopes),
            "token_type": "access",
        }

    def _newer_facts(self, token: Token) -> dict[str, Any]:
        portal = self._portal(token.grant)
        chosen = {name: portal[name] for name in ("hub_id", "user_id", "scopes")}
        return {**chosen, "token_use": "access_token"}


def bad(status: str, message: str) -> RefusedError:
    """Return a refusal of the token endpoint, which has its code in `status`."""
    return RefusedError(message, status_text=status)


def _words(text: str) -> set[str]:
    return set(text.split())


async def _form_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(errors="replace")))
