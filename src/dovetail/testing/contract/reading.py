"""Rules of reading: every change is told, whenever it comes and wherever reading stops."""

from __future__ import annotations

from dovetail.connector_sdk.spec import Capability
from dovetail.testing.contract.rule import Rules, Setting


class ReadingRules(Rules):
    """What `read_page` and `read_many` must keep."""

    async def test_every_record_is_read_and_none_twice(self, setting: Setting) -> None:
        async with setting.with_capability(Capability.READ_CHANGES) as stand:
            made = await stand.seed(stand.resource.read_batch + 1, apart_s=0.01)
            found, _ = await stand.read()
            read = [record.id for record in found]
            assert set(read) >= set(made), "read_page left records out"
            assert len(read) == len(set(read)), "read_page told of the same change twice"
