"""Rules of writing: one result per record, in its row; every value comes back; batches are full."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.spec import Capability
from dovetail.errors import (
    ConnectorError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)
from dovetail.testing.contract.rule import Rules, Setting
from dovetail.testing.contract.stand import Stand
from dovetail.testing.contract.value import agree, is_rounded

CREATE, UPDATE, DELETE = Capability.CREATE, Capability.UPDATE, Capability.DELETE
READ_MANY = Capability.READ_MANY
# Short enough for a name, and hard for whoever builds a query or a body by hand.
_HARD_TEXT = 'Zoë 😀 O\'N "q" \\ <b>&amp; 日本'
_RECORDS = 1000


class WritingRules(Rules):
    """What `write` keeps while nothing fails on the way."""

    async def test_every_declared_field_has_a_sample(self, indoors: Setting) -> None:
        async with indoors.stand() as stand:
            sampled = {*stand.sample.record(1), *stand.sample.values}
            missing = set(stand.fields) - sampled
            assert not missing, f"no sample has a value of {sorted(missing)}"

    async def test_a_record_that_is_created_can_be_read(self, setting: Setting) -> None:
        async with setting.stand(CREATE, READ_MANY) as stand:
            write = stand.create()
            (made,) = await stand.made(write)
            assert made.created, "write did not say that it created the record"
            assert made.id is not None
            assert len(stand.live()) == 1
            assert stand.stored(made.id)[stand.sample.text] == stand.text_of(write)
            for record in (made.record, *await stand.fetch(made.id)):
                assert record is not None
                assert record.id == made.id
                _check_values(stand, write.fields, record.fields)

    async def test_every_value_comes_back_as_it_was_sent(self, setting: Setting) -> None:
        async with setting.stand(CREATE, UPDATE, READ_MANY) as stand:
            cases = [(name, value) for name, all_ in stand.sample.values.items() for value in all_]
            cases.append((stand.sample.text, _HARD_TEXT))
            first = {name: all_[0] for name, all_ in stand.sample.values.items()}
            unkeyed = {k: v for k, v in first.items() if k != stand.resource.key_field}
            made = await stand.made(*(stand.create(**unkeyed) for _ in cases))
            ids = [one.id or "" for one in made]
            updates = [
                stand.update(id, **{name: value})
                for id, (name, value) in zip(ids, cases, strict=True)
            ]
            results = await stand.made(*updates)
            fetched = await stand.fetch(*ids)
            for write, result, record in zip(updates, results, fetched, strict=True):
                assert record is not None
                assert result.record is not None
                _check_values(stand, write.fields, result.record.fields)
                _check_values(stand, write.fields, record.fields)

    async def test_a_field_of_the_account_is_written_and_read(self, setting: Setting) -> None:
        async with setting.stand(CREATE, UPDATE, READ_MANY) as stand:
            own = stand.sample.custom_field
            if not own:
                pytest.skip(f"the sample of {setting} has no custom_field")
            name = own["name"]
            (made,) = await stand.made(stand.create())
            stand.simulator.add_field(stand.resource.name, own)
            write = stand.update(made.id or "", **{name: "44"})
            (changed,) = await stand.records.write(stand.resource, [write], [name])
            assert changed.error is None, f"a field that somebody adds is refused: {changed.error}"
            (found,) = await stand.records.read_many(stand.resource, [made.id or ""], [name])
            for record in (changed.record, found):
                assert record is not None
                assert record.fields == {name: "44"}, "only what is asked for is told"

    async def test_getting_ready_twice_is_safe(self, setting: Setting) -> None:
        async with setting.stand(CREATE) as stand:
            await stand.records.prepare(stand.resource)
            with stand.as_another():
                await stand.records.prepare(stand.resource)
                await stand.made(stand.create())
            assert len(stand.live()) == 1

    async def test_an_update_leaves_other_fields_alone(self, setting: Setting) -> None:
        async with setting.stand(CREATE, UPDATE, READ_MANY) as stand:
            first = {name: all_[0] for name, all_ in stand.sample.values.items()}
            (made,) = await stand.made(stand.create(**first))
            (before,) = await stand.fetch(made.id or "")
            write = stand.update(made.id or "")
            (changed,) = await stand.made(write)
            (after,) = await stand.fetch(made.id or "")
            assert before is not None
            assert after is not None
            assert changed.id == made.id
            assert not changed.created
            assert after.fields == before.fields | {stand.sample.text: stand.text_of(write)}

    async def test_a_deleted_record_is_gone(self, setting: Setting) -> None:
        async with setting.stand(CREATE, DELETE, READ_MANY) as stand:
            made = await stand.made(*stand.creates(3))
            ids = [one.id or "" for one in made]
            (gone,) = await stand.made(stand.delete(ids[1]))
            assert gone.record is None
            shown = await stand.fetch(*ids)
            assert [one is not None for one in shown] == [True, False, True]
            assert len(stand.live()) == 2
            (again,) = await stand.write(stand.delete(ids[1]))
            assert again.error is None or isinstance(again.error, RecordNotFoundError)

    async def test_an_update_of_an_unknown_record_fails_alone(self, setting: Setting) -> None:
        async with setting.stand(CREATE, UPDATE, DELETE) as stand:
            made = await stand.made(*stand.creates(3))
            ids = [one.id or "" for one in made]
            await stand.made(stand.delete(ids[1]))
            writes = [stand.update(id) for id in ids]
            results = await stand.write(*writes)
            assert [one.error is None for one in results] == [True, False, True]
            assert isinstance(results[1].error, RecordNotFoundError), repr(results[1].error)
            assert stand.stored(ids[2])[stand.sample.text] == stand.text_of(writes[2])

    async def test_a_bad_record_fails_alone_and_in_its_row(self, setting: Setting) -> None:
        async with setting.stand(CREATE) as stand:
            bad: dict[str, Any] = {"no_such_field_x": "1", **stand.sample.refused}
            writes: list[Write] = []
            for name, value in bad.items():
                writes += [*stand.creates(2), stand.create(**{name: value})]
            writes += stand.creates(1)
            results = await stand.write(*writes)
            for row, (write, result) in enumerate(zip(writes, results, strict=True)):
                if row % 3 == 2:
                    name = list(bad)[row // 3]
                    error = result.error
                    assert isinstance(error, RecordInvalidError), f"{name}: {error!r}"
                    told = error.facts.get("fields") or {}
                    assert name in told or name in error.message, (
                        f"the error does not name the field {name}: {error}"
                    )
                    assert result.record is None
                else:
                    _check_row(stand, write, result.id, result.error)
            assert len(stand.live()) == len(writes) - len(bad)

    async def test_results_of_a_mixed_batch_are_in_their_rows(self, setting: Setting) -> None:
        async with setting.stand(CREATE, UPDATE, DELETE) as stand:
            old = [one.id or "" for one in await stand.made(*stand.creates(5))]
            writes = [
                stand.update(old[3]),
                *stand.creates(2),
                stand.delete(old[1]),
                stand.update(old[0]),
                stand.create(),
                stand.delete(old[4]),
                stand.update(old[2]),
            ]
            for write, result in zip(writes, await stand.made(*writes), strict=True):
                assert write.id in (None, result.id)
                if write.action == "delete":
                    assert stand.simulator.table(stand.resource.name).live(result.id or "") is None
                    continue
                _check_row(stand, write, result.id, result.error)
                assert result.record is not None
                assert result.record.fields[stand.sample.text] == stand.text_of(write)
                assert result.created == (write.action == "create")
            assert len(stand.live()) == 6

    async def test_nothing_to_write_is_no_call(self, indoors: Setting) -> None:
        async with indoors.stand() as stand:
            assert not await stand.write()
            assert not stand.exchanges

    async def test_batches_are_as_large_as_declared(self, crowded: Setting) -> None:
        async with crowded.stand(CREATE, UPDATE) as stand:
            await stand.made(stand.create())
            size = stand.resource.write_batch
            creates = stand.creates(_RECORDS)
            ids: list[str] = []
            for writes in (creates, None):
                told = writes or [stand.update(id) for id in ids]
                stand.exchanges.clear()
                for start in range(0, _RECORDS, size):
                    results = await stand.made(*told[start : start + size])
                    ids += [one.id or "" for one in results]
                calls = stand.calls_with(
                    *(stand.text_of(told[row]) for row in range(0, _RECORDS, 10))
                )
                most = 1.1 * max(_RECORDS / size, 1)
                assert calls <= most, f"{calls} writing calls for 1,000 records; {most:g} would do"
                assert len(stand.exchanges) <= 2 * most, "more than one other call for each"
            assert len(stand.live()) == _RECORDS + 1

    async def test_a_second_record_with_a_unique_key_is_refused(self, setting: Setting) -> None:
        async with setting.stand(CREATE) as stand:
            key = stand.resource.key_field
            if key is None or not stand.resource.key_is_unique:
                pytest.skip(f"{setting} has no key that its platform keeps unique")
            first = stand.create()
            (made,) = await stand.made(first)
            (again,) = await stand.write(stand.create(**{key: first.fields[key]}))
            assert len(stand.live()) == 1, "two records have the same unique key"
            if again.error is None:
                assert again.id == made.id
                assert not again.created
            else:
                assert isinstance(again.error, RecordConflictError), repr(again.error)


def _check_row(stand: Stand, write: Write, id: str | None, error: ConnectorError | None) -> None:
    assert error is None, f"a good record failed with its neighbour: {error}"
    shown = stand.stored(id or "")[stand.sample.text]
    assert shown == stand.text_of(write), f"the row of {write.key} has the id of another record"


def _check_values(stand: Stand, sent: dict[str, Any], back: dict[str, Any]) -> None:
    for name, value in sent.items():
        if name not in stand.resource.fields:
            continue
        assert name in back, f"{name} was sent and is not told"
        assert agree(stand.resource, name, value, back[name]), (
            f"{name} was sent as {value!r} and came back as {back[name]!r}"
        )
        assert not is_rounded(stand.resource, name, back[name]), (
            f"{name} is {back[name]!r}, a float: money is read as a decimal or a text"
        )
