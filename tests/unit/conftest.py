"""What more than one file of these tests works with."""

import pytest

from dovetail.errors import TransientError


class Agency:
    """Books and cancels, keeping a list of what it did; `broken` has what cannot be cancelled."""

    def __init__(self):
        self.told = []
        self.broken = set()

    async def book(self, what: str) -> dict[str, str]:
        self.told.append(f"book {what}")
        return {"booked": what}

    async def cancel(self, booking: dict[str, str]) -> None:
        what = booking["booked"]
        if what in self.broken:
            raise TransientError(f"cannot cancel {what}")
        self.told.append(f"cancel {what}")


@pytest.fixture
def agency():
    return Agency()
