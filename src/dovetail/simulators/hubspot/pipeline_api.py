"""``/crm/v3/pipelines/{type}``: pipelines and their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.pipeline import (
    PIPELINE_PROPERTIES,
    PipelineStore,
    read_labelled,
    read_stage,
)
from dovetail.simulators.hubspot.property import iso
from dovetail.simulators.hubspot.request import flag_in, kind_named, object_in

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_ALL = "/crm/v3/pipelines/{type}"
_ONE = _ALL + "/{id}"
_STAGES = _ONE + "/stages"
_STAGE = _STAGES + "/{stage}"


class PipelineApi:
    """Pipelines and stages; each change moves the options of the properties that name them."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(_ALL, self.list_, methods=["GET"]),
            Route(_ALL, self.create, methods=["POST"]),
            Route(_ONE, self.one, methods=["GET"]),
            Route(_ONE, self.update, methods=["PATCH"]),
            Route(_ONE, self.replace, methods=["PUT"]),
            Route(_ONE, self.archive, methods=["DELETE"]),
            Route(_STAGES, self.stages, methods=["GET"]),
            Route(_STAGES, self.add_stage, methods=["POST"]),
            Route(_STAGE, self.stage, methods=["GET"]),
            Route(_STAGE, self.update_stage, methods=["PATCH"]),
            Route(_STAGE, self.replace_stage, methods=["PUT"]),
            Route(_STAGE, self.archive_stage, methods=["DELETE"]),
        ]

    async def list_(self, request: Request) -> Response:
        """Return the pipelines in their order."""
        found = self._store.of(request.path_params["type"]).values()
        living = [each for each in found if not each["archived"]]
        return json_response({"results": sorted(living, key=_order)})

    async def one(self, request: Request) -> Response:
        """Return one pipeline."""
        return json_response(self._pipeline(request))

    async def create(self, request: Request) -> Response:
        """Add a pipeline with its stages."""
        body = await object_in(request)
        pipeline = self._new(read_labelled(body, None))
        pipeline["stages"] = self._read_stages(request, body)
        self._store.of(request.path_params["type"])[pipeline["id"]] = pipeline
        self._store.changed(self._kind(request))
        return json_response(pipeline, 201)

    async def update(self, request: Request) -> Response:
        """Change label or order, or take a pipeline out of the archive."""
        pipeline, body = self._pipeline(request, archived=None), await object_in(request)
        facts = read_labelled(body, pipeline)
        if "archived" in body:
            facts["archived"] = body["archived"] is True
        return self._changed(request, pipeline, facts)

    async def replace(self, request: Request) -> Response:
        """Set label, order and all stages."""
        pipeline, body = self._pipeline(request), await object_in(request)
        facts = {**read_labelled(body, None), "stages": self._read_stages(request, body)}
        self._check_unused(request, pipeline)
        return self._changed(request, pipeline, facts)

    async def archive(self, request: Request) -> Response:
        """Archive a pipeline; not one that records are in, when the caller wants that checked."""
        pipeline = self._pipeline(request)
        self._check_unused(request, pipeline)
        self._changed(request, pipeline, {"archived": True, "archivedAt": self._at()})
        return Response(status_code=204)

    async def stages(self, request: Request) -> Response:
        """Return the stages of a pipeline."""
        living = [each for each in self._pipeline(request)["stages"] if not each["archived"]]
        return json_response({"results": sorted(living, key=_order)})

    async def stage(self, request: Request) -> Response:
        """Return one stage."""
        return json_response(self._stage(request))

    async def add_stage(self, request: Request) -> Response:
        """Add a stage."""
        pipeline = self._pipeline(request)
        stage = self._new(read_stage(self._kind(request), await object_in(request)))
        pipeline["stages"].append(stage)
        self._store.changed(self._kind(request))
        return json_response(stage, 201)

    async def update_stage(self, request: Request) -> Response:
        """Change some facts of a stage."""
        stage, body = self._stage(request), await object_in(request)
        return self._changed(request, stage, read_stage(self._kind(request), body, stage))

    async def replace_stage(self, request: Request) -> Response:
        """Set all facts of a stage."""
        stage, body = self._stage(request), await object_in(request)
        return self._changed(request, stage, read_stage(self._kind(request), body))

    async def archive_stage(self, request: Request) -> Response:
        """Archive a stage."""
        stage = self._stage(request)
        self._changed(request, stage, {"archived": True, "archivedAt": self._at()})
        return Response(status_code=204)

    @property
    def _store(self) -> PipelineStore:
        return self._simulator.store.pipelines

    def _kind(self, request: Request) -> str:
        return kind_named(request.path_params["type"]).name

    def _at(self) -> str:
        return iso(self._simulator.now())

    def _new(self, facts: dict[str, Any]) -> dict[str, Any]:
        stamps = {"createdAt": self._at(), "updatedAt": self._at(), "archived": False}
        return {"id": self._store.new_id(), **facts, **stamps}

    def _read_stages(self, request: Request, body: dict[str, Any]) -> list[dict[str, Any]]:
        described = body.get("stages")
        if not isinstance(described, list):
            raise refusal.invalid("Some required fields were not set: [stages]")
        kind = self._kind(request)
        return [self._new(read_stage(kind, each)) for each in described]

    def _changed(self, request: Request, target: dict[str, Any], facts: dict[str, Any]) -> Response:
        target.update(facts, updatedAt=self._at())
        self._store.changed(self._kind(request))
        return json_response(target)

    def _pipeline(self, request: Request, *, archived: bool | None = False) -> dict[str, Any]:
        found = self._store.of(request.path_params["type"]).get(request.path_params["id"])
        if found is None or (archived is not None and found["archived"] is not archived):
            raise refusal.not_found()
        return found

    def _stage(self, request: Request) -> dict[str, Any]:
        for stage in self._pipeline(request)["stages"]:
            if stage["id"] == request.path_params["stage"] and not stage["archived"]:
                found: dict[str, Any] = stage
                return found
        raise refusal.not_found()

    def _check_unused(self, request: Request, pipeline: dict[str, Any]) -> None:
        checks = ("validateReferencesBeforeDelete", "validateDealStageUsagesBeforeDelete")
        if not any(flag_in(request, name) for name in checks):
            return
        kind = self._kind(request)
        name = PIPELINE_PROPERTIES[kind][0]
        used = [
            each.id
            for each in self._simulator.store.tables[kind]
            if each.fields.get(name) == pipeline["id"]
        ]
        if used:
            raise refusal.invalid(
                f"Pipeline {pipeline['id']} is in use by {len(used)} records",
                context={"ids": used[:10]},
            )


def _order(each: dict[str, Any]) -> tuple[int, str]:
    return each["displayOrder"], each["id"]
