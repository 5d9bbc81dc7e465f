"""Records in the store read back as they were written, and change by the rules."""

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dovetail.entities
from dovetail.core.clock import SystemClock
from dovetail.core.ids import SystemIds
from dovetail.core.ports import InlineExecutor, Ports
from dovetail.entities import Company, Contact, Deal, Entity, InventoryLevel, Order
from dovetail.errors import (
    DeclarationError,
    RecordConflictError,
    RecordMissingError,
    UsageError,
    VersionConflictError,
)
from dovetail.model.entity import fields_of
from dovetail.runtime import record_table as table
from dovetail.runtime.record_document import encode_data
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import metadata, records
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.loop import run

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)

ENTITIES = [
    value
    for value in vars(dovetail.entities).values()
    if isinstance(value, type) and issubclass(value, Entity) and value is not Entity
]


def make_store() -> SqliteStore:
    clock = SystemClock()
    ports = Ports(
        clock=clock,
        ids=SystemIds(clock),
        rng=random.Random(1),
        transport=AsgiTransport(),
        new_executor=lambda name: InlineExecutor(),
    )
    return SqliteStore(":memory:", ports)


async def in_store(*works: Any) -> list[Any]:
    store = make_store()
    await store.open()
    await store.migrate(metadata.create_all)
    try:
        return [await store.write(work) for work in works]
    finally:
        await store.close()


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
MOMENT = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5.5))]),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(datetime, MOMENT)
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(Decimal, st.decimals(allow_nan=False, allow_infinity=False))


def strategy_of(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is Any:
        return JSON
    parts = getattr(annotation, "__args__", ())
    if parts and type(None) in parts:
        return st.none() | st.one_of(*(strategy_of(p) for p in parts if p is not type(None)))
    if getattr(annotation, "__origin__", None) is list:
        return st.lists(strategy_of(parts[0]), max_size=3)
    if getattr(annotation, "__origin__", None) is dict:
        return st.dictionaries(TEXT, JSON, max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        fields = msgspec.structs.fields(annotation)
        return st.builds(annotation, **{one.name: strategy_of(one.type) for one in fields})
    return st.from_type(annotation)


def records_of(entity: type[Entity]) -> st.SearchStrategy[Entity]:
    fields = fields_of(entity)
    values = {
        name: strategy_of(kind)
        for name, kind in fields.items()
        if name not in {"id", "business_id", "version"}
    }
    return st.builds(
        entity,
        id=st.uuids().map(str),
        business_id=st.sampled_from(["acme", "größe"]),
        **values,
    )


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.__name__)
def test_every_entity_reads_back_exactly_equal(entity):
    @settings(max_examples=25, deadline=None)
    @given(made=records_of(entity))
    def check(made: Entity) -> None:
        def work(tx: Tx) -> None:
            inserted = table.insert_record(tx, made, NOW)
            expected = msgspec.structs.replace(
                made,
                version=1,
                created_at=made.created_at or NOW,
                updated_at=made.updated_at or NOW,
            )
            read = table.load_records(tx, entity, made.business_id, [made.id])[made.id]
            assert inserted == expected
            assert read == expected

        run(in_store(work))

    check()


async def test_moments_are_stored_so_that_text_order_is_time_order():
    zone = timezone(timedelta(hours=2))
    early = Contact(last_purchase=datetime(2026, 1, 1, 11, 0, tzinfo=zone))  # 09:00 UTC
    late = Contact(last_purchase=datetime(2026, 1, 1, 10, 0, tzinfo=UTC))

    assert '"2026-01-01T09:00:00.000000Z"' in encode_data(early)
    assert encode_data(early) < encode_data(late)


async def test_a_moment_inside_custom_is_stored_in_the_same_form():
    data = encode_data(Contact(custom={"seen": datetime(2026, 1, 1, tzinfo=UTC)}))

    assert data == '{"custom":{"seen":"2026-01-01T00:00:00.000000Z"}}'


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Contact(last_purchase=datetime(2026, 1, 1)), "has no time zone"),  # noqa: DTZ001
        (Contact(total_spent=Decimal("NaN")), "not a finite number"),
        (Contact(custom={"x": float("inf")}), "not a finite number"),
        (Contact(custom={"x": 2**63}), "64 bits"),
        (Contact(custom={"x": object()}), "not data"),
        (Contact(custom={1: "x"}), "keys of a dict must be text"),
        (Contact(first_name="a\x00b"), "NUL"),
        (Contact(first_name="\ud800"), "surrogate"),
        (Contact(first_name=5), r"Expected `str \| null`, got `int` - at `\$.first_name`"),
        (Contact(last_purchase="yesterday"), r"Contact.last_purchase was given str 'yesterday'"),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused_with_its_field(record, said):
    with pytest.raises(UsageError, match=said):
        encode_data(record)


def test_a_backslash_before_the_letters_u0000_is_just_text():
    assert encode_data(Contact(first_name=r"\u0000")) == r'{"first_name":"\\u0000","custom":{}}'


async def test_a_change_raises_the_version_and_returns_both_sides():
    def work(tx: Tx) -> Any:
        table.insert_record(
            tx, Contact(id="c1", business_id="acme", email="a@x.com", custom={"a": 1, "b": 2}), NOW
        )
        return table.change_record(
            tx, Contact, "acme", "c1", {"phone": "1", "custom": {"b": 3, "c": 4}}, now=LATER
        )

    [(before, after)] = await in_store(work)

    assert (before.version, after.version) == (1, 2)
    assert (before.phone, after.phone) == (None, "1")
    assert after.email == "a@x.com"
    assert after.custom == {"a": 1, "b": 3, "c": 4}
    assert (after.created_at, after.updated_at) == (NOW, LATER)


@pytest.mark.parametrize(
    "changes",
    [{"email": "a@x.com"}, {"total_spent": Decimal("1.50")}, {"custom": {"a": 1}}, {"phone": None}],
)
async def test_a_change_to_the_same_values_changes_nothing(changes):
    def work(tx: Tx) -> Any:
        made = Contact(
            id="c1",
            business_id="acme",
            email="a@x.com",
            total_spent=Decimal("1.5"),
            custom={"a": 1, "b": 2},
        )
        table.insert_record(tx, made, NOW)
        changed = table.change_record(tx, Contact, "acme", "c1", changes, now=LATER)
        return changed, table.load_records(tx, Contact, "acme", ["c1"])["c1"].version

    assert await in_store(work) == [(None, 1)]


async def test_true_is_not_the_same_as_one():
    def work(tx: Tx) -> Any:
        table.insert_record(tx, Contact(id="c1", business_id="acme", custom={"a": 1}), NOW)
        return table.change_record(tx, Contact, "acme", "c1", {"custom": {"a": True}}, now=LATER)

    [(_, after)] = await in_store(work)

    assert after.custom["a"] is True


async def test_increments_add_to_what_is_stored():
    def work(tx: Tx) -> Any:
        table.insert_record(
            tx, InventoryLevel(id="i1", business_id="acme", available=10, custom={"n": 1}), NOW
        )
        for step in ({"available": -2}, {"available": -3, "custom.n": 5, "custom.new": 1.5}):
            table.change_record(tx, InventoryLevel, "acme", "i1", {}, increments=step, now=LATER)
        return table.load_records(tx, InventoryLevel, "acme", ["i1"])["i1"]

    [level] = await in_store(work)

    assert level.available == 5
    assert level.custom == {"n": 6, "new": 1.5}


async def test_an_increment_of_nothing_starts_at_nothing_and_keeps_decimals_exact():
    def work(tx: Tx) -> Any:
        table.insert_record(tx, Contact(id="c1", business_id="acme"), NOW)
        for _ in range(3):
            table.change_record(
                tx, Contact, "acme", "c1", {}, increments={"total_spent": Decimal("0.1")}, now=NOW
            )
        return table.load_records(tx, Contact, "acme", ["c1"])["c1"].total_spent

    assert await in_store(work) == [Decimal("0.3")]


@pytest.mark.parametrize(
    ("increments", "said"),
    [
        ({"email": 1}, "cannot be incremented"),
        ({"total_spent": 0.5}, 'Write Decimal\\("0.5"\\)'),
        ({"version": 1}, "set by Dovetail"),
        ({"custom.name": 1}, "cannot be incremented"),
        ({"totl_spent": 1}, "did you mean 'total_spent'"),
    ],
)
async def test_an_increment_that_makes_no_sense_is_refused(increments, said):
    def work(tx: Tx) -> None:
        made = Contact(id="c1", business_id="acme", email="a", custom={"name": "x"})
        table.insert_record(tx, made, NOW)
        table.change_record(tx, Contact, "acme", "c1", {}, increments=increments, now=NOW)

    with pytest.raises(UsageError, match=said):
        await in_store(work)


async def test_a_change_at_another_version_is_refused():
    def work(tx: Tx) -> None:
        table.insert_record(tx, Contact(id="c1", business_id="acme"), NOW)
        table.change_record(tx, Contact, "acme", "c1", {"phone": "1"}, now=NOW, expected_version=1)
        table.change_record(tx, Contact, "acme", "c1", {"phone": "2"}, now=NOW, expected_version=1)

    with pytest.raises(VersionConflictError, match="read at version 1 and is at version 2"):
        await in_store(work)


async def test_changing_or_deleting_what_is_not_there_is_refused():
    def change(tx: Tx) -> None:
        table.change_record(tx, Contact, "acme", "nobody", {"phone": "1"}, now=NOW)

    def delete(tx: Tx) -> None:
        table.delete_record(tx, Contact, "acme", "nobody")

    with pytest.raises(RecordMissingError, match="no Contact nobody"):
        await in_store(change)
    with pytest.raises(RecordMissingError, match="no Contact nobody"):
        await in_store(delete)


@pytest.mark.parametrize("count", [1, 3])
async def test_an_id_is_taken_once_per_tenant(count):
    def first(tx: Tx) -> None:
        table.insert_record(tx, Contact(id="c0", business_id="acme"), NOW)

    def again(business_id: str) -> Any:
        made = [Contact(id=f"c{number}", business_id=business_id) for number in range(count)]
        return lambda tx: table.insert_records(tx, made, NOW)

    await in_store(first, again("other"))
    with pytest.raises(RecordConflictError, match="contact c0 already") as caught:
        await in_store(first, again("acme"))
    assert caught.value.existing_id == "c0"


async def test_one_insert_may_not_hold_an_id_twice():
    made = [Contact(id="c1", business_id="acme"), Contact(id="c1", business_id="acme")]

    with pytest.raises(RecordConflictError):
        await in_store(lambda tx: table.insert_records(tx, made, NOW))


async def test_a_record_needs_an_id_and_a_tenant():
    for made in (Contact(id="c1"), Contact(business_id="acme")):
        with pytest.raises(UsageError, match="cannot be stored without"):
            await in_store(lambda tx, made=made: table.insert_record(tx, made, NOW))


async def test_deleting_returns_what_was_there():
    def work(tx: Tx) -> Any:
        table.insert_record(tx, Contact(id="c1", business_id="acme", phone="1"), NOW)
        deleted = table.delete_record(tx, Contact, "acme", "c1", expected_version=1)
        return deleted.phone, table.load_records(tx, Contact, "acme", ["c1"])

    assert await in_store(work) == [("1", {})]


async def test_many_records_load_in_one_go_and_tenants_stay_apart():
    def work(tx: Tx) -> Any:
        made = [
            Deal(id=str(n), business_id="acme", close_date=date(2026, 1, 1)) for n in range(1200)
        ]
        table.insert_records(tx, made, NOW)
        table.insert_record(tx, Deal(id="5", business_id="other"), NOW)
        found = table.load_records(tx, Deal, "acme", [str(n) for n in range(0, 2400, 2)])
        return len(found), {deal.business_id for deal in found.values()}

    assert await in_store(work) == [(600, {"acme"})]


async def test_a_field_that_the_class_lost_its_type_for_says_what_to_do():
    def work(tx: Tx) -> Any:
        row = {"entity": "contact", "business_id": "acme", "id": "c1", "version": 1}
        moments = {"created_at": 0, "updated_at": 0}
        tx.run(records.insert(), row | moments | {"data": '{"first_name": 5}'})
        return table.load_records(tx, Contact, "acme", ["c1"])

    with pytest.raises(DeclarationError, match="stored Contact c1 no longer fits"):
        await in_store(work)


async def test_declared_indexes_are_made_once():
    def work(tx: Tx) -> Any:
        table.ensure_indexes(tx, [Contact, Order, Company])
        table.ensure_indexes(tx, [Contact])
        return True

    assert await in_store(work) == [True]


class Misspelt(Entity):
    __indexes__ = ("emial",)
    email: str | None = None


async def test_an_index_on_a_missing_field_is_refused():
    with pytest.raises(UsageError, match="did you mean 'email'"):
        await in_store(lambda tx: table.ensure_indexes(tx, [Misspelt]))
