"""``/crm/v3/objects/{type}/batch/*``: up to 100 records at a time, with partial failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.record import Record
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.linking import Wanted
from dovetail.simulators.hubspot.request import (
    MAX_BATCH,
    MAX_BATCH_WITH_HISTORY,
    flag_in,
    id_of,
    id_property_of,
    inputs_in,
    inputs_of,
    kind_of,
    object_in,
    properties_of,
    texts_of,
)
from dovetail.simulators.hubspot.show import show, show_batch
from dovetail.simulators.hubspot.store import Fields

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_PATH = "/crm/v3/objects/{type}/batch"


@dataclass(slots=True)
class _Row:
    """One checked input: what to write, and onto which record (None creates)."""

    record: Record | None
    fields: Fields
    properties: dict[str, Any]
    trace_id: str | None = None
    keys: list[tuple[str, str]] = field(default_factory=list)
    links: list[Wanted] = field(default_factory=list)


class BatchApi:
    """
    Many records in one call.

    A write whose every input has its own `objectWriteTraceId` answers 207 with one error for each
    bad row. Without them the first bad row fails the whole call and nothing is written.
    """

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes."""
        endpoints = {
            "read": self.read,
            "create": self.create,
            "update": self.update,
            "upsert": self.upsert,
            "archive": self.archive,
        }
        return [
            Route(f"{_PATH}/{name}", endpoint, methods=["POST"])
            for name, endpoint in endpoints.items()
        ]

    async def read(self, request: Request) -> Response:
        """Return the records that exist, and an error that names those that do not."""
        kind = kind_of(request)
        body = await object_in(request)
        history = texts_of(body, "propertiesWithHistory")
        inputs = inputs_of(body, most=MAX_BATCH_WITH_HISTORY if history else MAX_BATCH)
        archived = flag_in(request, "archived")
        store = self._simulator.store
        results, missing = [], []
        for key in _distinct([id_of(entry) for entry in inputs]):
            if archived:
                record = store.tables[kind.name].get(key)
                found = record if record is not None and record.deleted else None
            else:
                found = store.find(kind, id_property_of(body), key)
            if found is None:
                missing.append(key)
                continue
            results.append(
                show(
                    store,
                    kind,
                    found,
                    properties=texts_of(body, "properties"),
                    history=history,
                    app_id=self._simulator.credentials["app_id"],
                )
            )
        errors = [refusal.missing_objects(kind.singular, missing)] if missing else []
        answer = show_batch(results, errors, at=self._simulator.now())
        return json_response(answer, 207 if errors else 200)

    async def create(self, request: Request) -> Response:
        """Create records."""
        kind = kind_of(request)
        store = self._simulator.store

        def check(entry: dict[str, Any]) -> _Row:
            properties = properties_of(entry)
            links = self._simulator.linker.read_wanted(kind, entry.get("associations"))
            fields = store.check_create(kind, properties)
            return _Row(None, fields, properties, keys=store.keys.among(kind, fields), links=links)

        return self._write(kind, await inputs_in(request), check, done=201)

    async def update(self, request: Request) -> Response:
        """Change records by id, or by a unique property other than the e-mail address."""
        kind = kind_of(request)
        store = self._simulator.store
        inputs = await inputs_in(request)
        _distinct([id_of(entry) for entry in inputs])

        def check(entry: dict[str, Any]) -> _Row:
            id_property = id_property_of(entry)
            if id_property == "email":
                raise refusal.invalid(
                    f"Unable to perform update by {kind.type_id} property email; use record ids"
                )
            record = store.find(kind, id_property, id_of(entry))
            if record is None:
                raise refusal.missing_object(kind.singular, id_of(entry))
            properties = properties_of(entry)
            changes = store.check_update(kind, record, properties)
            return _Row(record, changes, properties, keys=store.keys.among(kind, changes))

        return self._write(kind, inputs, check, done=200)

    async def upsert(self, request: Request) -> Response:
        """Create or change records by a unique property."""
        kind = kind_of(request)
        store = self._simulator.store
        inputs = await inputs_in(request)
        _distinct([_upsert_key(entry) for entry in inputs])

        def check(entry: dict[str, Any]) -> _Row:
            id_property = id_property_of(entry)
            if id_property is None:
                raise refusal.invalid("Some required fields were not set: [idProperty]")
            store.check_id_property(kind, id_property, action="update/upsert")
            record = store.find(kind, id_property, id_of(entry))
            properties = {id_property: id_of(entry), **properties_of(entry)}
            if record is not None:
                if "email" not in properties_of(entry) and id_property == "email":
                    # The record may be known by a secondary address, which stays secondary.
                    del properties["email"]
                changes = store.check_update(kind, record, properties)
                return _Row(record, changes, properties, keys=store.keys.among(kind, changes))
            fields = store.check_create(kind, properties)
            return _Row(None, fields, properties, keys=store.keys.among(kind, fields))

        return self._write(kind, inputs, check, done=200, say_new=True)

    async def archive(self, request: Request) -> Response:
        """Archive records, those that do not exist too."""
        kind = kind_of(request)
        store = self._simulator.store
        inputs = await inputs_in(request)
        with self._simulator.one_moment():
            for key in [id_of(entry) for entry in inputs]:
                record = store.resolve(kind, key)
                if record is not None:
                    store.archive(kind, record, source="INTEGRATION")
        return Response(status_code=204)

    def _write(
        self,
        kind: ObjectType,
        inputs: list[dict[str, Any]],
        check: Callable[[dict[str, Any]], _Row],
        *,
        done: int,
        say_new: bool = False,
    ) -> Response:
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        with self._simulator.one_moment() as at:
            if not _are_traced(inputs):
                for row in _check_all(inputs, check):
                    results.append(self._apply(kind, row, say_new=say_new))
            else:
                for entry in inputs:
                    trace_id = str(entry["objectWriteTraceId"])
                    try:
                        row = check(entry)
                    except RefusedError as error:
                        context = {"objectWriteTraceId": [trace_id]}
                        errors.append(refusal.row_error(error, context))
                        continue
                    row.trace_id = trace_id
                    results.append(self._apply(kind, row, say_new=say_new))
            answer = show_batch(results, errors, at=at)
        return json_response(answer, 207 if errors else done)

    def _apply(self, kind: ObjectType, row: _Row, *, say_new: bool) -> dict[str, Any]:
        store = self._simulator.store
        if row.record is None:
            record = store.create(kind, row.fields, source="INTEGRATION")
            self._simulator.linker.link(kind, record, row.links)
        else:
            record = store.update(kind, row.record, row.fields, source="INTEGRATION")
        shown = show(store, kind, record, properties=row.properties)
        if say_new:
            shown["new"] = row.record is None
        if row.trace_id is not None:
            shown["objectWriteTraceId"] = row.trace_id
        return shown


def _check_all(inputs: list[dict[str, Any]], check: Callable[[dict[str, Any]], _Row]) -> list[_Row]:
    """Check every row before any is written: two new rows may not have the same key either."""
    rows = [check(entry) for entry in inputs]
    _distinct([f"{name}={key}" for row in rows for name, key in row.keys])
    return rows


def _are_traced(inputs: list[dict[str, Any]]) -> bool:
    traces = [entry.get("objectWriteTraceId") for entry in inputs]
    return bool(inputs) and None not in traces and len(set(map(str, traces))) == len(traces)


def _upsert_key(entry: dict[str, Any]) -> str:
    key = id_of(entry)
    if entry.get("idProperty") == "email":
        key = key.strip().lower()
    return f"{entry.get('idProperty')}={key}"


def _distinct(keys: list[str]) -> list[str]:
    repeated = sorted(key for key, number in Counter(keys).items() if number > 1)
    if repeated:
        raise refusal.invalid(
            f"Duplicate IDs found in batch input: [{', '.join(repeated)}]. IDs must be unique"
        )
    return keys
