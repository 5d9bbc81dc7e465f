"""The sandbox's own endpoints on every simulator, under ``/_sandbox/``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from dovetail.core import json
from dovetail.simulator_sdk.fault import KINDS, FaultInvalidError
from dovetail.simulator_sdk.record import Record
from dovetail.simulator_sdk.refusal import RefusedError

if TYPE_CHECKING:
    from dovetail.simulator_sdk.base import Simulator

_EDIT_KEYS = ("resource", "id", "fields", "delete", "merge", "source")


class ControlApp:
    """Answers ``/_sandbox/*`` of one simulator, in JSON, errors too."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._endpoints = {
            ("POST", "edit"): self._edit,
            ("GET", "calls"): self._calls,
            ("POST", "faults"): self._set_faults,
            ("GET", "faults"): self._show_faults,
            ("POST", "reset"): self._reset,
            ("POST", "webhooks"): self._webhooks,
            ("POST", "fields"): self._add_field,
            ("GET", "app"): self._show_app,
            ("POST", "app"): self._register_app,
        }

    async def answer(self, request: Request) -> Response:
        """Return the answer to a control call."""
        name = request.url.path.removeprefix("/_sandbox/").strip("/")
        try:
            if name.startswith("records/") and request.method == "GET":
                return self._records(name.removeprefix("records/"), request)
            endpoint = self._endpoints.get((request.method, name))
            if endpoint is None:
                known = sorted({f"{method} /_sandbox/{end}" for method, end in self._endpoints})
                listed = ", ".join([*known, "GET /_sandbox/records/{resource}"])
                raise RefusedError(f"no {request.method} {request.url.path}; {listed}", status=404)
            return await endpoint(request)
        except RefusedError as error:
            facts = {"error": error.message, "code": error.code, "field": error.field}
            shown = {key: value for key, value in facts.items() if value is not None}
            return _json(shown, error.status)

    def _records(self, resource: str, request: Request) -> Response:
        table = self._simulator.table(resource)
        with_deleted = request.query_params.get("deleted", "").lower() in ("true", "1")
        chosen = table.scan() if with_deleted else iter(table)
        records = [self._show(record) for record in chosen]
        return _json({"resource": table.name, "total": len(records), "records": records})

    async def _edit(self, request: Request) -> Response:
        body = await _read_object(request)
        simulator = self._simulator
        if "edits" not in body:
            with simulator.one_moment():
                return _json({"record": self._show(self._apply(body))})
        edits = body["edits"]
        if not isinstance(edits, list) or len(body) > 1:
            raise RefusedError('write {"edits": [{"resource": …, "id": …, "fields": {…}}, …]}')
        with simulator.one_moment():
            shown = []
            for position, edit in enumerate(edits):
                try:
                    shown.append(self._show(self._apply(edit)))
                except RefusedError as error:
                    # Earlier edits stay, as they would in a person's browser.
                    error.message = f"edits[{position}]: {error.message}"
                    raise
        return _json({"records": shown})

    def _apply(self, edit: Any) -> Record:
        if not isinstance(edit, Mapping):
            raise RefusedError('an edit is an object: {"resource": "contacts", "fields": {…}}')
        unknown = sorted(set(edit) - set(_EDIT_KEYS))
        if unknown:
            raise RefusedError(f"unknown key {unknown[0]!r}; allowed: {', '.join(_EDIT_KEYS)}")
        simulator = self._simulator
        resource = simulator.table(str(edit.get("resource", ""))).name
        id = None if edit.get("id") is None else str(edit["id"])
        source = str(edit.get("source") or simulator.ui_source)
        fields = edit.get("fields", {})
        if not isinstance(fields, Mapping):
            raise RefusedError("fields is an object of the platform's field names and values")
        if edit.get("delete") or edit.get("merge") is not None:
            if id is None:
                raise RefusedError("deleting and merging need the id of a record")
            if edit.get("delete"):
                return simulator.delete_record(resource, id, source=source)
            return simulator.merge_records(resource, id, str(edit["merge"]), source=source)
        if id is None:
            return simulator.create_record(resource, fields, source=source)
        return simulator.update_record(resource, id, fields, source=source)

    async def _calls(self, request: Request) -> Response:
        detail = request.query_params.get("detail", "").lower() in ("true", "1")
        shown = self._simulator.calls.to_record(detail=detail)
        shown["max_in_window"] = {limit.name: limit.to_record() for limit in self._simulator.limits}
        return _json(shown)

    async def _set_faults(self, request: Request) -> Response:
        body = await _read_object(request)
        described, seed = body.get("faults"), body.get("seed")
        if not isinstance(described, list) or not set(body) <= {"faults", "seed"}:
            raise RefusedError(
                f'write {{"faults": [{{"kind": …}}], "seed"?: n}}; kinds: {", ".join(KINDS)}'
            )
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise RefusedError("seed is a whole number")
        try:
            self._simulator.faults.replace(described, seed=seed)
        except FaultInvalidError as exc:
            raise RefusedError(str(exc)) from exc
        return await self._show_faults(request)

    async def _show_faults(self, request: Request) -> Response:
        faults = self._simulator.faults.faults
        return _json({"faults": [fault.to_record() for fault in faults]})

    async def _reset(self, request: Request) -> Response:
        await self._simulator.reset()
        totals = {name: len(table) for name, table in self._simulator.tables.items()}
        return _json({"reset": True, "records": totals})

    async def _webhooks(self, request: Request) -> Response:
        body = await _read_object(request)
        url = body.get("url")
        if "url" not in body or not (url is None or isinstance(url, str)):
            raise RefusedError('write {"url": "http://…"}, or {"url": null} to stop')
        self._simulator.set_webhook_target(url)
        return _json({"url": url})

    async def _add_field(self, request: Request) -> Response:
        body = await _read_object(request)
        resource = self._simulator.table(str(body.pop("resource", ""))).name
        self._simulator.add_field(resource, body)
        return _json(
            {"resource": resource, "fields": sorted(self._simulator.field_names(resource))}
        )

    async def _show_app(self, request: Request) -> Response:
        return _json(self._simulator.registration.to_record())

    async def _register_app(self, request: Request) -> Response:
        simulator = self._simulator
        simulator.registration = simulator.registration.changed(await _read_object(request))
        return await self._show_app(request)

    def _show(self, record: Record) -> dict[str, Any]:
        return {
            "id": record.id,
            "fields": self._simulator.show_fields(record),
            "created_at": _iso(record.created_at),
            "modified_at": _iso(record.modified_at),
            "deleted": record.deleted,
        }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.encode(value), status_code=status, media_type="application/json")


async def _read_object(request: Request) -> dict[str, Any]:
    try:
        body = json.decode(await request.body() or b"{}")
    except ValueError as exc:
        raise RefusedError(f"the body is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise RefusedError("the body is a JSON object")
    return body
