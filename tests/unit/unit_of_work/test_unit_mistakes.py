"""Mistakes: each says what to do."""

import pytest

from dovetail.entities import (
    Contact,
)
from dovetail.errors import (
    UsageError,
)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda unit: unit.create(Contact, fist_name="x"),
            r"Contact has no field 'fist_name'; did you mean 'first_name'\? Put a field of your "
            r"own under custom=\{...\}.",
        ),
        (lambda unit: unit.update(Contact, "c", fist_name="x"), "did you mean 'first_name'"),
        (lambda unit: unit.create(Contact, first_name=5), "Contact.first_name was given int 5"),
        (lambda unit: unit.create(Contact, total_spent=1.5), r'Write Decimal\("1.5"\)'),
        (lambda unit: unit.create(Contact, last_purchase="soon"), "Contact.last_purchase"),
        (lambda unit: unit.create(Contact, version=3), "version is set by Dovetail"),
        (lambda unit: unit.create(Contact(id="z"), phone="1"), "put the fields into the instance"),
        (lambda unit: unit.create(Contact(first_name=5)), "Contact.first_name was given int 5"),
        (lambda unit: unit.update(Contact, "c", version=3), "version is set by Dovetail"),
        (lambda unit: unit.update(Contact, "c"), "was given no changes"),
        (lambda unit: unit.update(Contact, phone="1"), "needs the id"),
        (lambda unit: unit.update(Contact(), phone="1"), "without an id"),
        (lambda unit: unit.update(Contact(id="c"), "c", phone="1"), "and an id"),
        (lambda unit: unit.delete(Contact), "needs the id"),
        (lambda unit: unit.query(Contact, emial="x"), "did you mean 'email'"),
        (lambda unit: unit.send("not a name"), "not an event to send"),
        (lambda unit: unit.send("contact.*"), "not an event to send"),
        (lambda unit: unit.send(Contact), "not an event to send"),
        (lambda unit: unit.send("x", 5), "was given a int"),
        (lambda unit: unit.send("x", thing=object()), "not data"),
        (lambda unit: unit.send("x", text="\ud800"), "surrogate"),
    ],
)
async def test_a_mistake_says_what_to_do(world_in_memory, call, said):
    async with world_in_memory() as world:
        await world.create(Contact(id="c"))
        unit = world.unit()

        with pytest.raises(UsageError, match=said):
            await call(unit)
        assert not unit.dirty
