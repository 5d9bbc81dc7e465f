"""
Up to 200 rows in one call, with one result for each, in order.

A row that breaks a rule fails alone, unless the caller asks for all or none. A body that cannot
be read (a number where a text belongs) fails the whole call, and nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.identifier import to_id18
from dovetail.simulators.salesforce.refusal import SalesforceError, json_error, not_found
from dovetail.simulators.salesforce.rest.call import Api, Call, Operation, Reply, check_lock
from dovetail.simulators.salesforce.rest.row import allows_duplicates, chosen_fields, show_row
from dovetail.simulators.salesforce.sobject import SObject

MAX_WRITES = 200
MAX_READS = 2000
MAX_RUNS = 10

Result = dict[str, Any]
RowWrite = Callable[[Any], Result]


def create(api: Api, call: Call) -> Reply:
    """Create rows, of several types if need be."""

    def write(sent: Any) -> Result:
        sobject = _type_of(api, sent)
        _refuse_id(sent)
        row_id = api.writer.create(sobject, _values(sent), allow_duplicates=allows_duplicates(call))
        return _success(row_id)

    body = call.json()
    rows = _records(body)
    _check_runs(rows)
    return _write_all(api, rows, write, all_or_none=_all_or_none(body))


def update(api: Api, call: Call) -> Reply:
    """Update rows that name their id."""

    def write(sent: Any) -> Result:
        sobject = _type_of(api, sent)
        row_id = _own_id(sent, sobject)
        if row_id is None:
            raise SalesforceError(
                400, "MISSING_ARGUMENT", "Id not specified in an update call", ("Id",)
            )
        check_lock(call, row_id)
        _update(api, sobject, row_id, sent)
        return _success(row_id)

    body = call.json()
    rows = _records(body)
    _check_runs(rows)
    return _write_all(api, rows, write, all_or_none=_all_or_none(body))


def upsert(api: Api, call: Call) -> Reply:
    """Update or create rows of one type, matched by a key field that each of them holds."""
    sobject = api.org.sobject(call.params["object"])
    field = sobject.find(call.params["field"])
    if field is None or field not in sobject.key_fields:
        raise not_found(
            "Provided external ID field does not exist or is not accessible:"
            f" {call.params['field']}"
        )
    body = call.json()
    rows = _records(body)
    repeated = _repeated_keys(rows, field)

    def write(sent: Any) -> Result:
        if _type_of(api, sent) is not sobject:
            raise SalesforceError(
                400, "INVALID_TYPE", f"every record must be of type {sobject.name}"
            )
        if field.name == "Id":
            return _upsert_by_id(api, call, sobject, sent)
        return _upsert_by_key(api, call, (sobject, field), sent, repeated)

    return _write_all(api, rows, write, all_or_none=_all_or_none(body))


def delete(api: Api, call: Call) -> Reply:
    """Move rows to the bin."""

    def write(text: Any) -> Result:
        row_id = to_id18(text)
        sobject = None if row_id is None else api.org.sobject_of_id(row_id)
        if row_id is None or sobject is None:
            raise SalesforceError(400, "MALFORMED_ID", f"malformed id {text}")
        _check_exists(api, sobject, row_id)
        check_lock(call, row_id)
        api.writer.delete(sobject, row_id)
        return _success(row_id)

    ids = [text.strip() for text in call.query.get("ids", "").split(",") if text.strip()]
    if not ids:
        raise SalesforceError(400, "MISSING_ARGUMENT", "missing required parameter: ids")
    _check_size(ids, MAX_WRITES)
    return _write_all(api, ids, write, all_or_none=call.is_asked("allOrNone"))


def read_posted(api: Api, call: Call) -> Reply:
    """Return rows by the ids in the body."""
    body = call.json()
    return _read(api, call, body.get("ids"), body.get("fields"))


def read(api: Api, call: Call) -> Reply:
    """Return rows by the ids in the query."""
    ids, fields = call.query.get("ids", ""), call.query.get("fields", "")
    return _read(api, call, ids.split(","), fields.split(","))


def _read(api: Api, call: Call, ids: Any, names: Any) -> Reply:
    sobject = api.org.sobject(call.params["object"])
    if not _are_texts(ids) or not _are_texts(names):
        raise json_error("ids and fields must be lists of strings")
    if not any(ids) or not any(names):
        raise SalesforceError(400, "MISSING_ARGUMENT", "ids and fields are required")
    _check_size(ids, MAX_READS)
    fields = chosen_fields(sobject, names)
    rows = api.org.table(sobject).committed.rows
    shown = []
    for text in ids:
        row = rows.get(to_id18(text.strip()) or "")
        is_there = row is not None and not row.get("IsDeleted")
        shown.append(show_row(row, sobject, fields, call.base_path) if row and is_there else None)
    return Reply(200, shown)


def _write_all(api: Api, rows: list[Any], write: RowWrite, *, all_or_none: bool) -> Reply:
    results: list[Result] = []
    try:
        with api.org.all_or_none():
            for row in rows:
                results.append(_write_one(row, write))
            if all_or_none and not all(result["success"] for result in results):
                raise _rolled_back()
    except SalesforceError as exc:
        if exc.code != _ROLLED_BACK:
            raise
        undone = {"success": False, "errors": [exc.to_row_error()]}
        results = [undone if result["success"] else result for result in results]
    return Reply(200, results)


def _write_one(row: Any, write: RowWrite) -> Result:
    try:
        return write(row)
    except SalesforceError as exc:
        if exc.code == "JSON_PARSER_ERROR":
            raise
        return {"success": False, "errors": [exc.to_row_error()]}


def _upsert_by_key(
    api: Api, call: Call, target: tuple[SObject, Field], sent: Any, repeated: set[str]
) -> Result:
    sobject, field = target
    key = _get(sent, field.name)
    if key is None or not str(key).strip():
        raise SalesforceError(400, "MISSING_ARGUMENT", f"{field.name} not specified", ())
    if not isinstance(key, str):
        raise json_error(f"Cannot deserialize instance of string from value {key}")
    if key.strip().lower() in repeated:
        raise SalesforceError(
            400, "DUPLICATE_VALUE", f"Duplicate external id specified: {key}", (field.name,)
        )
    _refuse_id(sent)
    for row_id in api.writer.live_ids_by_key(sobject, field, key)[:1]:
        check_lock(call, row_id)
    done = api.writer.upsert(
        sobject, field, key, _values(sent), allow_duplicates=allows_duplicates(call)
    )
    return _success(done.id) | {"created": done.created}


def _upsert_by_id(api: Api, call: Call, sobject: SObject, sent: Any) -> Result:
    row_id = _own_id(sent, sobject)
    if row_id is None:
        created = api.writer.create(
            sobject, _values(sent), allow_duplicates=allows_duplicates(call)
        )
        return _success(created) | {"created": True}
    check_lock(call, row_id)
    _update(api, sobject, row_id, sent)
    return _success(row_id) | {"created": False}


def _update(api: Api, sobject: SObject, row_id: str, sent: Any) -> None:
    _check_exists(api, sobject, row_id)
    api.writer.update(sobject, row_id, _values(sent))


def _check_exists(api: Api, sobject: SObject, row_id: str) -> None:
    if api.org.lookup(sobject.name, row_id) is None:
        raise SalesforceError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    api.writer.existing(sobject, row_id)


def _records(body: Mapping[str, Any]) -> list[Any]:
    rows = body.get("records")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise json_error("records must be a list of objects")
    _check_size(rows, MAX_WRITES)
    return rows


def _all_or_none(body: Mapping[str, Any]) -> bool:
    wish = body.get("allOrNone", False)
    if not isinstance(wish, bool):
        raise json_error(f"Cannot deserialize instance of boolean from value {wish}")
    return wish


def _check_size(items: list[Any], limit: int) -> None:
    if len(items) > limit:
        raise SalesforceError(
            400,
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {limit} records into this call",
        )


def _check_runs(rows: list[Any]) -> None:
    runs = sum(1 for _ in groupby(rows, key=_type_name))
    if runs > MAX_RUNS:
        raise SalesforceError(
            400,
            "EXCEEDED_MAX_TYPES_LIMIT",
            f"Cannot have more than {MAX_RUNS} chunks in a single operation. Please rearrange the"
            " data to reduce chunking.",
        )


def _type_name(sent: Any) -> str:
    attributes = sent.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        raise json_error("Each record needs attributes with a type")
    return name


def _type_of(api: Api, sent: Any) -> SObject:
    name = _type_name(sent)
    sobject = api.org.catalog.get(name.lower())
    if sobject is None:
        raise SalesforceError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
    return sobject


def _values(sent: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name.lower() not in _NOT_FIELDS}


def _get(sent: Mapping[str, Any], field_name: str) -> Any:
    for name, value in sent.items():
        if name.lower() == field_name.lower():
            return value
    return None


def _own_id(sent: Mapping[str, Any], sobject: SObject) -> str | None:
    text = _get(sent, "Id")
    if text is None:
        return None
    row_id = to_id18(text) if isinstance(text, str) else None
    if row_id is None or not row_id.startswith(sobject.key_prefix):
        raise SalesforceError(
            400, "MALFORMED_ID", f"{sobject.name} ID: id value of incorrect type: {text}", ("Id",)
        )
    return row_id


def _refuse_id(sent: Mapping[str, Any]) -> None:
    if _get(sent, "Id") is not None:
        raise SalesforceError(
            400, "INVALID_FIELD", "The Id field should not be specified in the sobject data."
        )


def _repeated_keys(rows: list[Any], field: Field) -> set[str]:
    keys = (_get(row, field.name) for row in rows)
    counted = Counter(key.strip().lower() for key in keys if isinstance(key, str))
    return {key for key, count in counted.items() if count > 1}


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _success(row_id: str) -> Result:
    return {"id": row_id, "success": True, "errors": []}


def _rolled_back() -> SalesforceError:
    return SalesforceError(
        400,
        _ROLLED_BACK,
        "Record rolled back because not all records were valid and the request was using"
        " AllOrNone header",
    )


_NOT_FIELDS = frozenset({"attributes", "id"})
_ROLLED_BACK = "ALL_OR_NONE_OPERATION_ROLLED_BACK"

OPERATIONS = (
    Operation("POST", "/composite/sobjects", create),
    Operation("PATCH", "/composite/sobjects", update),
    Operation("DELETE", "/composite/sobjects", delete),
    Operation("POST", "/composite/sobjects/{object}", read_posted),
    Operation("GET", "/composite/sobjects/{object}", read),
    Operation("PATCH", "/composite/sobjects/{object}/{field}", upsert),
)
