"""The login host: tokens for credentials, and who the caller is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulators.salesforce.session import OAuthError

if TYPE_CHECKING:
    from dovetail.simulators.salesforce.simulator import Salesforce

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
REVOKE_PATH = "/services/oauth2/revoke"
USER_INFO_PATH = "/services/oauth2/userinfo"


class LoginHost:
    """Answers ``/services/oauth2/*`` of one simulator."""

    def __init__(self, simulator: Salesforce) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes; only the one that says who the caller is needs a session."""
        return [
            Route(TOKEN_PATH, self._token, methods=["POST"]),
            Route(REVOKE_PATH, self._revoke, methods=["POST"]),
            Route(USER_INFO_PATH, self._user_info, methods=["GET", "POST"]),
        ]

    async def _token(self, request: Request) -> Response:
        form = await _read_form(request)
        simulator = self._simulator
        try:
            granted = simulator.sessions.grant(form, request.headers.get("authorization"))
        except OAuthError as exc:
            return json_response(exc.body, 400)
        return json_response(
            granted
            | {
                "signature": simulator.sessions.sign(),
                "scope": "api refresh_token",
                "instance_url": simulator.base_url,
                "id": self._identity_url(),
                "token_type": "Bearer",
                "issued_at": str(int(simulator.now().timestamp() * 1000)),
            }
        )

    async def _revoke(self, request: Request) -> Response:
        form = await _read_form(request)
        if self._simulator.sessions.revoke(form.get("token", "")):
            return Response(status_code=200)
        error = {"error": "unsupported_token_type", "error_description": "this token is unknown"}
        return json_response(error, 400)

    async def _user_info(self, request: Request) -> Response:
        org = self._simulator.org
        user = org.lookup("User", org.user_id) or {}
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

    def _identity_url(self) -> str:
        org = self._simulator.org
        return f"{self._simulator.base_url}/id/{org.id}/{org.user_id}"


async def _read_form(request: Request) -> dict[str, str]:
    body = await request.body()
    fields = dict(request.query_params)
    fields.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return fields
