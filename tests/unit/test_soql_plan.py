"""What queries find: comparisons by type, order, and indexes that lose nothing."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.soql.plan import plan

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Rows:
    """Contacts of an org, found by their last names."""

    def __init__(self):
        self.org = Org(now=lambda: NOW, name="Test", external_id_fields=("Key__c",))

    def add(self, last_name, at="2026-03-01T09:00:00.000+0000", **values):
        row = self.org.insert("Contact", {"LastName": last_name, **values}, at=at)
        return row["Id"]

    def find(self, rest, *, with_deleted=False):
        found = self.planned(rest).run(self.index, with_deleted=with_deleted)
        return [row["LastName"] for row in found]

    def planned(self, rest):
        soql = f"SELECT LastName FROM Contact {rest}"  # noqa: S608 - SOQL
        return plan(soql, self.org.catalog, self.org.lookup)

    @property
    def index(self):
        return self.org.table(self.org.sobject("Contact")).visible(NOW, 0)


@pytest.fixture
def rows():
    found = Rows()
    found.add("Ähm", FirstName="Zoë", Email="Zoe@Example.com", Birthdate="1990-05-01")
    found.add("Byron", FirstName="Ada", Email="ada@example.com", DoNotCall=True)
    found.add("O'Brien", FirstName=None, Title="50% _boss_", Birthdate="1815-12-10")
    return found


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("LastName = 'BYRON'", ["Byron"]),
        ("LastName != 'byron'", ["Ähm", "O'Brien"]),
        ("Email = 'ZOE@example.com'", ["Ähm"]),
        ("Email IN ('zoe@example.com', 'ADA@example.com')", ["Ähm", "Byron"]),
        ("Email NOT IN ('ada@example.com')", ["Ähm", "O'Brien"]),
        ("Email = null", ["O'Brien"]),
        ("Email = ''", ["O'Brien"]),
        ("Email != null", ["Ähm", "Byron"]),
        ("Email IN ('ada@example.com', null)", ["Byron", "O'Brien"]),
        ("FirstName < 'b'", ["Byron"]),
        ("FirstName >= 'b'", ["Ähm"]),
        (r"LastName = 'O\'Brien'", ["O'Brien"]),
        ("LastName LIKE '%R%'", ["Byron", "O'Brien"]),
        ("LastName LIKE '_yron'", ["Byron"]),
        (r"Title LIKE '%\%%'", ["O'Brien"]),
        (r"Title LIKE '%\_boss\_'", ["O'Brien"]),
        (r"Title LIKE '%\_x%'", []),
        ("DoNotCall = true", ["Byron"]),
        ("DoNotCall != true", ["Ähm", "O'Brien"]),
        ("Birthdate < 1900-01-01", ["O'Brien"]),
        ("Birthdate = 1990-05-01", ["Ähm"]),
        ("(NOT FirstName = 'Ada')", ["Ähm", "O'Brien"]),
        ("NOT (LastName = 'Byron' OR LastName = 'Ähm')", ["O'Brien"]),
        ("LastName LIKE 'b%' AND DoNotCall = true", ["Byron"]),
        ("(LastName = 'Byron' AND DoNotCall = false) OR Title != null", ["O'Brien"]),
        ("Contact.LastName = 'Byron'", ["Byron"]),
        ("CreatedDate = 2026-03-01T10:00:00+01:00 AND LastName = 'Byron'", ["Byron"]),
        ("SystemModstamp > 2026-03-01T09:00:00Z", []),
        ("SystemModstamp >= 2026-03-01T09:00:00.001Z", []),
        ("SystemModstamp < 2026-03-01T09:00:00.001Z AND LastName = 'Byron'", ["Byron"]),
    ],
)
def test_conditions(rows, condition, names):
    assert rows.find(f"WHERE {condition}") == names


def test_ids_are_found_in_both_forms_and_compare_in_order(rows):
    first = rows.add("first")
    second = rows.add("second")

    assert rows.find(f"WHERE Id = '{first[:15]}'") == ["first"]
    assert rows.find(f"WHERE Id IN ('{first}', '{second}')") == ["first", "second"]
    assert rows.find(f"WHERE Id > '{first}'") == ["second"]


@pytest.mark.parametrize(
    ("condition", "code", "part"),
    [
        ("Nope = 1", "INVALID_FIELD", "No such column 'Nope' on entity 'Contact'"),
        ("Nope.Name = 'x'", "INVALID_FIELD", "Didn't understand relationship 'Nope'"),
        ("Account.Nope = 'x'", "INVALID_FIELD", "on entity 'Account'"),
        ("LastName = 7", "INVALID_FIELD", "must be of type string and should be enclosed"),
        ("DoNotCall = 'true'", "INVALID_FIELD", "must be of type boolean and should not be"),
        ("CreatedDate > 2026-03-01", "INVALID_FIELD", "must be of type dateTime"),
        ("Birthdate > 2026-03-01T00:00:00Z", "INVALID_FIELD", "must be of type date"),
        ("Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("MailingAddress = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("Id = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: nonsense"),
        ("DoNotCall > true", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator"),
        ("Id LIKE '003%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator"),
    ],
)
def test_a_condition_that_does_not_fit_the_object_is_refused(rows, condition, code, part):
    with pytest.raises(SalesforceError) as refused:
        rows.planned(f"WHERE {condition}")

    assert (refused.value.status, refused.value.code) == (400, code)
    assert part in refused.value.message


def test_unknown_objects_repeated_fields_and_unsortable_fields_are_refused(rows):
    def code_of(soql):
        with pytest.raises(SalesforceError) as refused:
            plan(soql, rows.org.catalog, rows.org.lookup)
        return refused.value.code

    assert code_of("SELECT Id FROM Nothing") == "INVALID_TYPE"
    assert code_of("SELECT Id, id FROM Contact") == "MALFORMED_QUERY"
    assert code_of("SELECT Id FROM Contact ORDER BY Description") == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("LastName", ["Byron", "O'Brien", "Ähm"]),
        ("LastName DESC", ["Ähm", "O'Brien", "Byron"]),
        ("FirstName", ["O'Brien", "Byron", "Ähm"]),
        ("FirstName DESC", ["O'Brien", "Ähm", "Byron"]),
        ("FirstName NULLS LAST", ["Byron", "Ähm", "O'Brien"]),
        ("FirstName DESC NULLS LAST", ["Ähm", "Byron", "O'Brien"]),
        ("DoNotCall DESC, LastName", ["Byron", "O'Brien", "Ähm"]),
        ("DoNotCall, LastName DESC", ["Ähm", "O'Brien", "Byron"]),
        ("Account.Name, LastName LIMIT 1", ["Byron"]),
        ("LastName LIMIT 1 OFFSET 1", ["O'Brien"]),
        ("LastName OFFSET 2", ["Ähm"]),
        ("LastName LIMIT 0", []),
    ],
)
def test_order_and_limits(rows, order, names):
    assert rows.find(f"ORDER BY {order}") == names


def test_a_key_or_a_window_is_answered_from_an_index(rows):
    """A scan of all rows would read `rows.values()`; these never do."""

    class Unscannable(dict):
        def values(self):
            raise AssertionError("every row was read")

    index = rows.index
    index.rows = Unscannable(index.rows)
    conditions = [
        "Email = 'ada@example.com'",
        "Email IN ('ada@example.com', 'x@y.z') AND LastName = 'Byron'",
        "(Email = 'ada@example.com' OR Email = 'x@y.z') AND DoNotCall = true",
        "SystemModstamp >= 2026-03-01T09:00:00Z AND LastName = 'Byron'",
        "((SystemModstamp = 2026-03-01T09:00:00Z AND LastName = 'Byron')"
        " OR SystemModstamp > 2026-03-01T09:00:00Z) AND DoNotCall = true",
    ]

    for condition in conditions:
        found = rows.planned(f"WHERE {condition}").run(index, with_deleted=False)
        assert [row["LastName"] for row in found] == ["Byron"]


STAMPS = [f"2026-03-01T09:00:0{second}" for second in range(4)]
EMAILS = ["a@x.org", "B@x.org", "c@X.org"]
LEAVES = st.one_of(
    st.tuples(st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), st.sampled_from(STAMPS)).map(
        lambda pair: f"SystemModstamp {pair[0]} {pair[1]}Z"
    ),
    st.tuples(st.sampled_from(["=", "!="]), st.sampled_from(EMAILS)).map(
        lambda pair: f"Email {pair[0]} '{pair[1]}'"
    ),
    st.lists(st.sampled_from([f"'{email}'" for email in EMAILS] + ["null"]), min_size=1).map(
        lambda values: f"Email IN ({', '.join(values)})"
    ),
    st.sampled_from(["DoNotCall = true", "Key__c = 'k1'", "Key__c != null"]),
)


def joined(word, inner):
    return st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({word.join(parts)})")


# Alternating levels, and NOT now and then: that is where narrowing can go wrong.
MAYBE_NOT = st.one_of(LEAVES, LEAVES, LEAVES, LEAVES.map(lambda leaf: f"(NOT {leaf})"))
INNER = st.one_of(MAYBE_NOT, joined(" AND ", MAYBE_NOT), joined(" OR ", MAYBE_NOT))
CONDITIONS = st.one_of(joined(" OR ", INNER), joined(" AND ", INNER))


@pytest.fixture(scope="module")
def crowd():
    found = Rows()
    for number in range(60):
        found.add(
            f"n{number:02d}",
            at=f"{STAMPS[number % 4]}.000+0000",
            Email=[*EMAILS, None][number // 4 % 4],
            DoNotCall=number % 3 == 0,
            Key__c=f"K{number}" if number % 5 == 1 else None,
        )
    return found


@settings(max_examples=400, deadline=None)
@given(condition=CONDITIONS)
def test_indexes_find_exactly_what_a_scan_finds(crowd, condition):
    planned = crowd.planned(f"WHERE {condition}")

    found = planned.run(crowd.index, with_deleted=False)

    scanned = [row for row in crowd.index.rows.values() if planned.predicate(row)]
    assert found == sorted(scanned, key=lambda row: row["Id"])
