"""``/crm/v3/objects/{type}``: list, one, create, update, archive, merge, erase."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.record import Record, Table
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.request import (
    flag_in,
    id_property_of,
    kind_named,
    kind_of,
    limit_in,
    names_in,
    object_in,
    properties_of,
)
from dovetail.simulators.hubspot.show import show

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.catalog import ObjectType
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_PATH = "/crm/v3/objects/{type}"


class ObjectApi:
    """One record at a time, and the list of all."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes; `merge` and `gdpr-delete` come before ``{id}``."""
        return [
            Route(_PATH, self.list_, methods=["GET"]),
            Route(_PATH, self.create, methods=["POST"]),
            Route(_PATH + "/merge", self.merge, methods=["POST"]),
            Route(_PATH + "/gdpr-delete", self.erase, methods=["POST"]),
            Route(_PATH + "/{id}", self.one, methods=["GET"]),
            Route(_PATH + "/{id}", self.update, methods=["PATCH"]),
            Route(_PATH + "/{id}", self.archive, methods=["DELETE"]),
        ]

    async def list_(self, request: Request) -> Response:
        """Return a page in the order of ids."""
        kind = kind_of(request)
        history = names_in(request, "propertiesWithHistory")
        limit = limit_in(request, default=10, most=50 if history else 100)
        archived = flag_in(request, "archived")
        table = self._simulator.store.tables[kind.name]
        found: list[Record] = []
        following: Record | None = None
        for record in _listed(table, request.query_params.get("after"), archived=archived):
            if len(found) == limit:
                following = record
                break
            found.append(record)
        answer: dict[str, Any] = {"results": [self._show(request, kind, each) for each in found]}
        if following is not None:
            query = [item for item in request.query_params.multi_items() if item[0] != "after"]
            link = f"{self._simulator.base_url}{request.url.path}?"
            link += urlencode([*query, ("after", following.id)])
            answer["paging"] = {"next": {"after": following.id, "link": link}}
        return json_response(answer)

    async def one(self, request: Request) -> Response:
        """Return one record by id or unique property."""
        kind = kind_of(request)
        if flag_in(request, "archived"):
            record = self._simulator.store.tables[kind.name].get(request.path_params["id"])
            if record is None or not record.deleted or record.merged_into is not None:
                raise refusal.not_found()
        else:
            record = self._found(request, kind)
        return json_response(self._show(request, kind, record))

    async def create(self, request: Request) -> Response:
        """Create a record."""
        kind = kind_of(request)
        body = await object_in(request)
        properties = properties_of(body)
        store, linker = self._simulator.store, self._simulator.linker
        wanted = linker.read_wanted(kind, body.get("associations"))
        record = store.create(kind, store.check_create(kind, properties), source="INTEGRATION")
        linker.link(kind, record, wanted)
        return json_response(show(store, kind, record, properties=properties), 201)

    async def update(self, request: Request) -> Response:
        """Change a record; only what was sent comes back."""
        kind = kind_of(request)
        record = self._found(request, kind)
        properties = properties_of(await object_in(request))
        store = self._simulator.store
        changes = store.check_update(kind, record, properties)
        store.update(kind, record, changes, source="INTEGRATION")
        return json_response(show(store, kind, record, properties=properties))

    async def archive(self, request: Request) -> Response:
        """Archive a record; archiving what does not exist succeeds too."""
        kind = kind_of(request)
        store = self._simulator.store
        record = store.resolve(kind, request.path_params["id"])
        if record is not None:
            store.archive(kind, record, source="INTEGRATION")
        return Response(status_code=204)

    async def merge(self, request: Request) -> Response:
        """Merge two records into a new one."""
        kind = kind_of(request)
        body = await object_in(request)
        missing = [key for key in ("primaryObjectId", "objectIdToMerge") if not body.get(key)]
        if missing:
            raise refusal.invalid(f"Some required fields were not set: [{', '.join(missing)}]")
        record = self._simulator.merge_by_id(
            kind, str(body["primaryObjectId"]), str(body["objectIdToMerge"]), source="INTEGRATION"
        )
        return json_response(show(self._simulator.store, kind, record))

    async def erase(self, request: Request) -> Response:
        """Erase a contact for good."""
        kind = kind_of(request)
        body = await object_in(request)
        store = self._simulator.store
        record = store.find(kind, id_property_of(body), str(body.get("objectId") or ""))
        if record is not None:
            store.erase(kind, record, source="INTEGRATION")
        return Response(status_code=204)

    def _found(self, request: Request, kind: ObjectType) -> Record:
        id_property = request.query_params.get("idProperty")
        record = self._simulator.store.find(kind, id_property, request.path_params["id"])
        if record is None:
            raise refusal.not_found()
        return record

    def _show(self, request: Request, kind: ObjectType, record: Record) -> dict[str, Any]:
        shown = show(
            self._simulator.store,
            kind,
            record,
            properties=names_in(request, "properties"),
            history=names_in(request, "propertiesWithHistory"),
            app_id=self._simulator.credentials["app_id"],
        )
        linked = self._associations(request, kind, record)
        return {**shown, "associations": linked} if linked else shown

    def _associations(self, request: Request, kind: ObjectType, record: Record) -> dict[str, Any]:
        """Return the links to the types that the query names, those without any left out."""
        linked = {}
        for name in names_in(request, "associations"):
            target = kind_named(name)
            known = self._simulator.store.links.types(kind.name, target.name)
            links = self._simulator.linker.of(kind, record, target)
            results = [
                {"id": id, "type": known[each].noun}
                for id, types in links.items()
                for each in types
            ]
            if results:
                linked[target.name] = {"results": results}
        return linked


def _listed(table: Table, after: str | None, *, archived: bool) -> Iterator[Record]:
    start = 0
    if after is not None:
        if not after.isdecimal():
            raise refusal.invalid(f"after is not a valid paging cursor: {after}")
        start = bisect_left(
            range(table.size), int(after), key=lambda position: int(table.at(position).id)
        )
    for record in table.scan(start=start):
        # A merged record is neither live nor archived: its id leads elsewhere.
        if record.deleted is archived and record.merged_into is None:
            yield record
