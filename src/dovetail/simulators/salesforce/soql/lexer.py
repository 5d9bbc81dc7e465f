"""Splits a query into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dovetail.simulators.salesforce.refusal import SalesforceError

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?(?:\d{1,40}(?:\.\d{1,40})?|\.\d{1,40})(?!\d))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|(?P<symbol>!=|<>|<=|>=|[=<>(),])",
    re.DOTALL | re.ASCII,
)
_CONTEXT = 30


@dataclass(frozen=True, slots=True)
class Token:
    """A word, symbol or value; `at` is its offset in the text."""

    kind: str
    text: str
    at: int


END = "end"


def tokens_of(text: str) -> list[Token]:
    """
    Return the tokens of *text*, closed by one of kind `END`.

    Raises:
        SalesforceError: A character fits nowhere, or a string does not end.
    """
    found = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _no_alternative(text, position)
        kind = "datetime" if match["datetime"] else match.lastgroup
        if kind == "datetime" and match["zone"] is None:
            # The classic: a "+" of the offset that was not URL-encoded arrives as a space.
            raise _no_alternative(text, match.end())
        if kind != "space":
            found.append(Token(kind, match[0], position))
        position = match.end()
    found.append(Token(END, "<EOF>", len(text)))
    return found


def malformed(text: str, at: int, message: str) -> SalesforceError:
    """Return the 400 of a query that is not SOQL, with the place as the platform shows it."""
    return pointed(text, at, "MALFORMED_QUERY", message)


def pointed(text: str, at: int, code: str, message: str) -> SalesforceError:
    """Return a 400 whose message shows the place in the query with a caret."""
    start = max(at - _CONTEXT, 0)
    shown = re.sub(r"\s", " ", text[start : at + _CONTEXT])
    caret = " " * (at - start) + "^"
    row = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return SalesforceError(
        400, code, f"\n{shown}\n{caret}\nERROR at Row:{row}:Column:{column}\n{message}"
    )


def _no_alternative(text: str, at: int) -> SalesforceError:
    character = text[at] if at < len(text) else "<EOF>"
    return malformed(text, at, f"line 1:{at} no viable alternative at character '{character}'")
