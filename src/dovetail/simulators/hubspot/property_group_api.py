"""``/crm/v3/properties/{type}/groups``: under which headings people find properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import group_of
from dovetail.simulators.hubspot.request import kind_of, object_in

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_PATH = "/crm/v3/properties/{type}/groups"


class PropertyGroupApi:
    """Groups of properties; its routes come before those of properties."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(_PATH, self.list_, methods=["GET"]),
            Route(_PATH, self.create, methods=["POST"]),
            Route(_PATH + "/{group}", self.one, methods=["GET"]),
            Route(_PATH + "/{group}", self.update, methods=["PATCH"]),
            Route(_PATH + "/{group}", self.archive, methods=["DELETE"]),
        ]

    async def list_(self, request: Request) -> Response:
        """Return the groups."""
        return json_response({"results": list(self._groups(request).values())})

    async def one(self, request: Request) -> Response:
        """Return one group."""
        return json_response(self._found(request))

    async def create(self, request: Request) -> Response:
        """Add a group."""
        body, groups = await object_in(request), self._groups(request)
        missing = [key for key in ("name", "label") if not isinstance(body.get(key), str)]
        if missing:
            raise refusal.invalid(f"Some required fields were not set: [{', '.join(missing)}]")
        name = body["name"]
        if name in groups:
            raise refusal.conflict(f"A property group named {name!r} already exists.")
        order = _order(body, -1)
        group = {"name": name, "label": body["label"], "displayOrder": order, "archived": False}
        groups[name] = group
        return json_response(group, 201)

    async def update(self, request: Request) -> Response:
        """Change label or order."""
        group, body = self._found(request), await object_in(request)
        group["label"] = str(body.get("label", group["label"]))
        group["displayOrder"] = _order(body, group["displayOrder"])
        return json_response(group)

    async def archive(self, request: Request) -> Response:
        """Remove a group; not one with properties in it, nor the one that every portal has."""
        kind, group = kind_of(request), self._found(request)
        defined = self._simulator.store.properties[kind.name].values()
        used = any(each.group == group["name"] and not each.archived for each in defined)
        if used or group["name"] == group_of(kind):
            raise refusal.invalid(f"Property group {group['name']} has properties in it")
        del self._groups(request)[group["name"]]
        return Response(status_code=204)

    def _groups(self, request: Request) -> dict[str, dict[str, Any]]:
        return self._simulator.store.groups[kind_of(request).name]

    def _found(self, request: Request) -> dict[str, Any]:
        found = self._groups(request).get(request.path_params["group"])
        if found is None:
            raise refusal.not_found()
        return found


def _order(body: dict[str, Any], otherwise: int) -> int:
    order = body.get("displayOrder", otherwise)
    return order if isinstance(order, int) and not isinstance(order, bool) else otherwise
