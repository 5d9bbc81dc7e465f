"""
Several calls in one.

Composite: up to 25 calls that may refer to each other's results and may stand or fall together;
it counts as one call. Batch: up to 25 independent calls, each counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dovetail.core import json
from dovetail.simulators.salesforce.refusal import SalesforceError, json_error, not_found
from dovetail.simulators.salesforce.rest import (
    collection,
    description,
    query,
    replication,
    row,
    tree,
)
from dovetail.simulators.salesforce.rest.call import Api, Call, Operation, Reply

MAX_CALLS = 25
MAX_QUERIES = 5

_REFERENCE = re.compile(r"@\{([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z0-9_]+|\[\d+\])*)\}")
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+)\]")
_REFERENCE_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

SINGLE_OPERATIONS: tuple[Operation, ...] = (
    *description.OPERATIONS,
    *replication.OPERATIONS,
    *query.OPERATIONS,
    *collection.OPERATIONS,
    *row.OPERATIONS,
)


def composite(api: Api, call: Call) -> Reply:
    """Make calls that may use each other's results; answers are in the order of the calls."""
    body = call.json()
    parts = _parts(body, "compositeRequest")
    _check_parts(parts)
    is_atomic = body.get("allOrNone", False) is True
    in_order = parts if body.get("collateSubrequests", True) is False else _collated(parts)
    answers: dict[str, dict[str, Any]] = {}
    try:
        with api.org.all_or_none():
            _run_all(api, call, in_order, answers, is_atomic=is_atomic)
    except _HaltedError:
        answers = {name: _halted(answer) for name, answer in answers.items()}
        for part in parts:
            answers.setdefault(part["referenceId"], _answer(part, _PROCESSING_HALTED))
    return Reply(200, {"compositeResponse": [answers[part["referenceId"]] for part in parts]})


def batch(api: Api, call: Call) -> Reply:
    """Make independent calls; what is written stays written."""
    body = call.json()
    parts = _parts(body, "batchRequests")
    results: list[dict[str, Any]] = []
    for position, part in enumerate(parts):
        is_halted = body.get("haltOnError") is True and any(
            result["statusCode"] >= 400 for result in results
        )
        # The first is the call that carries them all.
        if position and not is_halted and not call.count():
            is_halted = True
        url = f"/services/data/{part.get('url', '')}".replace("/data//", "/data/")
        reply = (
            Reply(412, _halt_body("BATCH_PROCESSING_HALTED", "Batch processing halted"))
            if is_halted
            else dispatch(api, call, part, url, part.get("richInput"))
        )
        results.append({"statusCode": reply.status, "result": reply.body})
    has_errors = any(result["statusCode"] >= 400 for result in results)
    return Reply(200, {"hasErrors": has_errors, "results": results})


def dispatch(api: Api, outer: Call, part: Mapping[str, Any], url: str, body: Any) -> Reply:
    """Make one call inside another and return its reply, errors as replies."""
    try:
        split = _split_url(url)
        version_path = re.match(r"/services/data/(v\d+\.\d)(/.*)?$", unquote(split.path))
        if version_path is None:
            raise not_found()
        method, path = str(part.get("method", "")).upper(), version_path[2] or ""
        for operation in SINGLE_OPERATIONS:
            params = operation.match(method, path.rstrip("/"))
            if params is None:
                continue
            given = part.get("httpHeaders")
            if not isinstance(given, dict):
                given = {}
            inner = replace(
                outer,
                method=method,
                version=version_path[1],
                params=params,
                query=dict(parse_qsl(split.query, keep_blank_values=True)),
                headers={str(name).lower(): str(value) for name, value in given.items()},
                body=json.encode(body) if body is not None else b"",
            )
            return operation.function(api, inner)
        raise not_found()
    except SalesforceError as exc:
        return Reply(exc.status, exc.to_body())


def _split_url(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as exc:
        raise not_found() from exc


class _HaltedError(SalesforceError):
    """A call of an all-or-none composite failed; everything is undone."""

    def __init__(self) -> None:
        super().__init__(400, "PROCESSING_HALTED", "")


def _run_all(
    api: Api,
    call: Call,
    parts: list[Mapping[str, Any]],
    answers: dict[str, dict[str, Any]],
    *,
    is_atomic: bool,
) -> None:
    bodies: dict[str, Any] = {}
    for part in parts:
        reply = _run_one(api, call, part, bodies)
        answers[part["referenceId"]] = _answer(part, reply)
        if reply.status < 400:
            bodies[part["referenceId"]] = reply.body
        elif is_atomic:
            raise _HaltedError


def _collated(parts: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """
    Return the calls as they run unless the caller forbids it: like with like, for speed.

    Only a reference to the result of another call keeps a call behind that one.
    """
    waiting, done = list(parts), set[str]()
    known = {part["referenceId"] for part in parts}
    in_order: list[Mapping[str, Any]] = []
    while waiting:
        ready = [part for part in waiting if not (_references(part) & known) - done] or waiting[:1]
        alike = [part for part in ready if in_order and _kind(part) == _kind(in_order[-1])]
        following = (alike or ready)[0]
        waiting.remove(following)
        done.add(following["referenceId"])
        in_order.append(following)
    return in_order


def _references(part: Mapping[str, Any]) -> set[str]:
    text = str(part["url"]) + json.encode_text(part.get("body"))
    return {match[0] for match in _REFERENCE.findall(text)}


def _kind(part: Mapping[str, Any]) -> tuple[str, str]:
    """Return the method and the object of a call."""
    found = re.search(r"/sobjects/(\w+)", part["url"])
    return str(part.get("method", "")).upper(), found[1].lower() if found else part["url"]


def _run_one(api: Api, call: Call, part: Mapping[str, Any], bodies: Mapping[str, Any]) -> Reply:
    try:
        url = _fill(part["url"], bodies)
        body = _fill(part.get("body"), bodies)
    except SalesforceError as exc:
        return Reply(exc.status, exc.to_body())
    return dispatch(api, call, part, str(url), body)


def _fill(value: Any, bodies: Mapping[str, Any]) -> Any:
    """Put results of earlier calls where ``@{reference.path}`` stands."""
    if isinstance(value, dict):
        return {name: _fill(item, bodies) for name, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, bodies) for item in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None:
        return _resolve(whole, bodies)
    return _REFERENCE.sub(lambda match: str(_resolve(match, bodies)), value)


def _resolve(match: re.Match[str], bodies: Mapping[str, Any]) -> Any:
    if match[1] not in bodies:
        raise _unresolved(match)
    value = bodies[match[1]]
    for name, position in _STEP.findall(match[2]):
        try:
            value = value[name] if name else value[int(position)]
        except (KeyError, IndexError, TypeError) as exc:
            raise _unresolved(match) from exc
    return value


def _unresolved(match: re.Match[str]) -> SalesforceError:
    return SalesforceError(
        400, "PROCESSING_HALTED", f"Invalid reference specified. No value for {match[0]} found"
    )


def _parts(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    parts = body.get(key)
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise json_error(f"{key} must be a list of objects")
    if not 1 <= len(parts) <= MAX_CALLS:
        raise SalesforceError(
            400, "LIMIT_EXCEEDED", f"The request may hold 1 to {MAX_CALLS} subrequests"
        )
    return parts


def _check_parts(parts: list[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    heavy = 0
    for part in parts:
        reference = part.get("referenceId")
        if not isinstance(reference, str) or not _REFERENCE_ID.fullmatch(reference):
            raise json_error("each subrequest needs a referenceId of letters, digits and _")
        if reference in seen:
            raise json_error(f"the referenceId {reference} is used twice")
        if not isinstance(part.get("url"), str):
            raise json_error("each subrequest needs a url")
        seen.add(reference)
        heavy += bool(re.search(r"/(query|queryAll|composite/sobjects)\b", part["url"]))
    if heavy > MAX_QUERIES:
        raise SalesforceError(
            400, "LIMIT_EXCEEDED", f"At most {MAX_QUERIES} subrequests may be queries"
        )


def _answer(part: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    return {
        "body": reply.body,
        "httpHeaders": dict(reply.headers),
        "httpStatusCode": reply.status,
        "referenceId": part["referenceId"],
    }


def _halted(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["httpStatusCode"] >= 400:
        return answer
    return answer | {"body": _PROCESSING_HALTED.body, "httpHeaders": {}, "httpStatusCode": 400}


def _halt_body(code: str, message: str) -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message}]


_PROCESSING_HALTED = Reply(
    400,
    _halt_body(
        "PROCESSING_HALTED",
        "The transaction was rolled back since another operation in the same transaction failed.",
    ),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation("POST", "/composite", composite),
    Operation("POST", "/composite/batch", batch),
    *tree.OPERATIONS,
    *SINGLE_OPERATIONS,
)
