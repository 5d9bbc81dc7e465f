"""What describes a portal: owners and the account itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.request import flag_in, limit_in

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_AT = "2024-01-15T08:30:00.000Z"

OWNERS: tuple[dict[str, Any], ...] = tuple(
    {
        "id": id,
        "email": email,
        "firstName": first,
        "lastName": last,
        "userId": user_id,
        "userIdIncludingInactive": user_id,
        "type": "PERSON",
        "createdAt": _AT,
        "updatedAt": _AT,
        "archived": archived,
        "teams": [{"id": "178588", "name": "Sales", "primary": True}],
    }
    for id, email, first, last, user_id, archived in (
        ("41629779", "grace@example.com", "Grace", "Hopper", 9586504, False),
        ("41629780", "alan@example.com", "Alan", "Turing", 9586505, False),
        ("41629781", "emmy@example.com", "Emmy", "Noether", 9586506, False),
        ("41629782", "gone@example.com", "Gone", "Away", 9586507, True),
    )
)


class DirectoryApi:
    """Read-only descriptions of the portal."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/account-info/v3/details", self.account, methods=["GET"]),
            Route("/crm/v3/owners", self.owners, methods=["GET"]),
            Route("/crm/v3/owners/{id}", self.owner, methods=["GET"]),
        ]

    async def account(self, request: Request) -> Response:
        """Return which portal the token belongs to."""
        return json_response(
            {
                "portalId": self._simulator.portal_id,
                "accountType": "STANDARD",
                "timeZone": "UTC",
                "utcOffset": "+00:00",
                "utcOffsetMilliseconds": 0,
                "companyCurrency": "USD",
                "additionalCurrencies": [],
                "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "na1",
            }
        )

    async def owners(self, request: Request) -> Response:
        """Return a page of owners."""
        limit = limit_in(request, default=100, most=500)
        after, email = request.query_params.get("after", "0"), request.query_params.get("email")
        if not after.isdecimal():
            raise refusal.invalid(f"after is not a valid paging cursor: {after}")
        chosen = [
            owner
            for owner in OWNERS
            if owner["archived"] is flag_in(request, "archived") and email in (None, owner["email"])
        ]
        following = int(after) + limit
        answer: dict[str, Any] = {"results": chosen[int(after) : following]}
        if following < len(chosen):
            answer["paging"] = {"next": {"after": str(following)}}
        return json_response(answer)

    async def owner(self, request: Request) -> Response:
        """Return an owner by id or by user id."""
        key = request.query_params.get("idProperty", "id")
        if key not in ("id", "userId"):
            raise refusal.invalid("idProperty must be id or userId")
        for owner in OWNERS:
            wanted = owner["archived"] is flag_in(request, "archived")
            if wanted and str(owner[key]) == request.path_params["id"]:
                return json_response(owner)
        raise refusal.not_found()
