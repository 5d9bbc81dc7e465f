"""Volume bands: what each unit costs as a month's count grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator

from dovetail.service.declaration.base import Declaration, part
from dovetail.service.declaration.problem import Problem, ProblemsError
from dovetail.service.declaration.value import Limit, Money, read_limit


class VolumeBand(Declaration):
    """The price of each unit from the `min`-th to the `max`-th (None: no end), both included."""

    min: Annotated[int, BeforeValidator(read_limit)]
    max: Limit = None
    rate: Money

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a band that ends before it begins."""
        low, high = _bound(fields.get("min")), _bound(fields.get("max"))
        if low is not None and high is not None and high < low:
            return [Problem(("max",), f"is {high}, which is below min ({low}).")]
        return []


def _bound(value: object) -> int | None:
    """Read a limit for comparing; what cannot be read is reported where it stands."""
    try:
        return read_limit(value)
    except ProblemsError:
        return None


def check_bands(volume: Sequence[Any], *, has_rate: bool) -> list[Problem]:
    """
    Return where bands overlap or leave units without a price.

    Args:
        volume: The bands as given, in any order.
        has_rate: Whether units outside of every band cost a base rate.
    """
    bands = sorted(
        (
            (low, _bound(part(band, "max")), position)
            for position, band in enumerate(volume)
            if (low := _bound(part(band, "min"))) is not None
        ),
        key=lambda band: band[0],
    )
    if len(bands) != len(volume) or not bands:
        return []
    problems: list[Problem] = []
    if bands[0][0] > 1 and not has_rate:
        message = f"leaves a gap: nothing says what units 1 to {bands[0][0] - 1} cost."
        problems.append(Problem((bands[0][2], "min"), message))
    for (_, high, before), (low, _, position) in pairwise(bands):
        if high is None or low <= high:
            problems.append(_overlap(position, low, before, high))
        elif low > high + 1:
            units = f"unit {low - 1}" if low == high + 2 else f"units {high + 1} to {low - 1}"
            message = f"leaves a gap: nothing says what {units} cost. Begin at {high + 1}."
            problems.append(Problem((position, "min"), message))
    last = bands[-1]
    if last[1] is not None and not has_rate:
        message = f"is the end: nothing says what unit {last[1] + 1} costs. Use no limit."
        problems.append(Problem((last[2], "max"), message))
    return problems


def _overlap(position: int, low: int, before: int, high: int | None) -> Problem:
    if high is None:
        message = f"overlaps volume[{before}], which has no end."
    else:
        message = f"overlaps volume[{before}], which ends at {high}. Begin at {high + 1}."
    return Problem((position, "min"), f"{low} {message}")
