"""``/crm/v3/objects/{type}/search``: an index that lags, pages by offset, ends at 10,000."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.replica import Replica, Snapshot
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.filter import Filter, comparable, read_groups, since_of
from dovetail.simulators.hubspot.request import kind_of, object_in, texts_of
from dovetail.simulators.hubspot.show import show

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

MAX_BODY_CHARACTERS = 3000
MAX_RESULTS = 10_000
MAX_LIMIT = 200

_TEXT_SEARCHED = ("email", "firstname", "lastname", "phone", "company", "name", "domain",
                  "dealname", "subject", "content")  # fmt: skip


class SearchApi:
    """Search over the replica of each type."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator
        # The pages of one search are asked for one after another: keep what the last one found.
        self._last: tuple[tuple[Any, ...], list[Snapshot]] | None = None

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/crm/v3/objects/{type}/search", self.search, methods=["POST"])]

    async def search(self, request: Request) -> Response:
        """Return the matches from an offset on, of what the index shows by now."""
        kind = kind_of(request)
        raw = await request.body()
        if len(raw.decode(errors="replace")) > MAX_BODY_CHARACTERS:
            raise refusal.invalid(
                f"The request body is too long: at most {MAX_BODY_CHARACTERS} characters"
            )
        body = await object_in(request)
        limit = _number(body, "limit", default=10)
        after = _number(body, "after", default=0)
        if not 0 < limit <= MAX_LIMIT:
            raise refusal.invalid(f"limit must be between 1 and {MAX_LIMIT}; got {limit}")
        if after + limit > MAX_RESULTS:
            raise refusal.invalid(
                f"The paging offset {after} with limit {limit} goes beyond the {MAX_RESULTS} "
                "results that a search returns"
            )
        simulator = self._simulator
        simulator.catch_up(kind, request)
        found = self._found(kind, body)
        page = found[after : after + limit]
        asked = texts_of(body, "properties")
        answer: dict[str, Any] = {
            "total": len(found),
            "results": [show(simulator.store, kind, each, properties=asked) for each in page],
        }
        if after + limit < len(found):
            answer["paging"] = {"next": {"after": str(after + limit)}}
        return json_response(answer)

    def _found(self, kind: ObjectType, body: dict[str, Any]) -> list[Snapshot]:
        replica = self._simulator.store.search[kind.name]
        asked = {key: body.get(key) for key in ("filterGroups", "sorts", "query")}
        key = (kind.name, id(replica), replica.version, repr(asked))
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        properties = self._simulator.store.properties[kind.name]
        groups = read_groups(body.get("filterGroups") or [], properties)
        sort = _sort(body.get("sorts") or [])
        if sort is not None and sort[0] not in properties:
            raise refusal.invalid(f"There was a problem with the request. Sort by {sort[0]!r}")
        text = body.get("query")
        matches = [
            snapshot
            for snapshot in self._candidates(kind, replica, groups)
            if self._matches(kind, snapshot, groups, text)
        ]
        found = self._sorted(kind, matches, sort)
        self._last = (key, found)
        return found

    def _candidates(
        self, kind: ObjectType, replica: Replica, groups: list[list[Filter]]
    ) -> Iterable[Snapshot]:
        since = since_of(groups, kind.modified)
        if since is None:
            return replica.all()
        snapshots = (replica.get(id) for id in replica.modified.ids(since=since))
        return (snapshot for snapshot in snapshots if snapshot is not None)

    def _matches(
        self, kind: ObjectType, snapshot: Snapshot, groups: list[list[Filter]], text: Any
    ) -> bool:
        value = self._simulator.store.value
        if text and not any(
            str(text).lower() in (value(kind, snapshot, name) or "").lower()
            for name in _TEXT_SEARCHED
        ):
            return False
        return not groups or any(
            all(each.holds(value(kind, snapshot, each.name)) for each in group) for group in groups
        )

    def _sorted(
        self, kind: ObjectType, matches: list[Snapshot], sort: tuple[str, bool] | None
    ) -> list[Snapshot]:
        if sort is None:
            return sorted(matches, key=lambda each: each.sequence)
        name, descending = sort
        if name == kind.modified:
            matches.sort(key=lambda each: (each.modified_at, each.sequence), reverse=descending)
            return matches
        store = self._simulator.store
        numeric = store.properties[kind.name][name].type in ("number", "date", "datetime")
        valued, blank = [], []
        for each in matches:
            value = store.value(kind, each, name)
            if value is None:
                blank.append(each)
            else:
                valued.append((comparable(value, numeric=numeric), each.sequence, each))
        valued.sort(key=lambda entry: entry[:2], reverse=descending)
        return [entry[2] for entry in valued] + blank


def _sort(described: Any) -> tuple[str, bool] | None:
    """Return property and direction; a text with ``-`` in front descends."""
    if not isinstance(described, list) or len(described) > 1:
        raise refusal.invalid("Only one sort is allowed")
    if not described:
        return None
    sort = described[0]
    if isinstance(sort, str):
        return sort.removeprefix("-"), sort.startswith("-")
    name = sort.get("propertyName") if isinstance(sort, dict) else None
    direction = sort.get("direction", "ASCENDING") if isinstance(sort, dict) else None
    if not isinstance(name, str) or direction not in ("ASCENDING", "DESCENDING"):
        raise refusal.invalid("A sort has a propertyName and a direction ASCENDING or DESCENDING")
    return name, direction == "DESCENDING"


def _number(body: dict[str, Any], key: str, *, default: int) -> int:
    given = body.get(key, default)
    if given is None:
        return default
    if isinstance(given, bool) or not str(given).isdecimal():
        raise refusal.invalid(f"{key} must be a whole number; got {given!r}")
    return int(given)
