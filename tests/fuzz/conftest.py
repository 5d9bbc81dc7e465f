"""What the fuzz tests share: how much to try, and hostile JSON."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(
        ["", "0", "-1", "1e400", "99999999999999999999", "2026-13-45T99:99:99Z", "\0"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=10,
)


def places(value, path=()):
    """Yield the path of every part of a value."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def changed(value, path, change):
    """Return the value with the part at a path replaced by what *change* makes of it."""
    if not path:
        return change(value)
    copy = value.copy()
    inner = changed(value[path[0]], path[1:], change)
    if inner is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = inner
    return copy


@st.composite
def mutations(draw, value):
    """Return the value with a few parts replaced, removed or wrapped."""
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(places(value))))
        other = draw(JSON)
        kind = draw(st.sampled_from(["replace", "remove", "wrap"]))
        if kind == "remove" and path:
            value = changed(value, path, lambda _: ...)
        elif kind == "wrap":
            value = changed(value, path, lambda part: [part, part])
        else:
            value = changed(value, path, lambda _, other=other: other)
    return value


@pytest.fixture
def hostile():
    """The strategy of any JSON."""
    return JSON


@pytest.fixture
def mutated():
    """The strategy of a value that is wrong in a few places."""
    return mutations


@pytest.fixture
def fuzzing():
    """The settings of a fuzz test."""
    return settings.get_profile("fuzz")
