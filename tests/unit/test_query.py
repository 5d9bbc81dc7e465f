"""Queries: what they accept, and that SQL and Python give the same answer."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.core.clock import SystemClock
from dovetail.core.ids import SystemIds
from dovetail.core.ports import InlineExecutor, Ports
from dovetail.entities import Contact, Deal, Entity, IntegrationMapping, Order, SyncOperation
from dovetail.errors import UsageError
from dovetail.runtime import record_table as table
from dovetail.runtime.query import build_query
from dovetail.runtime.query_cursor import write_cursor
from dovetail.runtime.query_match import matches, place_of, sort_records
from dovetail.runtime.query_sql import select_statement
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.runtime.store.sqlite_decimal import decimal_key
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.loop import run

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


async def with_records(made: list[Entity], work: Any) -> Any:
    clock = SystemClock()
    store = SqliteStore(
        ":memory:",
        Ports(
            clock=clock,
            ids=SystemIds(clock),
            rng=random.Random(1),
            transport=AsgiTransport(),
            new_executor=lambda name: InlineExecutor(),
        ),
    )
    await store.open()
    await store.migrate(metadata.create_all)
    try:
        await store.write(lambda tx: table.insert_records(tx, made, NOW))
        return await store.read(work)
    finally:
        await store.close()


class Thing(Entity):
    """An entity with a field of every kind."""

    name: str | None = None
    size: int | None = None
    weight: float | None = None
    price: Decimal | None = None
    active: bool | None = None
    seen: datetime | None = None
    born: date | None = None
    tags: list[str] | None = None
    numbers: list[int] | None = None
    free: Any = None


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5.5))])
BASE = datetime(2026, 1, 1, tzinfo=UTC)
# Few distinct values, so that ties, hits and near misses are common.
TEXTS = st.sampled_from(["", "a", "A", "ab", "b", "ä", "Ω", "漢", "🙂", "a'b\"c", "%", "10", "9"])
INTS = st.sampled_from([-(2**63), -10, -1, 0, 1, 2, 9, 10, 2**53, 2**53 + 1, 2**63 - 1])
FLOATS = st.sampled_from([-1.5, 0.0, 0.5, 1.0, 2.0, 10.0, 9007199254740992.0, 1e20])
DECIMALS = st.one_of(
    st.sampled_from(["0", "-0", "1", "1.0", "10", "9", "-1.2", "-1.23", "-12", "0.1", "1E+3"]).map(
        Decimal
    ),
    # The last digits of these are lost in a float.
    st.sampled_from(["1234567890123456.01", "1234567890123456.02", "-1234567890123456.01"]).map(
        Decimal
    ),
    st.decimals(allow_nan=False, allow_infinity=False),
)
MOMENTS = st.builds(
    lambda micros, zone: (BASE + timedelta(microseconds=micros)).astimezone(zone),
    st.sampled_from([0, 1, 500_000, 1_000_000, 60_000_000, -1]),
    ZONES,
)
DATES = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 1, 4))
SCALARS = TEXTS | INTS | FLOATS | st.booleans()
FREE = st.none() | SCALARS | st.lists(SCALARS, max_size=2) | st.just({"a": 1}) | DECIMALS.map(str)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXTS,
    "size": INTS,
    "weight": FLOATS,
    "price": DECIMALS,
    "active": st.booleans(),
    "seen": MOMENTS,
    "born": DATES,
    "id": st.sampled_from([str(n) for n in range(6)]),
    "version": st.integers(0, 2),
    "created_at": MOMENTS,
    "updated_at": MOMENTS,
    "custom.x": SCALARS | DECIMALS | MOMENTS,
    "custom.größe: 1.a": SCALARS,
    "free": SCALARS | DECIMALS,
}
CONTAINED = {
    "name": TEXTS,
    "tags": TEXTS,
    "numbers": INTS,
    "custom.x": SCALARS,
    "free": SCALARS,
}
RANGED = [name for name in VALUES if name != "active"]
NULLABLE = [*VALUES, "tags", "numbers"]

THINGS = st.lists(
    st.builds(
        Thing,
        id=st.just(""),
        business_id=st.just("acme"),
        name=st.none() | TEXTS,
        size=st.none() | INTS,
        weight=st.none() | FLOATS,
        price=st.none() | DECIMALS,
        active=st.none() | st.booleans(),
        seen=st.none() | MOMENTS,
        born=st.none() | DATES,
        tags=st.none() | st.lists(TEXTS, max_size=3),
        numbers=st.none() | st.lists(INTS, max_size=3),
        free=FREE,
        custom=st.fixed_dictionaries({}, optional={"x": FREE, "größe: 1.a": FREE}),
        created_at=MOMENTS,
        updated_at=MOMENTS,
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    operator = draw(
        st.sampled_from(
            ["eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "contains", "is_null"]
        )
    )
    if operator == "contains":
        name = draw(st.sampled_from(sorted(CONTAINED)))
        return {name: {"contains": draw(CONTAINED[name])}}
    if operator == "is_null":
        return {draw(st.sampled_from(NULLABLE)): {"is_null": draw(st.booleans())}}
    if operator in {"gt", "gte", "lt", "lte"}:
        name = draw(st.sampled_from(RANGED))
        value = draw(VALUES[name].filter(lambda one: not isinstance(one, bool)))
        return {name: {operator: value}}
    name = draw(st.sampled_from(sorted(VALUES)))
    if operator in {"in", "not_in"}:
        return {name: {operator: draw(st.lists(st.none() | VALUES[name], max_size=3))}}
    value = draw(st.none() | VALUES[name])
    return {name: value if operator == "eq" else {"ne": value}}


@settings(max_examples=150, deadline=None)
@given(
    things=THINGS,
    wheres=st.lists(st.lists(conditions(), max_size=2), min_size=1, max_size=6),
    order=st.lists(
        st.sampled_from([*VALUES, *(f"-{name}" for name in VALUES)]), max_size=2, unique=True
    ),
    size=st.integers(1, 3),
)
def test_sql_and_python_agree(things, wheres, order, size):
    for number, thing in enumerate(things):
        thing.id = str(number)

    def check(tx: Tx) -> None:
        stored = list(table.load_records(tx, Thing, "acme", [one.id for one in things]).values())
        for where in wheres:
            merged = {name: value for one in where for name, value in one.items()}
            query = build_query(Thing, merged, order_by=order)
            expected = sort_records(query, [one for one in stored if matches(query, one)])
            found = table.select_records(tx, Thing, "acme", merged, order_by=order)
            assert [one.id for one in found] == [one.id for one in expected], merged
            assert table.count_records(tx, Thing, "acme", merged) == len(expected)
            assert [one.id for one in _pages(tx, merged, order, size)] == [
                one.id for one in expected
            ]

    run(with_records(things, check))


def _pages(tx: Tx, where: dict[str, Any], order: list[str], size: int) -> Iterator[Entity]:
    after = None
    while True:
        page = table.select_records(
            tx, Thing, "acme", where, order_by=order, limit=size, after=after
        )
        yield from page
        if len(page) < size:
            return
        query = build_query(Thing, where, order_by=order)
        after = write_cursor(query, place_of(query, page[-1]))


@given(one=DECIMALS, other=DECIMALS)
def test_decimal_keys_sort_as_the_numbers_do(one, other):
    key, other_key = decimal_key(one), decimal_key(str(other))
    assert key is not None
    assert other_key is not None
    assert (key < other_key, key == other_key) == (one < other, one == other)


def test_what_is_no_number_has_no_decimal_key():
    assert [decimal_key(value) for value in ("x", "", None, "NaN", "Infinity", b"1")] == [None] * 6


CONTACTS: list[Entity] = [
    Contact(id="1", business_id="acme", email="ada@x.com", tags=["vip"], custom={"score": 7}),
    Contact(id="2", business_id="acme", email="bob@y.com", total_spent=Decimal("10.0")),
    Contact(id="3", business_id="acme", total_spent=Decimal(9)),
    Contact(id="4", business_id="other", email="ada@x.com"),
]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"email": "ada@x.com"}, ["1"]),
        ({"email": None}, ["3"]),
        ({"email": {"ne": "ada@x.com"}}, ["2", "3"]),
        ({"email": {"not_in": ["ada@x.com", None]}}, ["2"]),
        ({"email": {"contains": "@y."}}, ["2"]),
        ({"email": {"contains": "@Y."}}, []),
        ({"tags": {"contains": "vip"}}, ["1"]),
        ({"tags": {"contains": "vi"}}, []),
        ({"total_spent": {"gt": "9.5"}}, ["2"]),
        ({"total_spent": 10}, ["2"]),
        ({"total_spent": {"gte": 9, "lt": 10}}, ["3"]),
        ({"custom.score": {"gte": 7}}, ["1"]),
        ({"custom.score": "7"}, []),
        ({"created_at": {"gt": NOW}}, []),
        ({"created_at": "2026-03-01T10:00:00+01:00"}, ["1", "2", "3"]),
        ({"id": {"in": []}}, []),
        ({"id": {"not_in": []}}, ["1", "2", "3"]),
        ({}, ["1", "2", "3"]),
    ],
)
async def test_conditions(where, expected):
    def work(tx: Tx) -> list[str]:
        return [one.id for one in table.select_records(tx, Contact, "acme", where)]

    assert await with_records(CONTACTS, work) == expected


async def test_without_a_tenant_every_tenant_is_searched():
    def work(tx: Tx) -> list[str]:
        where = {"email": "ada@x.com"}
        return [one.id for one in table.select_records(tx, Contact, None, where)]

    assert await with_records(CONTACTS, work) == ["1", "4"]


async def test_null_comes_first_and_last_when_descending():
    def work(tx: Tx) -> Any:
        return [
            [one.id for one in table.select_records(tx, Contact, "acme", order_by=order)]
            for order in ("total_spent", "-total_spent", ["email", "id"])
        ]

    assert await with_records(CONTACTS, work) == [["1", "3", "2"], ["2", "3", "1"], ["3", "1", "2"]]


async def test_a_cursor_stays_in_place_when_records_are_added():
    def work(tx: Tx) -> Any:
        query = build_query(Deal, order_by="name")
        first = table.select_records(tx, Deal, "acme", order_by="name", limit=2)
        after = write_cursor(query, place_of(query, first[-1]))
        for number, name in ((90, "a"), (91, "b"), (92, "c"), (1, "b")):
            table.insert_record(tx, Deal(id=f"{number}", business_id="acme", name=name), NOW)
        rest = table.select_records(tx, Deal, "acme", order_by="name", after=after)
        return [one.id for one in first], [one.id for one in rest]

    deals: list[Entity] = [
        Deal(id=f"{number}", business_id="acme", name=name)
        for number, name in ((50, "a"), (51, "b"), (52, "d"))
    ]
    assert await with_records(deals, work) == (["50", "51"], ["91", "92", "52"])


@pytest.mark.parametrize(
    ("entity", "where", "order"),
    [
        (Contact, {"email": "ada@x.com"}, None),
        (Contact, {"email": "ada@x.com", "first_name": "Ada"}, "-created_at"),
        (Contact, {"email": {"gte": "a", "lt": "b"}}, None),
        (
            IntegrationMapping,
            {"integration_id": "i", "platform": "hubspot", "external_id": "7"},
            None,
        ),
        (Order, {"external_id": {"in": ["1", "2"]}}, None),
        (Order, {"external_id": {"in": ["1", "2"]}}, "-created_at"),
    ],
)
async def test_a_declared_index_is_used(entity, where, order):
    def work(tx: Tx) -> str:
        table.ensure_indexes(tx, [entity])
        statement = select_statement(tx, build_query(entity, where, order_by=order), "acme")
        compiled = statement.compile(
            dialect=tx._connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        raw = tx._connection.connection.cursor()
        raw.execute(f"EXPLAIN QUERY PLAN {compiled}", tuple(compiled.params.values()))
        return " ".join(str(row) for row in raw.fetchall())

    plan = await with_records([], work)
    assert "USING INDEX ix_records_" in plan, plan


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"emial": "x"}, "Contact has no field 'emial'; did you mean 'email'"),
        ({"zzz": "x"}, r"It has first_name, .*custom=\{\.\.\.\}"),
        ({'custom.a"b': "x"}, "may not be empty or hold quotes"),
        ({"email": {"contain": "x"}}, "unknown operator 'contain'; did you mean 'contains'"),
        ({"email": {}}, "dict of operators is empty"),
        ({"email": 5}, r"Contact.email was given int 5: Expected `str \| null`, got `int`"),
        ({"email": {"in": "abc"}}, "'in' needs a list"),
        ({"email": {"gt": None}}, "use is_null"),
        ({"email": {"is_null": 1}}, "needs True or False"),
        ({"email": "\ud800"}, "surrogate"),
        ({"total_spent": 1.5}, r'is not exact. Write Decimal\("1.5"\)'),
        ({"total_spent": True}, "Contact.total_spent was given bool True"),
        ({"total_spent": {"contains": "1"}}, "is a decimal: 'contains' is not for it"),
        ({"last_purchase": datetime(2026, 1, 1)}, "has no time zone"),  # noqa: DTZ001
        ({"last_purchase": date(2026, 1, 1)}, "Expected `datetime.*`, got `date`"),
        ({"version": 2**64}, "64 bits"),
        ({"custom.x": object()}, "cannot be compared with object"),
        ({"custom.x": [1]}, "cannot be compared with list"),
        ({"custom.x": {"gt": True}}, "cannot be asked of True"),
        ({"tags": ["vip"]}, "is a list and cannot be compared.*contains"),
        ({"tags": {"contains": 5}}, "Contact.tags was given int 5"),
        ([("email", "x")], "where must be a dict"),
    ],
)
def test_a_condition_that_makes_no_sense_says_what_would(where, said):
    with pytest.raises(UsageError, match=said):
        build_query(Contact, where)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit": 0}, "at least 1"),
        ({"limit": True}, "at least 1"),
        ({"order_by": "-emial"}, "did you mean 'email'"),
        ({"order_by": "tags"}, "no order to sort by"),
        ({"after": "nonsense"}, "not a cursor"),
        ({"after": 5}, "not a cursor"),
        ({"after": write_cursor(build_query(Deal), ("1", "acme"))}, "not a cursor"),
        ({"after": write_cursor(build_query(Contact, order_by="-id"), ("1", "a"))}, "not a cursor"),
        ({"after": write_cursor(build_query(Contact), (1, "acme"))}, "not a cursor"),
    ],
)
def test_an_order_or_place_that_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        build_query(Contact, **arguments)


def test_an_untyped_field_is_asked_by_the_type_of_the_value():
    query = build_query(SyncOperation, {"result": {"gt": 5}})

    assert matches(query, SyncOperation(result=6))
    assert not matches(query, SyncOperation(result="6"))
    assert not matches(query, SyncOperation(result=True))
