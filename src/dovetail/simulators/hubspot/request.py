"""Reads what calls to HubSpot carry: types, arrays in queries, objects in bodies."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from dovetail.simulator_sdk.base import read_json
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES, ObjectType

MAX_BATCH = 100
MAX_BATCH_WITH_HISTORY = 50


def kind_of(request: Request) -> ObjectType:
    """
    Return the object type in the path, given by name or id.

    Raises:
        RefusedError: There is no such type.
    """
    return kind_named(request.path_params["type"])


def kind_named(given: str) -> ObjectType:
    """
    Return the object type of this name (plural or singular) or id.

    Raises:
        RefusedError: There is no such type.
    """
    for kind in OBJECT_TYPES.values():
        if given in (kind.name, kind.singular, kind.type_id):
            return kind
    raise refusal.invalid(f"Unable to infer object type from: {given}")


def names_in(request: Request, parameter: str) -> list[str]:
    """Return an array of the query: comma-separated, repeated, or both."""
    given = request.query_params.getlist(parameter)
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def flag_in(request: Request, parameter: str) -> bool:
    """Return a bool of the query, false when absent."""
    given = request.query_params.get(parameter, "false").lower()
    if given not in ("true", "false"):
        raise refusal.invalid(f"{parameter} must be true or false")
    return given == "true"


def limit_in(request: Request, *, default: int, most: int) -> int:
    """Return the page size of the query."""
    given = request.query_params.get("limit", str(default))
    if not given.isdecimal() or not 0 < int(given) <= most:
        raise refusal.invalid(f"limit must be between 1 and {most}; got {given}")
    return int(given)


async def object_in(request: Request) -> dict[str, Any]:
    """
    Return the JSON object of the body.

    Raises:
        RefusedError: It is something else.
    """
    try:
        body = await read_json(request)
    except RefusedError as error:
        error.code = "VALIDATION_ERROR"
        raise
    if not isinstance(body, dict):
        raise refusal.invalid("Invalid input JSON: an object is expected")
    return body


def properties_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the `properties` of a record to write."""
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise refusal.invalid("Some required fields were not set: [properties]")
    return properties


def id_property_of(body: dict[str, Any]) -> str | None:
    """Return the unique property that an id is a value of; None for record ids."""
    given = body.get("idProperty")
    if given is not None and not isinstance(given, str):
        raise refusal.invalid("Invalid input JSON: idProperty is a text")
    return given


def texts_of(body: dict[str, Any], key: str) -> list[str]:
    """Return an optional array of texts."""
    given = body.get(key) or []
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise refusal.invalid(f"Invalid input JSON: {key} is an array of texts")
    return given


async def inputs_in(request: Request, *, most: int = MAX_BATCH) -> list[dict[str, Any]]:
    """Return the inputs of a batch."""
    return inputs_of(await object_in(request), most=most)


def inputs_of(body: dict[str, Any], *, most: int = MAX_BATCH) -> list[dict[str, Any]]:
    """Return the inputs of a batch, at most *most*."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
        raise refusal.invalid("Some required fields were not set: [inputs]")
    if len(inputs) > most:
        raise refusal.invalid(
            f"The number of inputs must be at most {most}; the request has {len(inputs)}"
        )
    return inputs


def id_of(entry: dict[str, Any]) -> str:
    """Return the id of a batch input, which may be a JSON number."""
    id = entry.get("id")
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise refusal.invalid("Some required fields were not set: [id]")
    return str(id)
