"""What was asked of a simulator: counted by method, path template and status."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime
from typing import Any

_KEPT = 1000


class CallLog:
    """Counts every call of the platform's own API; control endpoints are not calls."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._last: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def add(self, *, method: str, template: str, path: str, status: int, at: datetime) -> None:
        """Count one call; status 0 means that the connection was cut."""
        self.total += 1
        self._counts[method, template, status] += 1
        self._last.append({"at": at.isoformat(), "method": method, "path": path, "status": status})

    def count(self, *, method: str | None = None, path: str | None = None) -> int:
        """Return how many calls had this method and path template."""
        return sum(
            number
            for (its_method, template, _), number in self._counts.items()
            if method in (None, its_method) and path in (None, template)
        )

    def to_record(self, *, detail: bool = False) -> dict[str, Any]:
        """Return the counts as the control endpoint shows them, most frequent first."""
        shown: dict[str, Any] = {
            "total": self.total,
            "calls": [
                {"method": method, "path": template, "status": status, "count": number}
                for (method, template, status), number in self._counts.most_common()
            ],
        }
        if detail:
            shown["last"] = list(self._last)
        return shown
