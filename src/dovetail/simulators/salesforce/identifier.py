"""
Salesforce ids: 15 case-sensitive characters, and the same with three that carry the case.

The suffix has one letter per block of five characters; its bits say which of them are capitals,
so that a system that ignores case can still tell two ids apart.
"""

from __future__ import annotations

import re

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


def case_suffix(id15: str) -> str:
    """Return the three characters that complete a 15-character id."""
    letters = []
    for start in (0, 5, 10):
        block = id15[start : start + 5]
        bits = sum(1 << place for place, letter in enumerate(block) if "A" <= letter <= "Z")
        letters.append(_SUFFIX[bits])
    return "".join(letters)


def to_id18(text: str) -> str | None:
    """
    Return the 18-character form of an id, or None when *text* cannot be one.

    An 18-character id is accepted in any case: its suffix restores the capitals.
    """
    if not _SHAPE.fullmatch(text):
        return None
    if len(text) == 15:
        return text + case_suffix(text)
    return _restore_case(text)


def _restore_case(id18: str) -> str | None:
    restored = []
    for block_number, suffix_letter in enumerate(id18[15:].upper()):
        bits = _SUFFIX.find(suffix_letter)
        if bits < 0:
            return None
        block = id18[block_number * 5 : block_number * 5 + 5]
        for place, letter in enumerate(block):
            restored.append(letter.upper() if bits >> place & 1 else letter.lower())
    id15 = "".join(restored)
    return id15 + case_suffix(id15) if case_suffix(id15) == id18[15:].upper() else None


class IdSequence:
    """Hands out the ids of one kind of record, ascending as the platform's do."""

    def __init__(self, key_prefix: str, *, pod: str = "5e", start: int = 916_132_832) -> None:
        self._head = f"{key_prefix}{pod}0"
        self._next = start

    def new(self) -> str:
        """Return the next 18-character id."""
        number = self._next
        self._next += 1
        digits = []
        for _ in range(9):
            number, digit = divmod(number, 62)
            digits.append(_BASE62[digit])
        id15 = self._head + "".join(reversed(digits))
        return id15 + case_suffix(id15)
