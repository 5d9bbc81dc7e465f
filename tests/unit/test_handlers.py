"""What `on` and `every` accept, and what they say to what they do not."""

import sys
import types

import pytest

from dovetail import Event, every, on
from dovetail.entities import Contact, Order
from dovetail.errors import ConfigError, DeclarationError
from dovetail.runtime.handler import matches
from dovetail.service.handlers import collect


def module(**members):
    made = types.ModuleType("program")
    vars(made).update(members)
    return made


@pytest.mark.parametrize(
    ("pattern", "event_type", "fits"),
    [
        ("*", "contact.created", True),
        ("contact.created", "contact.created", True),
        ("contact.created", "contact.updated", False),
        ("order.*", "order.created", True),
        ("order.*", "order.item.added", True),
        ("order.*", "order", False),
        ("order.*", "orders.created", False),
        ("*.created", "order.created", True),
        ("*.created", "order.item.created", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
    ],
)
def test_patterns(pattern, event_type, fits):
    assert matches(pattern, event_type) is fits


def test_decorators_change_nothing_about_the_function():
    async def greet(contact: Contact) -> str:
        return contact.first_name or ""

    assert on(Contact.created)(greet) is greet
    assert every("15 minutes")(greet) is greet


def test_a_function_may_have_several_triggers():
    @on(Contact.created)
    @on("order.*")
    async def both(event: Event) -> None: ...

    handlers, schedules = collect(module(both=both))
    assert sorted(handler.patterns for handler in handlers) == [("contact.created",), ("order.*",)]
    assert len({handler.name for handler in handlers}) == 2
    assert schedules == []


def test_the_same_function_under_two_names_is_one_handler():
    @on(Contact.created)
    async def greet(contact: Contact) -> None: ...

    handlers, _ = collect(module(greet=greet, alias=greet))
    assert len(handlers) == 1


def test_every_makes_a_schedule_and_its_handler():
    @every("0 7 * * *", timezone="Europe/Berlin")
    async def report() -> None: ...

    handlers, schedules = collect(module(report=report))
    assert handlers[0].patterns == (schedules[0].event_type,)


@pytest.mark.parametrize(
    ("declare", "part"),
    [
        (on, "at least one event"),
        (lambda: on(Contact), "neither"),
        (lambda: on("two words"), "neither"),
        (lambda: on(Contact.created)("not a function"), "not a function"),
    ],
)
def test_on_refuses_what_is_no_event(declare, part):
    with pytest.raises(DeclarationError, match=part):
        declare()


@pytest.mark.parametrize("when", ["61 * * * *", "every now and then", "0 minutes"])
def test_every_refuses_what_is_no_time(when):
    with pytest.raises(ConfigError):
        every(when)


def test_a_handler_with_two_parameters_is_refused():
    @on(Contact.created)
    async def two(contact: Contact, order: Order) -> None: ...

    with pytest.raises(DeclarationError, match="takes 2 parameters"):
        collect(module(two=two))


def test_a_parameter_of_another_type_is_refused():
    @on(Contact.created)
    async def number(contact: int) -> None: ...

    with pytest.raises(DeclarationError, match="annotated as"):
        collect(module(number=number))


def test_a_missing_import_in_an_annotation_is_explained():
    source = "from __future__ import annotations\nasync def f(x: Missing) -> None: ...\n"
    made = types.ModuleType("late")
    sys.modules["late"] = made
    exec(source, vars(made))  # noqa: S102 - a module whose annotation cannot be read
    on(Contact.created)(made.f)
    with pytest.raises(DeclarationError, match="cannot be read"):
        collect(made)
    del sys.modules["late"]
