"""``/crm/v3/associations/…/batch``: links by the name of their type, as SDKs still ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.association import AssociationType
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.linking import Wanted, id_in
from dovetail.simulators.hubspot.request import inputs_in, kind_named
from dovetail.simulators.hubspot.show import show_batch

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_PATH = "/crm/v3/associations/{from}/{to}/batch"
_Link = tuple[ObjectType, str, ObjectType, str, AssociationType]


class LegacyAssociationApi:
    """Links as version 3 has them."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(_PATH + "/read", self.read, methods=["POST"]),
            Route(_PATH + "/create", self.create, methods=["POST"]),
            Route(_PATH + "/archive", self.archive, methods=["POST"]),
        ]

    async def read(self, request: Request) -> Response:
        """Return the links of many records, once for each of their types."""
        source, target = self._pair(request)
        known = self._simulator.store.links.types(source.name, target.name)
        results, errors = [], []
        for entry in await inputs_in(request, most=1000):
            id = id_in(entry, "inputs")
            record = self._simulator.store.resolve(source, id)
            links = {} if record is None else self._simulator.linker.of(source, record, target)
            if not links:
                message = f"No {target.singular} is associated with {source.singular} {id}."
                error = refusal.not_found(message)
                errors.append(refusal.row_error(error, {"fromObjectId": [id]}))
                continue
            shown = [
                {"id": far, "type": known[each].noun}
                for far, types in links.items()
                for each in types
            ]
            results.append({"from": {"id": id}, "to": shown})
        answer = show_batch(results, errors, at=self._simulator.now())
        return json_response(answer, 207 if errors else 200)

    async def create(self, request: Request) -> Response:
        """Link pairs by the name of a type."""
        results = []
        linker = self._simulator.linker
        for source, near, target, far, type_ in await self._links_in(request):
            ends = linker.live(source, near), linker.live(target, far)
            linker.link(source, ends[0], [Wanted(target, ends[1].id, [type_])])
            results.append({"from": {"id": near}, "to": {"id": far}, "type": type_.noun})
        return json_response(show_batch(results, [], at=self._simulator.now()), 201)

    async def archive(self, request: Request) -> Response:
        """Take a type off links."""
        for source, near, target, far, type_ in await self._links_in(request):
            self._simulator.linker.unlink(source, near, target, far, [type_])
        return Response(status_code=204)

    async def _links_in(self, request: Request) -> list[_Link]:
        source, target = self._pair(request)
        known = self._simulator.store.links.types(source.name, target.name)
        by_noun: dict[Any, AssociationType] = {each.noun: each for each in known.values()}
        links = []
        for entry in await inputs_in(request):
            type_ = by_noun.get(entry["type"]) if isinstance(entry.get("type"), str) else None
            if type_ is None:
                raise refusal.invalid(f"{entry.get('type')} is not a valid association type")
            ends = id_in(entry.get("from"), "from"), id_in(entry.get("to"), "to")
            links.append((source, ends[0], target, ends[1], type_))
        return links

    def _pair(self, request: Request) -> tuple[ObjectType, ObjectType]:
        return kind_named(request.path_params["from"]), kind_named(request.path_params["to"])
