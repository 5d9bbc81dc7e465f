"""Rules of reading changes: none is skipped, whenever it is made and however late it shows."""

from __future__ import annotations

import pytest

from dovetail.connector_sdk.record import Cursor, RemoteRecord
from dovetail.connector_sdk.spec import Capability
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.testing.contract.reading import READ, crowd
from dovetail.testing.contract.rule import Rules, Setting
from dovetail.testing.contract.stand import Stand, ids_of

# Of the declared lag: the rest is for what the simulator's own index takes.
_LATE = 0.8


class ChangingRules(Rules):
    """What `read_page` keeps while records change."""

    async def test_a_change_while_reading_is_not_lost(self, crowded: Setting) -> None:
        async with crowded.stand(READ) as stand:
            unread = await stand.seed(crowd(stand.resource), apart_s=0.02)
            told: dict[str, RemoteRecord] = {}
            cursor: Cursor | None = None
            is_more = True
            while is_more and len(told) < 10 * crowd(stand.resource):
                page = await stand.page(cursor)
                cursor, is_more = page.cursor, page.more
                told |= {record.id: record for record in page.records}
                unread = [id for id in unread if id not in told]
                if len(stand.live()) < crowd(stand.resource) + 6:
                    for id in (*ids_of(page.records)[:1], *unread[-1:], None):
                        # Longer than any overlap: only the order of reading can keep these.
                        await stand.clock.sleep(2 * stand.resource.consistency_lag_s + 1)
                        stand.edit(id, **{stand.sample.text: stand.mark()})
            await stand.settle()
            told |= {record.id: record for record in (await stand.read(cursor))[0]}
            _check_told(stand, told)

    async def test_a_change_that_shows_late_is_read(self, setting: Setting) -> None:
        async with setting.stand(READ) as stand:
            made = await stand.seed(4)
            _, cursor = await stand.read()
            for number in (0, 1):
                stand.edit(made[3], **{stand.sample.text: stand.mark()})
                await stand.clock.sleep(5)
                _, cursor = await stand.read(cursor)
                text = stand.mark()
                late_s = stand.resource.consistency_lag_s * _LATE
                stand.edit_late(made[number], late_s, **{stand.sample.text: text})
                await stand.clock.sleep(5)
                found, cursor = await stand.read(cursor)
                assert text in [record.fields.get(stand.sample.text) for record in found], (
                    f"a change that showed {late_s + 5:g} s after its time was passed by"
                )
                # A quiet hour must not move the cursor too far either.
                for _ in range(7):
                    await stand.clock.sleep(180)
                    _, cursor = await stand.read(cursor)

    async def test_a_change_that_shows_late_while_reading_is_read(self, crowded: Setting) -> None:
        async with crowded.stand(READ) as stand:
            made = await stand.seed(crowd(stand.resource), apart_s=0.02)
            first = await stand.page()
            text = stand.mark()
            read = first.records[0].id
            late_s = stand.resource.consistency_lag_s * _LATE
            stand.edit_late(read, late_s, **{stand.sample.text: text})
            await stand.clock.sleep(5)
            rest, cursor = await stand.read(first.cursor)
            later, _ = await stand.read(cursor)
            assert text in [one.fields.get(stand.sample.text) for one in (*rest, *later)]
            assert set(made) <= set(ids_of([*first.records, *rest]))

    async def test_a_reader_that_lags_behind_tells_everything_in_the_end(
        self, setting: Setting
    ) -> None:
        async with setting.stand(READ) as stand:
            made = await stand.seed(3)
            found, cursor = await stand.read()
            told = {record.id: record for record in found}
            lag_s = stand.resource.consistency_lag_s * _LATE
            stand.faults({"kind": "consistency_lag", "seconds": lag_s, "probability": 0.5})
            for _ in range(12):
                for id in (*made, None):
                    stand.edit(id, **{stand.sample.text: stand.mark()})
                    await stand.clock.sleep(4)
                found, cursor = await stand.read(cursor)
                told |= {record.id: record for record in found}
            await stand.settle()
            told |= {record.id: record for record in (await stand.read(cursor))[0]}
            _check_told(stand, told)

    async def test_many_changes_of_one_moment_are_all_read(self, crowded: Setting) -> None:
        async with crowded.stand(READ) as stand:
            before = await stand.seed(3)
            _, cursor = await stand.read()
            await stand.settle()
            _, cursor = await stand.read(cursor)
            made = await stand.seed_at_once(crowd(stand.resource))
            found, cursor = await stand.read(cursor)
            missing = set(made) - set(ids_of(found))
            assert not missing, f"{len(missing)} of {len(made)} changes of one moment are missing"
            stand.edit(before[0], **{stand.sample.text: stand.mark()})
            await stand.settle()
            assert before[0] in ids_of((await stand.read(cursor))[0])
            assert set(made) <= set(ids_of((await stand.read())[0]))

    async def test_deletes_arrive_in_the_feed(self, setting: Setting) -> None:
        async with setting.stand(READ, Capability.TOMBSTONES) as stand:
            made = await stand.seed(4)
            _, cursor = await stand.read()
            stand.remove(made[1])
            await stand.settle()
            found, cursor = await stand.read(cursor)
            gone = [record for record in found if record.deleted]
            assert ids_of(gone) == [made[1]], "the feed tells of what was deleted, and of it alone"
            assert gone[0].merged_into is None
            stand.remove(made[2])
            await stand.settle()
            found, _ = await stand.read(cursor)
            assert [(one.id, one.deleted) for one in found if one.id == made[2]] == [
                (made[2], True)
            ]

    async def test_a_merge_leads_to_the_record_that_remains(self, setting: Setting) -> None:
        async with setting.stand(READ, Capability.READ_MANY) as stand:
            made = await stand.seed(3)
            _, cursor = await stand.read()
            name = stand.resource.name
            try:
                kept = stand.simulator.merge_records(name, made[0], made[1], source="UI")
            except RefusedError as refused:
                pytest.skip(f"{setting}: {refused}")
            await stand.settle()
            found, _ = await stand.read(cursor)
            assert kept.id in [one.merged_into for one in found if one.id == made[1]], (
                "the feed tells which record stands for one that was merged away"
            )
            (led,) = await stand.fetch(made[1])
            assert led is not None, "a merged id leads nowhere"
            assert kept.id in (led.id, led.merged_into)


def _check_told(stand: Stand, told: dict[str, RemoteRecord]) -> None:
    text = stand.sample.text
    for record in stand.live():
        assert record.id in told, "a record was never told of"
        shown = told[record.id].fields.get(text)
        assert shown == record.fields[text], (
            f"the last that was told of {record.id} is {shown!r}; it is {record.fields[text]!r}"
        )
