"""Rules of reading all: every page is read once, wherever reading stops and goes on."""

from __future__ import annotations

from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.core import json
from dovetail.errors import UnsupportedCapabilityError
from dovetail.testing.contract.rule import Rules, Setting
from dovetail.testing.contract.stand import ids_of

READ = Capability.READ_CHANGES


def crowd(resource: Resource) -> int:
    """Return how many records fill more than one page; two pages, where those are short."""
    return min(2 * resource.read_batch + 5, resource.read_batch + 105)


class ReadingRules(Rules):
    """What `read_page` keeps while nothing but time changes."""

    async def test_an_empty_account_has_no_records(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            found, cursor = await stand.read()
            assert not found
            assert not (await stand.read(cursor))[0]

    async def test_every_page_is_read_once(self, crowded: Setting) -> None:
        async with crowded.stand(READ) as stand:
            for count in (stand.resource.read_batch, 1):
                await stand.seed(count, apart_s=0.02)
                read = ids_of((await stand.read())[0])
                assert sorted(read) == sorted(record.id for record in stand.live()), (
                    "reading from the beginning gives every record once"
                )

    async def test_reading_goes_on_from_any_page(self, crowded: Setting) -> None:
        async with crowded.stand(READ) as stand:
            made = set(await stand.seed(crowd(stand.resource), apart_s=0.02))
            passed: set[str] = set()
            for page in await stand.pages():
                passed |= set(ids_of(page.records))
                with stand.as_another():
                    rest, _ = await stand.read(json.decode(json.encode(page.cursor)))
                missing = made - passed - set(ids_of(rest))
                assert not missing, f"a cursor lost {len(missing)} of {len(made)} records"

    async def test_nothing_new_is_told_soon_and_with_few_calls(self, indoors: Setting) -> None:
        async with indoors.stand(READ) as stand:
            await stand.seed(5)
            _, cursor = await stand.read()
            for _ in range(2):
                await stand.settle()
                _, cursor = await stand.read(cursor)
            before = len(stand.exchanges)
            found, _ = await stand.read(cursor)
            assert not found, "what did not change is told again and again"
            assert len(stand.exchanges) - before <= 3, "a quiet account costs many calls"

    async def test_pages_are_as_large_as_declared(self, crowded: Setting) -> None:
        async with crowded.stand(READ) as stand:
            await stand.seed(1000, apart_s=0.1)
            await stand.read()
            most = 1.1 * (1000 / stand.resource.read_batch) + 2
            calls = len(stand.exchanges)
            assert calls <= most, f"{calls} calls for 1,000 records; {most:g} would do"

    async def test_times_are_those_of_the_platform(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            made = await stand.seed(3, apart_s=61)
            stand.edit(made[1], **{stand.sample.text: stand.mark()})
            await stand.settle()
            table = stand.simulator.table(stand.resource.name)
            for record in (await stand.read())[0]:
                held = table.live(record.id)
                assert held is not None
                for told, real in (
                    (record.modified_at, held.modified_at),
                    (record.created_at or held.created_at, held.created_at),
                ):
                    assert told.tzinfo is not None, "times are aware"
                    assert abs(told - real) <= stand.simulator.granularity, (
                        f"the platform says {real.isoformat()}, the connector {told.isoformat()}"
                    )

    async def test_a_time_to_begin_from_includes_that_moment(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            made = await stand.seed(4, apart_s=600)
            table = stand.simulator.table(stand.resource.name)
            begin = table.live(made[2])
            assert begin is not None
            cursor = stand.records.cursor_at(stand.resource, begin.modified_at)
            read = ids_of((await stand.read(cursor))[0])
            assert {made[2], made[3]} <= set(read)
            assert made[0] not in read, "what changed long before is not asked for"

    async def test_every_field_that_was_asked_for_is_told(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            await stand.seed(2)
            for record in (await stand.read())[0]:
                missing = set(stand.fields) - set(record.fields)
                assert not missing, f"the record says nothing of {sorted(missing)}"

    async def test_what_is_not_declared_is_refused_before_any_call(self, indoors: Setting) -> None:
        async with indoors.stand() as stand:
            declared, text = stand.resource.capabilities, stand.sample.text
            for needed, work in (
                (READ, stand.page),
                (Capability.READ_MANY, lambda: stand.fetch("1")),
                (
                    Capability.FIND,
                    lambda: stand.records.find_many(stand.resource, text, ["x"], stand.fields),
                ),
                (Capability.CREATE, lambda: stand.write(stand.create())),
                (Capability.UPDATE, lambda: stand.write(stand.update("1"))),
                (Capability.DELETE, lambda: stand.write(stand.delete("1"))),
            ):
                if needed not in declared:
                    with stand.refusal(UnsupportedCapabilityError):
                        await work()
            assert not stand.exchanges, "it was asked of the platform all the same"
            with stand.refusal(UnsupportedCapabilityError):
                stand.connector.resource("no such resource")
