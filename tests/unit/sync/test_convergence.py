"""When edits stop, all sides hold the same: whatever was edited, reordered, lost or crashed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.testing.loop import run

NAMES = st.sampled_from(["Ada", " Ada", "Bob", "", "Eve", None])
PHONES = st.sampled_from(["1", "+1 (2)", None, "3"])
MAILS = st.sampled_from(["a@x.com", "B@x.com ", "c@x.com", None])
EDIT = st.tuples(
    st.sampled_from(
        [
            "add",
            "add",
            "edit",
            "edit",
            "edit",
            "ours",
            "ours",
            "wait",
            "deliver",
            "remove",
            "delete",
        ]
    ),
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 5),
    st.fixed_dictionaries({}, optional={"First": NAMES, "Phone": PHONES, "Email": MAILS}),
)
TRAITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a", {"unique": True}),
    ("b", {"lag_s": 3.0, "normalise": lambda name, value: value}),
    ("c", {"normalise": lambda name, value: value.upper() if name == "First" and value else value}),
)


async def play(bench, script, seed, *, crashes=(), lost=0):
    b = await bench(seed=seed).start(*TRAITS, deletes="propagate")
    crashes = list(crashes)
    b["a"].lost_answers = b["b"].lost_answers = lost
    for what, where, which, fields in script:
        await b.clock.sleep(1)
        if crashes and (b.trip.at is None or b.trip.count >= b.trip.at):
            b.trip.at = b.trip.count + crashes.pop()
        try:
            await act(b, what, b[where], which, fields)
        except BaseException as error:
            if type(error).__name__ != "Crash":
                raise
            b.restart()
    await b.settle()
    return b


async def act(b, what, platform, which, fields):
    if what == "wait":
        await b.engine.request_poll()
    elif what == "deliver":
        await b.deliver()
    elif what in ("ours", "delete"):
        await act_here(b, what, which, fields)
    else:
        act_there(what, platform, which, fields)


async def act_here(b, what, which, fields):
    held = await b.contacts()
    names = {"First": "first_name", "Phone": "phone"}
    ours = {names[name]: value for name, value in fields.items() if name in names}
    if held and what == "delete":
        await b.delete(held[which % len(held)].id)
    elif held and ours:
        await b.update(held[which % len(held)].id, **ours)


def act_there(what, platform, which, fields):
    ids = list(platform.rows)
    if what == "add":
        known = fields.get("Email") and platform.find(Email=fields["Email"])
        if not (platform.unique and known):
            platform.add(Last="L", **fields)
    elif ids and what == "remove":
        platform.remove(ids[which % len(ids)])
    elif ids:
        changes = {name: value for name, value in fields.items() if name != "Email"}
        platform.edit(ids[which % len(ids)], **changes)


def canon(row):
    return tuple(value.upper() or None if isinstance(value, str) else value for value in row)


async def check(b):
    values = b.values()
    # Records that claim to be one wait for a person, and an edit that outlived a delete stays
    # where it was made: there the sides differ, and a conflict says so.
    reported = [one for one in await b.all_conflicts() if one.kind in ("identity", "delete")]
    held = {name: sorted(map(canon, rows), key=str) for name, rows in values.items()}
    if not reported:
        assert held["a"] == held["b"] == held["c"]
        ours = sorted(
            (canon((c.first_name, c.last_name, c.email, c.phone)) for c in await b.contacts()),
            key=str,
        )
        assert held["a"] == ours
    assert b.failures == []


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(EDIT, max_size=20), st.integers(0, 3))
def test_all_sides_end_with_the_same_values(bench, script, seed):
    async def main():
        b = await play(bench, script, seed)
        await check(b)
        await b.close()

    run(main())


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.lists(EDIT, max_size=20),
    st.integers(0, 3),
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(0, 2),
)
def test_crashes_and_lost_answers_change_nothing_about_that(bench, script, seed, crashes, lost):
    async def main():
        b = await play(bench, script, seed, crashes=crashes, lost=lost)
        await check(b)
        await b.close()

    run(main())
