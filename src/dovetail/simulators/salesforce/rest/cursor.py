"""Results of long queries, kept until their locators expire."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dovetail.simulators.salesforce.identifier import IdSequence
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.sobject import Row
from dovetail.simulators.salesforce.soql.plan import Projection

MAX_PAGE = 2000
MIN_PAGE = 200
LOCATOR_LIFE = timedelta(days=2)

_LOCATOR = re.compile(r"(?P<cursor>[0-9A-Za-z]{18})-(?P<offset>\d{1,9})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The rows of one query, as they were when it ran."""

    id: str
    rows: list[Row]
    show: Projection
    page_size: int
    opened_at: datetime

    def page(self, offset: int, base_path: str) -> dict[str, Any]:
        """Return one page as the platform answers it."""
        stop = offset + self.page_size
        is_last = stop >= len(self.rows)
        page: dict[str, Any] = {"totalSize": len(self.rows), "done": is_last}
        if not is_last:
            page["nextRecordsUrl"] = f"{base_path}/query/{self.id}-{stop}"
        page["records"] = [self.show(row) for row in self.rows[offset:stop]]
        return page


class CursorShelf:
    """The open cursors of an org, which shows at most so many rows on a page."""

    def __init__(self, now: Callable[[], datetime], most_rows: int = MAX_PAGE) -> None:
        self._now = now
        self._most_rows = most_rows
        self._ids = IdSequence("0r8")
        self._cursors: dict[str, Cursor] = {}

    def open(self, rows: list[Row], show: Projection, page_size: int) -> Cursor:
        """Return a new cursor; it is kept only if it has more than one page."""
        page_size = min(page_size, self._most_rows)
        cursor = Cursor(self._ids.new(), rows, show, page_size, self._now())
        if len(rows) > page_size:
            self._drop_expired()
            self._cursors[cursor.id] = cursor
        return cursor

    def find(self, locator: str) -> tuple[Cursor, int]:
        """
        Return the cursor of a locator and the offset of the page that it stands for.

        Raises:
            SalesforceError: INVALID_QUERY_LOCATOR: unknown, or older than two days.
        """
        self._drop_expired()
        match = _LOCATOR.fullmatch(locator)
        cursor = self._cursors.get(match["cursor"]) if match else None
        if match is None or cursor is None or int(match["offset"]) >= len(cursor.rows):
            raise SalesforceError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return cursor, int(match["offset"])

    def _drop_expired(self) -> None:
        limit = self._now() - LOCATOR_LIFE
        # Cursors are in order of opening.
        for cursor in list(self._cursors.values()):
            if cursor.opened_at > limit:
                break
            del self._cursors[cursor.id]
