"""Pipelines and their stages: a stage is sent together with the pipeline that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import object_of
from dovetail.errors import PermissionDeniedError


class Pipelines:
    """Which stages the pipelines of an account have; asked again when a stage is not known."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._by_stage: dict[str, dict[str, set[str]]] = {}

    async def complete(self, resource: Resource, writes: Sequence[Write]) -> list[Write]:
        """Return the writes with the pipeline of each stage that names none."""
        stage_field = object_of(resource).stage_field
        pipeline_field = object_of(resource).pipeline_field
        if stage_field is None or pipeline_field is None:
            return list(writes)
        lacking = {
            write.key: str(stage)
            for write in writes
            if (stage := write.fields.get(stage_field)) and not write.fields.get(pipeline_field)
        }
        found = await self._pipelines_of(resource, lacking.values()) if lacking else {}
        completed: list[Write] = []
        for write in writes:
            pipelines = found.get(lacking.get(write.key, ""), set())
            # Of several, HubSpot takes that of the record, or refuses.
            more = {pipeline_field: next(iter(pipelines))} if len(pipelines) == 1 else {}
            completed.append(msgspec.structs.replace(write, fields={**write.fields, **more}))
        return completed

    async def _pipelines_of(self, resource: Resource, stages: Iterable[str]) -> dict[str, set[str]]:
        known = self._by_stage.get(resource.name, {})
        if not set(stages) <= known.keys():
            try:
                known = self._by_stage[resource.name] = await self._read(resource)
            except PermissionDeniedError:
                return {}  # without that right HubSpot itself has to tell what fits
        return known

    async def _read(self, resource: Resource) -> dict[str, set[str]]:
        reply = await self._api.request(
            "GET",
            f"/crm/v3/pipelines/{resource.name}",
            operation=f"list the pipelines of {resource.name}",
            repeatable=True,
            expects=("results",),
        )
        found: dict[str, set[str]] = {}
        for pipeline in reply.json["results"]:
            for stage in pipeline.get("stages") or []:
                found.setdefault(str(stage["id"]), set()).add(str(pipeline["id"]))
        return found
