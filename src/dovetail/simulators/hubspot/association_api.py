"""``/crm/v4/…associations…``: links of one record, of many, and the labels there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response, read_json
from dovetail.simulator_sdk.record import Record
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.association import OWN, AssociationType
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.linking import Wanted, id_in
from dovetail.simulators.hubspot.request import inputs_in, kind_named, limit_in, object_in
from dovetail.simulators.hubspot.show import show_batch

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

MAX_CREATED, MAX_READ, MAX_ARCHIVED, MAX_PAGE = 2000, 1000, 100, 500
_ONE = "/crm/v4/objects/{from}/{id}/associations"
_MANY = "/crm/v4/associations/{from}/{to}"
_Pair = tuple[ObjectType, ObjectType]


class AssociationApi:
    """Links between two object types."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes; the default link comes before ``{to}``."""
        pair, batch = _ONE + "/{to}/{to_id}", _MANY + "/batch"
        return [
            Route(_ONE + "/default/{to}/{to_id}", self.link_default, methods=["PUT"]),
            Route(_ONE + "/{to}", self.list_, methods=["GET"]),
            Route(pair, self.link, methods=["PUT"]),
            Route(pair, self.unlink, methods=["DELETE"]),
            Route(batch + "/associate/default", self.batch_default, methods=["POST"]),
            Route(batch + "/create", self.batch_create, methods=["POST"]),
            Route(batch + "/read", self.batch_read, methods=["POST"]),
            Route(batch + "/archive", self.batch_archive, methods=["POST"]),
            Route(batch + "/labels/archive", self.batch_unlabel, methods=["POST"]),
            Route(_MANY + "/labels", self.labels, methods=["GET"]),
            Route(_MANY + "/labels", self.add_label, methods=["POST"]),
            Route(_MANY + "/labels", self.rename_label, methods=["PUT"]),
            Route(_MANY + "/labels/{type_id}", self.remove_label, methods=["DELETE"]),
        ]

    async def list_(self, request: Request) -> Response:
        """Return a page of the links of a record."""
        source, target = self._pair(request)
        record = self._near(request, source)
        limit = limit_in(request, default=MAX_PAGE, most=MAX_PAGE)
        page, following = self._page(
            (source, target), record, request.query_params.get("after"), limit
        )
        answer: dict[str, Any] = {"results": page}
        if following is not None:
            link = f"{self._simulator.base_url}{request.url.path}?limit={limit}&after={following}"
            answer["paging"] = {"next": {"after": following, "link": link}}
        return json_response(answer)

    async def link(self, request: Request) -> Response:
        """Link two records by the types in the body."""
        source, target = self._pair(request)
        linker = self._simulator.linker
        types = linker.read_types(source, target, await _list_in(request))
        near, far = self._near(request, source), self._far(request, target)
        linker.link(source, near, [Wanted(target, far.id, types)])
        return json_response(_labels_between((source, target), near, far, types), 201)

    async def link_default(self, request: Request) -> Response:
        """Link two records without a label."""
        pair = self._pair(request)
        near, far = self._near(request, pair[0]), self._far(request, pair[1])
        result = self._link_default(pair, near, far)
        return json_response(show_batch([result], [], at=self._simulator.now()))

    async def unlink(self, request: Request) -> Response:
        """Remove a link with all its types."""
        source, target = self._pair(request)
        ids = request.path_params["id"], request.path_params["to_id"]
        self._simulator.store.links.types(source.name, target.name)
        self._simulator.linker.unlink(source, ids[0], target, ids[1])
        return Response(status_code=204)

    async def batch_default(self, request: Request) -> Response:
        """Link pairs without a label."""
        pair = self._pair(request)

        def make(entry: dict[str, Any]) -> dict[str, Any]:
            return self._link_default(pair, *self._ends(pair, entry))

        inputs = await inputs_in(request, most=MAX_CREATED)
        return self._write(inputs, make, done=200)

    async def batch_create(self, request: Request) -> Response:
        """Link pairs by their types; a pair that is refused fails alone."""
        pair = self._pair(request)
        linker = self._simulator.linker

        def make(entry: dict[str, Any]) -> dict[str, Any]:
            types = linker.read_types(*pair, entry.get("types"))
            near, far = self._ends(pair, entry)
            linker.link(pair[0], near, [Wanted(pair[1], far.id, types)])
            return _labels_between(pair, near, far, types)

        return self._write(await inputs_in(request, most=MAX_CREATED), make, done=201)

    async def batch_read(self, request: Request) -> Response:
        """Return the links of many records; one without any is an error of its own."""
        pair = self._pair(request)
        results, errors = [], []
        for entry in await inputs_in(request, most=MAX_READ):
            id = id_in(entry, "inputs")
            record = self._simulator.store.resolve(pair[0], id)
            after = entry.get("after")
            page, following = (
                ([], None)
                if record is None
                else self._page(pair, record, None if after is None else str(after), MAX_PAGE)
            )
            if not page:
                errors.append(_none_found(pair, id))
                continue
            result: dict[str, Any] = {"from": {"id": id}, "to": page}
            if following is not None:
                result["paging"] = {"next": {"after": following}}
            results.append(result)
        answer = show_batch(results, errors, at=self._simulator.now())
        return json_response(answer, 207 if errors else 200)

    async def batch_archive(self, request: Request) -> Response:
        """Remove links with all their types."""
        source, target = self._pair(request)
        for entry in await inputs_in(request, most=MAX_ARCHIVED):
            far = entry.get("to")
            for each in far if isinstance(far, list) else [far]:
                ids = id_in(entry.get("from"), "from"), id_in(each, "to")
                self._simulator.linker.unlink(source, ids[0], target, ids[1])
        return Response(status_code=204)

    async def batch_unlabel(self, request: Request) -> Response:
        """Take some types off links."""
        source, target = self._pair(request)
        linker = self._simulator.linker
        for entry in await inputs_in(request, most=MAX_ARCHIVED):
            types = linker.read_types(source, target, entry.get("types"))
            ids = id_in(entry.get("from"), "from"), id_in(entry.get("to"), "to")
            linker.unlink(source, ids[0], target, ids[1], types)
        return Response(status_code=204)

    async def labels(self, request: Request) -> Response:
        """Return the types of links in one direction."""
        source, target = self._pair(request)
        types = self._simulator.store.links.types(source.name, target.name)
        return json_response({"results": [each.to_record() for each in types.values()]})

    async def add_label(self, request: Request) -> Response:
        """Define a label; both directions get an id."""
        source, target = self._pair(request)
        body = await object_in(request)
        missing = [key for key in ("label", "name") if not isinstance(body.get(key), str)]
        if missing:
            raise refusal.invalid(f"Some required fields were not set: [{', '.join(missing)}]")
        inverse = _text_or_none(body, "inverseLabel")
        links = self._simulator.store.links
        if any(
            each.label == body["label"] for each in links.types(*_names(source, target)).values()
        ):
            raise refusal.conflict(f"An association label {body['label']!r} already exists.")
        made = links.add_label(source.name, target.name, body["label"], inverse)
        return json_response({"results": [each.to_record() for each in made]})

    async def rename_label(self, request: Request) -> Response:
        """Change a label of one's own."""
        pair = self._pair(request)
        body = await object_in(request)
        found = self._own(pair, body.get("associationTypeId"))
        label = _text_or_none(body, "label")
        if not label:
            raise refusal.invalid("Some required fields were not set: [label]")
        self._simulator.store.links.rename(found, label, _text_or_none(body, "inverseLabel"))
        return Response(status_code=204)

    async def remove_label(self, request: Request) -> Response:
        """Forget a label of one's own; links keep their other types."""
        text = request.path_params["type_id"]
        id = int(text) if text.isdecimal() and len(text) < 10 else -1
        self._simulator.store.links.remove(self._own(self._pair(request), id))
        return Response(status_code=204)

    def _own(self, pair: _Pair, id: Any) -> AssociationType:
        return self._simulator.store.links.type(*_names(*pair), OWN, id)

    def _pair(self, request: Request) -> _Pair:
        return kind_named(request.path_params["from"]), kind_named(request.path_params["to"])

    def _near(self, request: Request, kind: ObjectType) -> Record:
        record = self._simulator.store.resolve(kind, request.path_params["id"])
        if record is None:
            raise refusal.not_found()
        return record

    def _far(self, request: Request, kind: ObjectType) -> Record:
        return self._simulator.linker.live(kind, request.path_params["to_id"])

    def _ends(self, pair: _Pair, entry: dict[str, Any]) -> tuple[Record, Record]:
        linker = self._simulator.linker
        near = linker.live(pair[0], id_in(entry.get("from"), "from"))
        return near, linker.live(pair[1], id_in(entry.get("to"), "to"))

    def _link_default(self, pair: _Pair, near: Record, far: Record) -> dict[str, Any]:
        type_ = self._simulator.store.links.unlabelled(pair[0].name, pair[1].name)
        self._simulator.linker.link(pair[0], near, [Wanted(pair[1], far.id, [type_])])
        spec = {"associationCategory": type_.category, "associationTypeId": type_.id}
        return {"from": {"id": near.id}, "to": {"id": far.id}, "associationSpec": spec}

    def _page(
        self, pair: _Pair, record: Record, after: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of links in the order of ids, and where the next one starts."""
        if after is not None and not after.isdecimal():
            raise refusal.invalid(f"after is not a valid paging cursor: {after}")
        known = self._simulator.store.links.types(pair[0].name, pair[1].name)
        links = self._simulator.linker.of(pair[0], record, pair[1])
        ids = [id for id in links if after is None or int(id) >= int(after)]
        page = [
            {
                "toObjectId": id,
                "associationTypes": [known[each].to_record() for each in links[id]],
            }
            for id in ids[:limit]
        ]
        return page, ids[limit] if len(ids) > limit else None

    def _write(
        self,
        inputs: list[dict[str, Any]],
        make: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        done: int,
    ) -> Response:
        results, errors = [], []
        with self._simulator.one_moment() as at:
            for entry in inputs:
                try:
                    results.append(make(entry))
                except RefusedError as error:
                    context = {
                        f"{end}ObjectId": [id_in(entry.get(end), end)] for end in ("from", "to")
                    }
                    errors.append(refusal.row_error(error, context))
            answer = show_batch(results, errors, at=at)
        return json_response(answer, 207 if errors else done)


def _labels_between(
    pair: _Pair, near: Record, far: Record, types: list[AssociationType]
) -> dict[str, Any]:
    return {
        "fromObjectTypeId": pair[0].type_id,
        "fromObjectId": near.id,
        "toObjectTypeId": pair[1].type_id,
        "toObjectId": far.id,
        "labels": [each.label for each in types if each.label is not None],
    }


def _none_found(pair: _Pair, id: str) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {pair[1].singular} is associated with {pair[0].singular} {id}.",
        "context": {
            "fromObjectId": [id],
            "fromObjectType": [pair[0].singular],
            "toObjectType": [pair[1].singular],
        },
    }


def _names(source: ObjectType, target: ObjectType) -> tuple[str, str]:
    return source.name, target.name


def _text_or_none(body: dict[str, Any], key: str) -> str | None:
    given = body.get(key)
    if given is not None and not isinstance(given, str):
        raise refusal.invalid(f"Invalid input JSON: {key} is a text")
    return given


async def _list_in(request: Request) -> Any:
    try:
        return await read_json(request)
    except RefusedError as error:
        error.code = "VALIDATION_ERROR"
        raise
