"""``/crm/v3/properties/{type}``: what is defined, and adding one's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.property import Property, iso
from dovetail.simulators.hubspot.request import flag_in, inputs_in, inputs_of, kind_of, object_in
from dovetail.simulators.hubspot.show import show_batch

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

_PATH = "/crm/v3/properties/{type}"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_TYPES = ("string", "number", "bool", "enumeration", "date", "datetime", "phone_number")
_FIELD_TYPES = ("text", "textarea", "number", "select", "radio", "checkbox", "booleancheckbox",
                "date", "file", "phonenumber", "calculation_equation")  # fmt: skip
_REQUIRED = ("name", "label", "type", "fieldType", "groupName")
MAX_UNIQUE = 10


class PropertyApi:
    """Property definitions."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes; batches come before ``{name}``."""
        return [
            Route(_PATH, self.list_, methods=["GET"]),
            Route(_PATH, self.create, methods=["POST"]),
            Route(_PATH + "/batch/create", self.create_many, methods=["POST"]),
            Route(_PATH + "/batch/read", self.read_many, methods=["POST"]),
            Route(_PATH + "/batch/archive", self.archive_many, methods=["POST"]),
            Route(_PATH + "/{name}", self.one, methods=["GET"]),
            Route(_PATH + "/{name}", self.update, methods=["PATCH"]),
            Route(_PATH + "/{name}", self.archive, methods=["DELETE"]),
        ]

    async def list_(self, request: Request) -> Response:
        """Return all, unpaged."""
        archived = flag_in(request, "archived")
        defined = self._defined(kind_of(request)).values()
        shown = [each.to_record() for each in defined if each.archived is archived]
        return json_response({"results": shown})

    async def one(self, request: Request) -> Response:
        """Return one definition."""
        return json_response(self._found(request).to_record())

    async def create(self, request: Request) -> Response:
        """Define a property, unique or not; that cannot be changed later."""
        kind = kind_of(request)
        return json_response(self.define(kind, await object_in(request)).to_record(), 201)

    async def create_many(self, request: Request) -> Response:
        """Define properties; one that is refused fails alone."""
        kind = kind_of(request)
        results, errors = [], []
        for body in await inputs_in(request):
            try:
                results.append(self.define(kind, body).to_record())
            except RefusedError as error:
                errors.append(refusal.row_error(error, {"name": [str(body.get("name"))]}))
        answer = show_batch(results, errors, at=self._simulator.now())
        return json_response(answer, 207 if errors else 201)

    async def read_many(self, request: Request) -> Response:
        """Return definitions by name."""
        body = await object_in(request)
        defined, archived = self._defined(kind_of(request)), body.get("archived") is True
        results, errors = [], []
        for entry in inputs_of(body):
            name = str(entry.get("name"))
            found = defined.get(name)
            if found is None or found.archived is not archived:
                error = refusal.not_found(f"No property named {name} exists")
                errors.append(refusal.row_error(error, {"name": [name]}))
            else:
                results.append(found.to_record())
        answer = show_batch(results, errors, at=self._simulator.now())
        return json_response(answer, 207 if errors else 200)

    async def archive_many(self, request: Request) -> Response:
        """Archive own properties; those that are not there are no error."""
        defined = self._defined(kind_of(request))
        for entry in await inputs_in(request):
            found = defined.get(str(entry.get("name")))
            if found is not None and not found.native:
                found.archived = True
        return Response(status_code=204)

    def define(self, kind: ObjectType, body: dict[str, Any]) -> Property:
        """Add a property, or refuse it."""
        missing = [name for name in _REQUIRED if not isinstance(body.get(name), str)]
        if missing:
            raise refusal.invalid(f"Some required fields were not set: [{', '.join(missing)}]")
        self._check(kind, body)
        defined = self._defined(kind)
        name, unique = body["name"], bool(body.get("hasUniqueValue", False))
        if name in defined and not defined[name].archived:
            raise refusal.conflict(f"A property named '{name}' already exists.")
        own = [each for each in defined.values() if each.unique and not each.native]
        if unique and len(own) >= MAX_UNIQUE:
            raise refusal.invalid(f"At most {MAX_UNIQUE} properties with unique values are allowed")
        defined[name] = Property(
            name=name,
            label=body["label"],
            type=body["type"],
            field_type=body["fieldType"],
            group=body["groupName"],
            description=str(body.get("description") or ""),
            options=_options(body),
            unique=unique,
            native=False,
            created_at=iso(self._simulator.now()),
        )
        return defined[name]

    async def update(self, request: Request) -> Response:
        """Change label, description, group or options."""
        definition = self._found(request)
        body = await object_in(request)
        self._check(kind_of(request), body)
        definition.label = str(body.get("label", definition.label))
        definition.description = str(body.get("description", definition.description))
        definition.group = str(body.get("groupName", definition.group))
        if "options" in body:
            definition.options = _options(body)
        definition.updated_at = iso(self._simulator.now())
        return json_response(definition.to_record())

    async def archive(self, request: Request) -> Response:
        """Archive an own property."""
        definition = self._found(request)
        if definition.native:
            raise refusal.invalid(f"Property {definition.name} cannot be archived")
        definition.archived = True
        return Response(status_code=204)

    def _defined(self, kind: ObjectType) -> dict[str, Property]:
        return self._simulator.store.properties[kind.name]

    def _found(self, request: Request) -> Property:
        definition = self._defined(kind_of(request)).get(request.path_params["name"])
        if definition is None or definition.archived is not flag_in(request, "archived"):
            raise refusal.not_found(f"No property named {request.path_params['name']} exists")
        return definition

    def _check(self, kind: ObjectType, body: dict[str, Any]) -> None:
        if "name" in body and not _NAME.fullmatch(str(body["name"])):
            raise refusal.invalid(
                f"Property name {body['name']!r} is not valid: lower-case letters, digits and "
                "underscores, a letter first"
            )
        groups = tuple(self._simulator.store.groups[kind.name])
        allowed = {"type": _TYPES, "fieldType": _FIELD_TYPES, "groupName": groups}
        for key, values in allowed.items():
            if key in body and body[key] not in values:
                raise refusal.invalid(f"{key} {body[key]!r} is not one of {', '.join(values)}")


def _options(body: dict[str, Any]) -> list[dict[str, Any]]:
    options = body.get("options") or []
    if not isinstance(options, list) or not all(
        isinstance(each, dict)
        and isinstance(each.get("label"), str)
        and isinstance(each.get("value"), str)
        for each in options
    ):
        raise refusal.invalid("An option has a label and a value")
    return [
        {"displayOrder": order, "hidden": False, "description": "", **each}
        for order, each in enumerate(options)
    ]
