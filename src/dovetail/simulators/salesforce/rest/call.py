"""A call of the REST API and its reply, apart from HTTP, so that Composite can make calls too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from starlette.routing import compile_path

from dovetail.core import json
from dovetail.simulator_sdk.fault import Fault
from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.bulk.shelf import JobShelf
from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.refusal import SalesforceError, json_error
from dovetail.simulators.salesforce.rest.cursor import CursorShelf
from dovetail.simulators.salesforce.write import Writer

JSON, CSV = "application/json", "text/csv"
"""What bodies are."""


@dataclass(frozen=True)
class Call:
    """
    One call.

    Attributes:
        method: GET, POST, PUT, PATCH or DELETE.
        version: As in the path, ``v60.0``.
        params: What the path template names.
        query: Query parameters.
        headers: By lower-case name.
        body: Raw body; `json` reads it.
        strike: Takes a fault of that kind, if one is switched on for this call.
        count: Counts a further call against the daily limit; False when it is used up.
    """

    method: str
    version: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    strike: Callable[[str], Fault | None]
    count: Callable[[], bool]

    @property
    def base_path(self) -> str:
        """The path that starts every URL of the API."""
        return f"/services/data/{self.version}"

    def json(self) -> dict[str, Any]:
        """
        Return the body, which must be a JSON object.

        Raises:
            SalesforceError: JSON_PARSER_ERROR.
        """
        try:
            value = json.decode(self.body)
        except ValueError as exc:
            raise json_error(f"Unexpected character in the request body: {exc}") from exc
        if not isinstance(value, dict):
            raise json_error("The request body must be a JSON object at [line:1, column:1]")
        return value

    def is_asked(self, name: str) -> bool:
        """Return whether a query parameter is ``true``."""
        return self.query.get(name, "").lower() == "true"


@dataclass(frozen=True)
class Reply:
    """The answer to a call: JSON of `body`, or `csv` as it is, or nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    csv: str | None = None


@dataclass(frozen=True)
class Api:
    """What the endpoints work on; made anew by each reset."""

    org: Org
    writer: Writer
    cursors: CursorShelf
    jobs: JobShelf
    limits: Callable[[], Mapping[str, tuple[int, int]]]
    """Returns each limit of a day, and how much of it is left."""
    count_query_job: Callable[[], bool]
    """Counts a bulk query; False when a day's worth is used up."""
    commit_lag_s: float


Function = Callable[[Api, Call], Reply]


class Operation:
    """An endpoint: its method, its path below the version, and what it does."""

    def __init__(
        self, method: str, template: str, function: Function, *, takes: str = JSON
    ) -> None:
        self.method = method
        self.takes = takes
        self.template = template
        self.function = function
        self._pattern, _, _ = compile_path(template)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the values of the template's names, or None when this is another endpoint."""
        found = self._pattern.match(path) if method == self.method else None
        return None if found is None else found.groupdict()


def check_lock(call: Call, row_id: str) -> None:
    """Refuse the write of a row that somebody else holds, when that fault is switched on."""
    if call.strike("row_lock") is not None:
        raise SalesforceError(
            400,
            "UNABLE_TO_LOCK_ROW",
            f"unable to obtain exclusive access to this record or 1 records: {row_id}",
            (),
        )


def is_unmodified_since(call: Call, header: str, stored: str) -> bool | None:
    """
    Return whether *stored* is not later than the time in a header; None without the header.

    Raises:
        SalesforceError: The header holds no time (400).
    """
    text = call.headers.get(header)
    if text is None:
        return None
    instant = moment.parse_http(text)
    if instant is None:
        raise SalesforceError(400, "INVALID_HTTP_HEADER", f"{header}: not a date: {text}")
    return moment.from_text(stored) < instant + timedelta(seconds=1)
