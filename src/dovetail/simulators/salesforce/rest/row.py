"""One row at a time: by its id, or by an external id."""

from __future__ import annotations

import zlib
from typing import Any

from dovetail.core import json
from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.refusal import SalesforceError, not_found
from dovetail.simulators.salesforce.rest.call import (
    Api,
    Call,
    Operation,
    Reply,
    check_lock,
    is_unmodified_since,
)
from dovetail.simulators.salesforce.sobject import Row, SObject
from dovetail.simulators.salesforce.write import AmbiguousKeyError, row_id_of

_TAGGED_OBJECTS = frozenset({"Account"})
# The platform's web server takes such an ending of the path for a file extension.
_SWALLOWED_ENDINGS = (".inc",)


def create(api: Api, call: Call) -> Reply:
    """Create a row."""
    sobject = api.org.sobject(call.params["object"])
    sent = call.json()
    _refuse_in_body(sent, "Id")
    row_id = api.writer.create(sobject, sent, allow_duplicates=allows_duplicates(call))
    location = {"Location": f"{call.base_path}/sobjects/{sobject.name}/{row_id}"}
    return Reply(201, {"id": row_id, "success": True, "errors": []}, location)


def read(api: Api, call: Call) -> Reply:
    """Return a row by its id."""
    sobject = api.org.sobject(call.params["object"])
    return _show(api, call, sobject, _id_in_path(call, sobject))


def update(api: Api, call: Call) -> Reply:
    """Set some fields of a row."""
    sobject = api.org.sobject(call.params["object"])
    row_id = _id_in_path(call, sobject)
    row = api.writer.existing(sobject, row_id)
    _check_tag(call, sobject, row)
    if is_unmodified_since(call, "if-unmodified-since", row["LastModifiedDate"]) is False:
        raise _changed_meanwhile()
    sent = call.json()
    _refuse_in_body(sent, "Id")
    check_lock(call, row_id)
    api.writer.update(sobject, row_id, sent)
    return Reply(204)


def delete(api: Api, call: Call) -> Reply:
    """Move a row to the bin."""
    sobject = api.org.sobject(call.params["object"])
    row_id = _id_in_path(call, sobject)
    _check_tag(call, sobject, api.writer.existing(sobject, row_id))
    check_lock(call, row_id)
    api.writer.delete(sobject, row_id)
    return Reply(204)


def read_by_key(api: Api, call: Call) -> Reply:
    """Return the row that has an external id."""
    sobject, field = _key_in_path(api, call)
    ids = api.writer.live_ids_by_key(sobject, field, call.params["key"])
    if len(ids) > 1:
        return _choices(call, sobject, ids)
    if not ids:
        raise not_found()
    return _show(api, call, sobject, ids[0])


def upsert(api: Api, call: Call) -> Reply:
    """Update the row that has an external id, or create it."""
    sobject, field = _key_in_path(api, call)
    key = call.params["key"]
    sent = call.json()
    _refuse_in_body(sent, "Id")
    _refuse_in_body(sent, field.name)
    for row_id in api.writer.live_ids_by_key(sobject, field, key)[:1]:
        check_lock(call, row_id)
    try:
        done = api.writer.upsert(
            sobject,
            field,
            key,
            sent,
            update_only=call.is_asked("updateOnly"),
            allow_duplicates=allows_duplicates(call),
        )
    except AmbiguousKeyError as exc:
        return _choices(call, sobject, exc.ids)
    body = {"id": done.id, "success": True, "errors": [], "created": done.created}
    return Reply(201 if done.created else 200, body)


def delete_by_key(api: Api, call: Call) -> Reply:
    """Move the row that has an external id to the bin."""
    sobject, field = _key_in_path(api, call)
    ids = api.writer.live_ids_by_key(sobject, field, call.params["key"])
    if len(ids) > 1:
        return _choices(call, sobject, ids)
    if not ids:
        raise not_found()
    check_lock(call, ids[0])
    api.writer.delete(sobject, ids[0])
    return Reply(204)


def allows_duplicates(call: Call) -> bool:
    """Return whether the caller overrides duplicate rules."""
    header = call.headers.get("sforce-duplicate-rule-header", "")
    return "allowsave=true" in header.replace(" ", "").lower()


def show_row(row: Row, sobject: SObject, fields: list[Field], base_path: str) -> dict[str, Any]:
    """Return a row as the API answers it."""
    url = f"{base_path}/sobjects/{sobject.name}/{row['Id']}"
    shown: dict[str, Any] = {"attributes": {"type": sobject.name, "url": url}}
    for field in fields:
        shown[field.name] = row[field.name]
    return shown


def chosen_fields(sobject: SObject, names: list[str]) -> list[Field]:
    """
    Return the fields of these names; the id always comes along.

    Raises:
        SalesforceError: INVALID_FIELD.
    """
    chosen: dict[str, Field] = {}
    for name in names:
        field = sobject.find(name.strip())
        if field is None:
            raise SalesforceError(
                400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}"
            )
        chosen[field.name] = field
    id_field = sobject.find("Id")
    if id_field is not None:
        chosen.setdefault("Id", id_field)
    return list(chosen.values())


def _show(api: Api, call: Call, sobject: SObject, row_id: str) -> Reply:
    row = api.org.table(sobject).committed.rows.get(row_id)
    if row is None or row.get("IsDeleted"):
        raise not_found()
    headers = {"Last-Modified": moment.to_http(row["LastModifiedDate"])}
    if sobject.name in _TAGGED_OBJECTS:
        headers["ETag"] = _tag(row)
    is_same = _tag(row) == call.headers.get("if-none-match") and "ETag" in headers
    if is_same or is_unmodified_since(call, "if-modified-since", row["LastModifiedDate"]):
        return Reply(304, headers=headers)
    wanted = call.query.get("fields")
    fields = list(sobject.fields) if not wanted else chosen_fields(sobject, wanted.split(","))
    return Reply(200, show_row(row, sobject, fields, call.base_path), headers)


def _id_in_path(call: Call, sobject: SObject) -> str:
    row_id = row_id_of(call.params["id"], sobject)
    if row_id is None:
        raise not_found(
            f"Provided external ID field does not exist or is not accessible: {call.params['id']}"
        )
    return row_id


def _key_in_path(api: Api, call: Call) -> tuple[SObject, Field]:
    sobject = api.org.sobject(call.params["object"])
    field = sobject.find(call.params["field"])
    if field is None or field not in sobject.key_fields or field.name == "Id":
        raise not_found(
            "Provided external ID field does not exist or is not accessible:"
            f" {call.params['field']}"
        )
    if call.params["key"].lower().endswith(_SWALLOWED_ENDINGS):
        raise not_found()
    return sobject, field


def _check_tag(call: Call, sobject: SObject, row: Row) -> None:
    wanted = call.headers.get("if-match")
    if wanted is not None and sobject.name in _TAGGED_OBJECTS and wanted != _tag(row):
        raise _changed_meanwhile()


def _tag(row: Row) -> str:
    # Whole seconds are too coarse: two writes in one second must not share a tag.
    return f'"{zlib.crc32(json.canonical(row)):08x}"'


def _changed_meanwhile() -> SalesforceError:
    return SalesforceError(412, "PRECONDITION_FAILED", "The record has changed since it was read")


def _refuse_in_body(sent: dict[str, Any], name: str) -> None:
    if any(key.lower() == name.lower() for key in sent):
        raise SalesforceError(
            400, "INVALID_FIELD", f"The {name} field should not be specified in the sobject data."
        )


def _choices(call: Call, sobject: SObject, ids: list[str]) -> Reply:
    return Reply(300, [f"{call.base_path}/sobjects/{sobject.name}/{row_id}" for row_id in ids])


OPERATIONS = (
    Operation("POST", "/sobjects/{object}", create),
    Operation("GET", "/sobjects/{object}/{id}", read),
    Operation("PATCH", "/sobjects/{object}/{id}", update),
    Operation("DELETE", "/sobjects/{object}/{id}", delete),
    Operation("GET", "/sobjects/{object}/{field}/{key:path}", read_by_key),
    Operation("PATCH", "/sobjects/{object}/{field}/{key:path}", upsert),
    Operation("DELETE", "/sobjects/{object}/{field}/{key:path}", delete_by_key),
)
