"""Rules of reading by id and by value: in order, nothing made up, with few calls."""

from __future__ import annotations

import pytest

from dovetail.connector_sdk.spec import Capability
from dovetail.errors import PermissionDeniedError
from dovetail.testing.contract.rule import Rules, Setting

READ_MANY = Capability.READ_MANY


class FetchingRules(Rules):
    """What `read_many` and `find_many` keep, and what the account is asked about itself."""

    async def test_records_come_in_the_order_of_their_ids(self, setting: Setting) -> None:
        async with setting.stand(READ_MANY) as stand:
            made = await stand.seed(6)
            texts = {id: stand.stored(id)[stand.sample.text] for id in made}
            stand.remove(made[1])
            await stand.settle()
            asked = [made[4], made[1], made[0], made[4], made[5], made[2]]
            found = await stand.fetch(*asked)
            assert len(found) == len(asked), "one place for each id, None where nothing is"
            for id, record in zip(asked, found, strict=True):
                if id == made[1]:
                    assert record is None, "a deleted record is None"
                else:
                    assert record is not None
                    assert record.id == id
                    assert record.fields[stand.sample.text] == texts[id]
                    assert set(record.fields) == set(stand.fields)

    async def test_no_ids_are_no_call(self, indoors: Setting) -> None:
        async with indoors.stand(READ_MANY) as stand:
            assert await stand.fetch() == []
            assert not stand.exchanges

    async def test_many_records_are_read_in_full_batches(self, crowded: Setting) -> None:
        async with crowded.stand(READ_MANY) as stand:
            made = await stand.seed(1000, apart_s=0.01)
            found = await stand.fetch(*reversed(made))
            assert [one.id for one in found if one is not None] == made[::-1]
            most = 1.1 * max(1000 / stand.resource.read_batch, 1)
            calls = len(stand.exchanges)
            assert calls <= most, f"{calls} calls for 1,000 records; {most:g} would do"

    async def test_records_are_found_by_their_key(self, setting: Setting) -> None:
        async with setting.stand(Capability.FIND) as stand:
            key = stand.resource.key_field
            if key is None:
                pytest.skip(f"{setting} declares no key field")
            made = await stand.seed(3)
            values = [str(stand.stored(id)[key]) for id in made]
            found = await stand.records.find_many(
                stand.resource, key, [*values, "nobody@nowhere.example"], stand.fields
            )
            assert {value: [one.id for one in all_] for value, all_ in found.items()} == {
                value: [id] for value, id in zip(values, made, strict=True)
            }

    async def test_fields_of_the_account_are_known(self, setting: Setting) -> None:
        async with setting.stand() as stand:
            try:
                known = await stand.connector.known_fields(stand.resource)
            except PermissionDeniedError as error:
                stand.check(error)
                known = None
            if known is None:
                pytest.skip(f"{setting} cannot be asked for its fields")
            missing = set(stand.fields) - known
            assert not missing, f"declared, but the account has no {sorted(missing)}"
            own = stand.sample.custom_field
            if not own:
                pytest.skip(f"the sample of {setting} has no custom_field")
            assert own["name"] not in known
            stand.simulator.add_field(stand.resource.name, own)
            again = await stand.connector.known_fields(stand.resource)
            assert again is not None
            assert own["name"] in again, "a field that somebody adds is not listed"
