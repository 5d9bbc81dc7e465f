"""
Recursive descent over SOQL.

::

    query     = SELECT (COUNT() | field {, field}) FROM name [WHERE condition]
                [ORDER BY order {, order}] [LIMIT n] [OFFSET n]
    field     = name | ( query )
    condition = simple {AND simple} | simple {OR simple} | NOT simple
    simple    = ( condition ) | name operator value

As on the platform, AND and OR do not mix without parentheses, nor does NOT after them.
"""

from __future__ import annotations

import re

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.soql.lexer import END, Token, malformed, tokens_of
from dovetail.simulators.salesforce.soql.syntax import (
    Both,
    Comparison,
    Condition,
    Either,
    Literal,
    LiteralKind,
    Name,
    Negation,
    Ordering,
    Query,
)

MAX_LENGTH = 100_000
MAX_OFFSET = 2000

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_ESCAPABLE = frozenset("nrtbfNRTBF'\"\\_%")
_COMPARERS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_MAX_DEPTH = 60
_LIKE_WILDCARDS = frozenset("_%")


def parse(text: str) -> Query:
    """
    Return the query that *text* says.

    Raises:
        SalesforceError: MALFORMED_QUERY, with the place.
    """
    if len(text) > MAX_LENGTH:
        raise SalesforceError(
            400, "QUERY_TOO_COMPLICATED", f"SOQL statements cannot be longer than {MAX_LENGTH}"
        )
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._position = 0
        self._depth = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._position]

    def query(self) -> Query:
        """Return the whole query."""
        found = self._select(is_inner=False)
        if self._token.kind != END:
            raise self._unexpected()
        return found

    def _select(self, *, is_inner: bool) -> Query:
        self._expect_word("select")
        fields, children = self._fields(is_inner=is_inner)
        self._expect_word("from")
        object_name = self._name()
        where = self._condition() if self._take_word("where") else None
        order_by = self._orderings()
        limit = self._count() if self._take_word("limit") else None
        offset = self._offset() if self._take_word("offset") else 0
        return Query(self._text, fields, object_name, where, order_by, limit, offset, children)

    def _fields(self, *, is_inner: bool) -> tuple[tuple[Name, ...], tuple[Query, ...]]:
        names: list[Name] = []
        children: list[Query] = []
        while True:
            if not is_inner and self._take_symbol("("):
                children.append(self._select(is_inner=True))
                self._expect_symbol(")")
            else:
                names.append(self._name())
                if (
                    not is_inner
                    and len(names) == 1
                    and not children
                    and self._takes_count(names[0])
                ):
                    return (), ()
            if not self._take_symbol(","):
                return tuple(names), tuple(children)

    def _takes_count(self, name: Name) -> bool:
        if name.text.lower() != "count" or not self._take_symbol("("):
            return False
        self._expect_symbol(")")
        return True

    def _condition(self) -> Condition:
        # Bounded, because a request of 100,000 "(" must not exhaust Python's own stack.
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._unexpected()
        try:
            if self._take_word("not"):
                return Negation(self._simple())
            first = self._simple()
            if self._is_word("and"):
                return Both((first, *self._more("and")))
            if self._is_word("or"):
                return Either((first, *self._more("or")))
            return first
        finally:
            self._depth -= 1

    def _more(self, joiner: str) -> list[Condition]:
        parts = []
        while self._take_word(joiner):
            parts.append(self._simple())
        return parts

    def _simple(self) -> Condition:
        if self._take_symbol("("):
            inner = self._condition()
            self._expect_symbol(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        if self._is_word("not"):
            raise self._unexpected()
        field = self._name()
        token = self._token
        if token.kind == "symbol" and token.text in _COMPARERS:
            self._position += 1
            return Comparison(field, _COMPARERS[token.text], (self._literal(),))
        if self._take_word("like"):
            return Comparison(field, "like", (self._literal(for_like=True),))
        if self._take_word("in"):
            return Comparison(field, "in", self._list())
        if self._take_word("not"):
            self._expect_word("in")
            return Comparison(field, "notin", self._list())
        raise self._unexpected()

    def _list(self) -> tuple[Literal, ...]:
        self._expect_symbol("(")
        values = [self._literal()]
        while self._take_symbol(","):
            values.append(self._literal())
        self._expect_symbol(")")
        return tuple(values)

    def _literal(self, *, for_like: bool = False) -> Literal:
        token = self._token
        self._position += 1
        if token.kind == "string":
            return Literal(LiteralKind.STRING, self._unescape(token, for_like=for_like))
        if token.kind == "number":
            is_whole = "." not in token.text
            value = int(token.text) if is_whole else float(token.text)
            return Literal(LiteralKind.NUMBER, value)
        if token.kind == "datetime":
            instant = moment.parse_datetime(token.text)
            if instant is not None:
                return Literal(LiteralKind.DATETIME, moment.to_exact_text(instant))
        if token.kind == "date":
            day = moment.parse_date(token.text)
            if day is not None:
                return Literal(LiteralKind.DATE, day)
        word = token.text.lower()
        if token.kind == "word" and word in {"true", "false"}:
            return Literal(LiteralKind.BOOLEAN, word == "true")
        if token.kind == "word" and word == "null":
            return Literal(LiteralKind.NULL, None)
        self._position -= 1
        raise self._unexpected()

    def _unescape(self, token: Token, *, for_like: bool) -> str:
        def replaced(match: re.Match[str]) -> str:
            letter = match[1]
            if letter not in _ESCAPABLE:
                at = token.at + match.start()
                raise malformed(self._text, at, f"Illegal character sequence '\\{letter}'")
            if for_like and letter in _LIKE_WILDCARDS:
                return "\\" + letter
            if for_like and letter == "\\":
                return "\\\\"
            return _ESCAPES.get(letter.lower(), letter)

        return re.sub(r"\\(.)", replaced, token.text[1:-1], flags=re.DOTALL)

    def _orderings(self) -> tuple[Ordering, ...]:
        if not self._take_word("order"):
            return ()
        self._expect_word("by")
        orderings = [self._ordering()]
        while self._take_symbol(","):
            orderings.append(self._ordering())
        return tuple(orderings)

    def _ordering(self) -> Ordering:
        field = self._name()
        descending = self._take_word("desc")
        if not descending:
            self._take_word("asc")
        nulls_last = False
        if self._take_word("nulls"):
            nulls_last = self._take_word("last")
            if not nulls_last:
                self._expect_word("first")
        return Ordering(field, descending, nulls_last)

    def _count(self) -> int:
        token = self._token
        if token.kind != "number" or not token.text.isdigit():
            raise self._unexpected()
        self._position += 1
        return int(token.text)

    def _offset(self) -> int:
        offset = self._count()
        if offset > MAX_OFFSET:
            raise SalesforceError(
                400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            )
        return offset

    def _name(self) -> Name:
        token = self._token
        if token.kind != "word" or token.text.lower() in _RESERVED:
            raise self._unexpected()
        self._position += 1
        return Name(token.text, token.at)

    def _is_word(self, word: str) -> bool:
        return self._token.kind == "word" and self._token.text.lower() == word

    def _take_word(self, word: str) -> bool:
        taken = self._is_word(word)
        self._position += taken
        return taken

    def _expect_word(self, word: str) -> None:
        if not self._take_word(word):
            raise self._unexpected()

    def _take_symbol(self, symbol: str) -> bool:
        taken = self._token.kind == "symbol" and self._token.text == symbol
        self._position += taken
        return taken

    def _expect_symbol(self, symbol: str) -> None:
        if not self._take_symbol(symbol):
            raise self._unexpected()

    def _unexpected(self) -> SalesforceError:
        token = self._token
        if token.kind == END:
            return malformed(self._text, token.at, "unexpected token: <EOF>")
        return malformed(self._text, token.at, f"unexpected token: '{token.text}'")


_RESERVED = frozenset(
    {"and", "asc", "desc", "from", "in", "like", "limit", "not", "null", "or", "order", "select"}
    | {"where"}
)
