"""What a platform refuses, before the simulator says it in the platform's own words."""

from __future__ import annotations

from typing import Any


class RefusedError(Exception):
    """
    A call or an edit that the platform refuses.

    Args:
        message: What is wrong, in the platform's words where they are known.
        status: The HTTP status.
        code: The platform's own code or category.
        field: The platform's field that is to blame.
        facts: Whatever else the platform's error body holds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        field: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.field = field
        self.facts = facts
