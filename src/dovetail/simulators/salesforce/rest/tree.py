"""Parents with their children, created in one call: all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dovetail.simulators.salesforce.refusal import SalesforceError, json_error
from dovetail.simulators.salesforce.rest.call import Api, Call, Operation, Reply
from dovetail.simulators.salesforce.rest.row import allows_duplicates
from dovetail.simulators.salesforce.sobject import SObject

MAX_ROWS = 200
MAX_TYPES = 5
MAX_LEVELS = 5


@dataclass(frozen=True, slots=True)
class Node:
    """One row of the tree: its own values, its parent's reference and the field that links them."""

    reference: str
    sobject: SObject
    values: dict[str, Any]
    parent: str | None
    link: str | None


def create(api: Api, call: Call) -> Reply:
    """Create every row of the tree, parents first."""
    root = api.org.sobject(call.params["object"])
    nodes = list(_walk(api, call.json(), root, parent=None, level=1))
    _check(nodes)
    ids: dict[str, str] = {}
    failed: list[dict[str, Any]] = []
    try:
        with api.org.all_or_none():
            for node in nodes:
                _create_one(api, call, node, ids, failed)
            if failed:
                raise _UndoneError
    except _UndoneError:
        return Reply(400, {"hasErrors": True, "results": failed})
    results = [{"referenceId": name, "id": row_id} for name, row_id in ids.items()]
    return Reply(201, {"hasErrors": False, "results": results})


class _UndoneError(SalesforceError):
    """A row was refused, so none stays."""

    def __init__(self) -> None:
        super().__init__(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "")


def _create_one(
    api: Api, call: Call, node: Node, ids: dict[str, str], failed: list[dict[str, Any]]
) -> None:
    values = node.values
    if node.parent is not None and node.link is not None:
        if node.parent not in ids:
            return
        values = values | {node.link: ids[node.parent]}
    try:
        ids[node.reference] = api.writer.create(
            node.sobject, values, allow_duplicates=allows_duplicates(call)
        )
    except SalesforceError as exc:
        failed.append({"referenceId": node.reference, "errors": [exc.to_row_error()]})


def _walk(
    api: Api, body: Any, sobject: SObject, *, parent: Node | None, level: int
) -> Iterator[Node]:
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list):
        raise json_error("records must be a list of objects")
    if level > MAX_LEVELS:
        raise SalesforceError(400, "LIMIT_EXCEEDED", f"at most {MAX_LEVELS} levels")
    link = None if parent is None else _link(sobject, parent.sobject)
    for record in records:
        own, children = _split(api, record)
        reference = _reference_of(record, sobject)
        parent_name = None if parent is None else parent.reference
        node = Node(reference, sobject, own, parent_name, link)
        yield node
        for child, nested in children:
            yield from _walk(api, nested, child, parent=node, level=level + 1)


def _split(api: Api, record: Any) -> tuple[dict[str, Any], list[tuple[SObject, Any]]]:
    """Return the values of a record, and its nested lists with the objects they hold."""
    if not isinstance(record, dict):
        raise json_error("a record must be an object")
    by_plural = {sobject.plural.lower(): sobject for sobject in api.org.catalog.values()}
    own, children = {}, []
    for name, value in record.items():
        if isinstance(value, dict) and "records" in value and name.lower() in by_plural:
            children.append((by_plural[name.lower()], value))
        else:
            own[name] = value
    return own, children


def _link(child: SObject, parent: SObject) -> str:
    for field in child.fields:
        if field.refers_to == (parent.name,) and field.is_writable:
            return field.name
    raise SalesforceError(
        400, "INVALID_FIELD", f"No such relation '{child.plural}' on entity '{parent.name}'"
    )


def _reference_of(record: dict[str, Any], sobject: SObject) -> str:
    attributes = record.get("attributes")
    if not isinstance(attributes, dict) or not isinstance(attributes.get("referenceId"), str):
        raise json_error("each record needs attributes with a type and a referenceId")
    if str(attributes.get("type", "")).lower() != sobject.name.lower():
        raise SalesforceError(400, "INVALID_TYPE", f"a record here must be of type {sobject.name}")
    return str(attributes["referenceId"])


def _check(nodes: list[Node]) -> None:
    if len(nodes) > MAX_ROWS:
        raise SalesforceError(
            400,
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {MAX_ROWS} records into this call",
        )
    if len({node.sobject.name for node in nodes}) > MAX_TYPES:
        raise SalesforceError(400, "LIMIT_EXCEEDED", f"at most {MAX_TYPES} types of record")
    if len({node.reference for node in nodes}) != len(nodes):
        raise SalesforceError(400, "INVALID_INPUT", "a referenceId is used twice")


OPERATIONS = (Operation("POST", "/composite/tree/{object}", create),)
