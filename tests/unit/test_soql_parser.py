"""What SOQL means to the parser, and how it refuses what it is not."""

import pytest

from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.soql.parser import parse
from dovetail.simulators.salesforce.soql.syntax import (
    Both,
    Comparison,
    Either,
    Literal,
    LiteralKind,
    Negation,
)


def where(condition):
    return parse(f"SELECT Id FROM Contact WHERE {condition}").where  # noqa: S608 - SOQL


def literal(text):
    (value,) = where(f"X = {text}").values
    return value


def test_a_whole_query_is_read():
    query = parse(
        "select Id, Account.Name from Contact where Name = 'x' "
        "order by Name desc nulls last, Id limit 10 offset 20"
    )

    assert [name.text for name in query.fields] == ["Id", "Account.Name"]
    assert query.object_name.text == "Contact"
    assert [(o.field.text, o.descending, o.nulls_last) for o in query.order_by] == [
        ("Name", True, True),
        ("Id", False, False),
    ]
    assert (query.limit, query.offset) == (10, 20)


def test_a_count_has_no_fields():
    assert parse("SELECT COUNT() FROM Contact").fields == ()


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("'x'", LiteralKind.STRING, "x"),
        (r"'O\'Brien'", LiteralKind.STRING, "O'Brien"),
        (r"'a\\b'", LiteralKind.STRING, r"a\b"),
        (r"'a\nb'", LiteralKind.STRING, "a\nb"),
        (r"'\"x\"'", LiteralKind.STRING, '"x"'),
        ("'日本 '", LiteralKind.STRING, "日本 "),
        ("7", LiteralKind.NUMBER, 7),
        ("-1.5", LiteralKind.NUMBER, -1.5),
        ("TRUE", LiteralKind.BOOLEAN, True),
        ("false", LiteralKind.BOOLEAN, False),
        ("null", LiteralKind.NULL, None),
        ("2026-03-01", LiteralKind.DATE, "2026-03-01"),
        ("2026-03-01T15:00:00Z", LiteralKind.DATETIME, "2026-03-01T15:00:00.000+0000"),
        ("2026-03-01T15:00:00.900Z", LiteralKind.DATETIME, "2026-03-01T15:00:00.900+0000"),
        ("2026-03-01T15:00:00+02:00", LiteralKind.DATETIME, "2026-03-01T13:00:00.000+0000"),
        ("2026-03-01T15:00:00.000+0000", LiteralKind.DATETIME, "2026-03-01T15:00:00.000+0000"),
        ("2026-03-01T15:00:00-05:30", LiteralKind.DATETIME, "2026-03-01T20:30:00.000+0000"),
    ],
)
def test_values(text, kind, value):
    assert literal(text) == Literal(kind, value)


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
def test_comparisons(operator):
    assert where(f"X {operator} 1").operator == operator


def test_the_other_comparisons():
    assert where("X <> 1").operator == "!="
    assert where("X LIKE 'a%'").operator == "like"
    assert [value.value for value in where("X IN ('a', 'b')").values] == ["a", "b"]
    assert where("X NOT IN ('a')").operator == "notin"


def test_logic_nests_with_parentheses():
    condition = where("(A = 1 AND B = 2 AND C = 3) OR (NOT D = 4)")

    both, negation = condition.parts
    assert isinstance(condition, Either)
    assert isinstance(both, Both)
    assert len(both.parts) == 3
    assert isinstance(negation, Negation)
    assert isinstance(negation.part, Comparison)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DELETE FROM Contact",
        "SELECT FROM Contact",
        "SELECT * FROM Contact",
        "SELECT Id, FROM Contact",
        "SELECT Id Contact",
        "SELECT Id FROM",
        "SELECT Id FROM Contact WHERE",
        "SELECT Id FROM Contact WHERE Name",
        "SELECT Id FROM Contact WHERE Name = ",
        "SELECT Id FROM Contact WHERE Name = x",
        "SELECT Id FROM Contact WHERE Name = 'x",
        r"SELECT Id FROM Contact WHERE Name = '\q'",
        'SELECT Id FROM Contact WHERE Name = "x"',
        "SELECT Id FROM Contact WHERE Name IN ()",
        "SELECT Id FROM Contact WHERE Name IN 'x'",
        "SELECT Id FROM Contact WHERE (Name = 'x'",
        "SELECT Id FROM Contact WHERE Name = 'x')",
        "SELECT Id FROM Contact WHERE A = 1 AND B = 2 OR C = 3",
        "SELECT Id FROM Contact WHERE A = 1 OR B = 2 AND C = 3",
        "SELECT Id FROM Contact WHERE A = 1 AND NOT B = 2",
        "SELECT Id FROM Contact WHERE CreatedDate > 2026-03-01T09:00:00",
        "SELECT Id FROM Contact WHERE CreatedDate > 2026-03-01T09:00:00 00:00",
        "SELECT Id FROM Contact WHERE CreatedDate > 2026-02-30",
        "SELECT Id FROM Contact WHERE CreatedDate > 2026-13-01T00:00:00Z",
        "SELECT Id FROM Contact WHERE CreatedDate > 0001-01-01T00:00:00+14:00",
        "SELECT Id FROM Contact WHERE X = " + "9" * 5000,
        "SELECT Id FROM Contact LIMIT " + "9" * 5000,
        "SELECT Id FROM Contact LIMIT x",
        "SELECT Id FROM Contact LIMIT -1",
        "SELECT Id FROM Contact ORDER Name",
        "SELECT Id FROM Contact LIMIT 1 ORDER BY Id",
        "SELECT Id FROM Contact ;",
        "SELECT Id FROM Contact WHERE " + "(" * 5000 + "A = 1",
    ],
)
def test_what_is_not_soql_is_a_malformed_query(text):
    with pytest.raises(SalesforceError) as refused:
        parse(text)

    assert (refused.value.status, refused.value.code) == (400, "MALFORMED_QUERY")


def test_the_message_shows_the_place_with_a_caret():
    with pytest.raises(SalesforceError) as refused:
        parse("SELECT Id\nFROM Contact WHERE A = 1 AND B = 2 OR C = 3")

    shown, caret, place, message = refused.value.message.strip("\n").split("\n")
    assert shown[len(caret) - 1 :].startswith("OR C = 3")
    assert place == "ERROR at Row:2:Column:36"
    assert message == "unexpected token: 'OR'"


def test_an_offset_beyond_2000_has_its_own_code():
    parse("SELECT Id FROM Contact OFFSET 2000")
    with pytest.raises(SalesforceError) as refused:
        parse("SELECT Id FROM Contact OFFSET 2001")

    assert refused.value.code == "NUMBER_OUTSIDE_VALID_RANGE"


def test_a_query_may_have_100000_characters_and_not_one_more():
    longest = "SELECT Id FROM Contact".ljust(100_000)

    parse(longest)
    with pytest.raises(SalesforceError) as refused:
        parse(longest + " ")

    assert refused.value.code == "QUERY_TOO_COMPLICATED"
