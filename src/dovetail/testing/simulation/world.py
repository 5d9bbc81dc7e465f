"""A world: everything that a simulation does, as plain values that can be printed and shrunk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeVar, get_args

from dovetail.testing.simulation.errand import order_moments
from dovetail.testing.simulation.terms import Oauth, Quota, draw_oauth, draw_quotas

_Timed = TypeVar("_Timed", bound="Edit | FaultSpan | Crash")
EditKind = Literal[
    "change",
    "duel",
    "answer",
    "bulk",
    "blank",
    "create",
    "twin",
    "merge",
    "delete",
    "order",
    "audit",
]
EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)
_WEIGHTS = (36, 8, 5, 3, 8, 6, 3, 2, 3, 15, 1)
_CALL_FAULTS = (
    "rate_limit",
    "server_error",
    "latency",
    "cut_before",
    "cut_after",
    "truncate",
    "html",
    "expired_token",
    "consistency_lag",
)
_TOKEN_FAULTS = ("server_error", "latency", "cut_before", "cut_after", "truncate", "rate_limit")
_WEBHOOK_FAULTS = ("webhook_lost", "webhook_duplicate", "webhook_reorder", "webhook_late")


@dataclass(frozen=True, slots=True)
class Edit:
    """
    One thing that a person does.

    Attributes:
        at_s: When, in seconds after the first sync.
        kind: change and blank touch one field; duel edits one field on two sides within seconds;
            answer edits a field that the app is just writing; bulk changes many records at one
            moment; twin creates one person on both sides; order is an event for a handler, or
            five at once; audit is a handler that reads many people of one platform at once.
        side: Which platform: a position in `World.platforms`, of one tenant after the other.
        seed: Which record, field and value.
    """

    at_s: float
    kind: EditKind
    side: int
    seed: int


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault of a platform (see `dovetail.simulator_sdk.fault`) for some time, of some paths."""

    at_s: float
    length_s: float
    side: int
    kind: str
    probability: float
    seconds: float | None = None
    path: str = "*"


@dataclass(frozen=True, slots=True)
class Crash:
    """
    The process dies `turns` turns of the event loop after its `count`-th `after` from `at_s` on.

    `after` is a commit, a call that leaves, or new tokens that arrive. It is started again `down_s`
    seconds later.
    """

    at_s: float
    after: Literal["commit", "call", "tokens"]
    count: int
    turns: int
    down_s: float


@dataclass(frozen=True, slots=True)
class StoreSpan:
    """The database refuses to commit for some time, as busy or full ones do."""

    at_s: float
    length_s: float
    refusal: Literal["locked", "full"]


@dataclass(frozen=True, slots=True)
class World:
    """
    What a simulation is made of. Times are seconds after the first sync, virtual ones.

    Attributes:
        seed: Of ids, jitter, the order of tasks, and the people.
        platforms: The sides.
        records: People on each side at the beginning; a quarter of them on all sides.
        keyless: The share of those on one side alone who have no e-mail address: nothing but what
            the app remembers tells whether a create of theirs was made.
        tenants: Businesses with accounts of their own on every platform, and with the same people
            in them, so that whatever mixes tenants is noticed. Sides are numbered through.
        duration_s: How long people edit.
        poll_interval_s: How often the app looks for changes.
        policy: Who wins a conflict.
        deletes: What a delete does on the other sides.
        skew_s: By position in `platforms`: how far its clock is off.
        edits: What people do.
        faults: What breaks at the platforms.
        crashes: When the process dies.
        store: When the database refuses.
        oauth: The sides whose tokens end and have to be renewed.
        quotas: The sides that are short of calls.
        bulk_from: From how many records on bulk jobs read and write them; 0: as always.
    """

    seed: int = 0
    platforms: tuple[str, ...] = ("hubspot", "salesforce")
    records: int = 200
    keyless: float = 0.0
    tenants: int = 1
    duration_s: float = 86_400.0
    poll_interval_s: float = 600.0
    policy: str = "last-write-wins"
    deletes: str = "keep"
    skew_s: tuple[float, ...] = ()
    edits: tuple[Edit, ...] = ()
    faults: tuple[FaultSpan, ...] = ()
    crashes: tuple[Crash, ...] = ()
    store: tuple[StoreSpan, ...] = ()
    oauth: tuple[Oauth, ...] = ()
    quotas: tuple[Quota, ...] = ()
    bulk_from: int = 0

    @property
    def is_short_of_calls(self) -> bool:
        """Whether work may have to wait for the next day."""
        return any(one.daily is not None for one in self.quotas)

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        platforms: tuple[str, ...] = ("hubspot", "salesforce"),
        records: int | None = None,
        duration_s: float | None = None,
    ) -> Self:
        """
        Draw a world; the same seed gives the same one.

        Args:
            seed: Of everything in it.
            platforms: The sides.
            records: People on each side; drawn when not given.
            duration_s: How long people edit; drawn when not given.
        """
        rng = random.Random(f"world/{seed}")
        size = rng.choice((5, 20, 60, 200)) if records is None else records
        length = rng.choice((1_800.0, 14_400.0, 86_400.0)) if duration_s is None else duration_s
        rough = rng.random() < 0.85
        tenants = rng.choice((1, 1, 1, 2))
        sides = len(platforms) * tenants
        edits = _draw_edits(rng, sides, length, rng.choice((10, 30, 60)))
        moments = _Moments(rng, length, edits)
        # With a source of its own: what is drawn of tokens changes nothing about the rest.
        token_rng = random.Random(f"tokens/{seed}")
        oauth = draw_oauth(token_rng, sides)
        quotas = draw_quotas(token_rng, platforms, tenants, oauth)
        interval_s = 3_600.0 if any(one.daily for one in quotas) else 0.0
        if any(one.shared for one in quotas):
            edits = _in_order(edits, _draw_audits(token_rng, edits))
        failing, dying = _draw_renewals(token_rng, oauth if rough else (), length)
        return cls(
            seed=seed,
            platforms=platforms,
            records=size,
            keyless=rng.choice((0.0, 0.1, 0.4)),
            tenants=tenants,
            duration_s=length,
            poll_interval_s=max(_draw_interval(rng, length), interval_s),
            policy=rng.choice(("last-write-wins",) * 3 + ("manual-review",)),
            deletes=rng.choice(("keep", "propagate")),
            skew_s=tuple(rng.choice((0.0, 0.0, -45.0, 20.0)) for _ in range(sides)),
            edits=edits,
            faults=_in_order(
                _draw_faults(moments, sides, rng.randrange(9)) if rough else (), failing
            ),
            crashes=_in_order(_draw_crashes(moments, rng.randrange(5)) if rough else (), dying),
            store=_draw_store(moments, rng.randrange(3)) if rough else (),
            oauth=oauth,
            quotas=quotas,
            bulk_from=token_rng.choice((0, 0, 0, 0, 0, 0, 2, 8)),
        )

    def __str__(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in fields(self)}
        lines = [f"World(seed={self.seed}"]
        for name, value in shown.items():
            if name == "seed":
                continue
            lines.append(f"    {name}={_show(value)}")
        return ",\n".join(lines) + ")"


def _show(value: Any) -> str:
    if isinstance(value, tuple) and value and not isinstance(value[0], str | float):
        return "(" + "".join(f"\n        {item!r}," for item in value) + ")"
    return repr(value)


def _draw_edits(rng: random.Random, sides: int, length: float, count: int) -> tuple[Edit, ...]:
    # People work in bursts: half of the edits come close to another.
    moments: list[float] = []
    for _ in range(count):
        near = moments and rng.random() < 0.5
        moment = rng.choice(moments) + rng.uniform(0, 30) if near else rng.uniform(0, length)
        moments.append(round(min(moment, length), 3))
    return tuple(
        Edit(
            at_s=moment,
            kind=rng.choices(EDIT_KINDS, _WEIGHTS)[0],
            side=rng.randrange(sides),
            seed=rng.getrandbits(32),
        )
        for moment in sorted(moments)
    )


def _draw_audits(rng: random.Random, edits: Sequence[Edit]) -> list[Edit]:
    """Return storms of calls while people edit."""
    if not edits:
        return []
    near = [rng.choice(edits).at_s for _ in range(rng.randrange(1, 4))]
    return [Edit(at_s, "audit", 0, 4 * rng.getrandbits(30) + 1) for at_s in near]


def _draw_interval(rng: random.Random, length: float) -> float:
    # Most of a world's time goes into looking for changes: some tens of looks are enough.
    if length <= 3_600:
        return rng.choice((60.0, 300.0))
    return rng.choice((300.0, 900.0) if length < 20_000 else (900.0, 3_600.0))


class _Moments:
    """When things break: mostly when something is going on, or nobody would notice."""

    def __init__(self, rng: random.Random, length: float, edits: Sequence[Edit]) -> None:
        self.rng = rng
        self._length = length
        self._edits = [edit.at_s for edit in edits]
        self._orders = [edit.at_s for edit in edits if edit.kind == "order"]
        self._turns: list[float] = []
        self._cancels: list[float] = []
        for edit in edits:
            if edit.kind == "order":
                moments = order_moments(edit.seed)
                self._turns += [edit.at_s + after for after in moments.values()]
                if "cancelled" in moments:
                    self._cancels.append(edit.at_s + moments["cancelled"])

    def draw(self) -> float:
        where = self.rng.random()
        if where < 0.35:
            return -60.0  # during the first sync
        if where < 0.8 and self._edits:
            return round(max(self.rng.choice(self._edits) - self.rng.uniform(0, 5), 0.0), 1)
        return round(self.rng.uniform(0, self._length), 1)

    def draw_order(self) -> float | None:
        """Return the moment just before an order, or before its errand goes on, if there is one."""
        where = self.rng.random()
        # What is between a cancellation and the end of what was cancelled is short.
        kind = self._orders if where < 0.5 else self._turns if where < 0.75 else self._cancels
        among = kind or self._orders
        return max(round(self.rng.choice(among), 3) - 0.001, 0.0) if among else None


def _in_order(first: Sequence[_Timed], more: Sequence[_Timed]) -> tuple[_Timed, ...]:
    return tuple(sorted((*first, *more), key=lambda one: one.at_s))


def _draw_faults(moments: _Moments, sides: int, count: int) -> tuple[FaultSpan, ...]:
    rng = moments.rng
    spans = [
        FaultSpan(
            at_s=moments.draw(),
            length_s=round(rng.choice((30.0, 300.0, 900.0)) * rng.uniform(0.5, 1.0), 1),
            side=rng.randrange(sides),
            kind=rng.choice(_CALL_FAULTS + ("cut_after",) * 3 + _WEBHOOK_FAULTS),
            probability=rng.choice((0.1, 0.3, 0.7)),
            seconds=rng.choice((None, 5.0, 20.0)),
        )
        for _ in range(count)
    ]
    return tuple(sorted(spans, key=lambda span: span.at_s))


def _draw_crashes(moments: _Moments, count: int) -> tuple[Crash, ...]:
    rng = moments.rng
    found = []
    for _ in range(count):
        # A handler takes few commits: one that is to die in it has to be aimed at.
        order = moments.draw_order() if rng.random() < 0.4 else None
        found.append(
            Crash(
                at_s=moments.draw() if order is None else order,
                after="commit" if order is not None else rng.choice(("commit", "call")),
                count=rng.randrange(1, 15 if order is None else 7),
                turns=rng.randrange(8),
                # Long enough for what is delayed to come due meanwhile.
                down_s=round(
                    rng.choice((0.5, 5.0, 120.0) if order is None else (0.5, 5.0, 30.0, 120.0))
                    * rng.uniform(0.5, 1.0),
                    1,
                ),
            )
        )
    return tuple(sorted(found, key=lambda crash: crash.at_s))


def _draw_store(moments: _Moments, count: int) -> tuple[StoreSpan, ...]:
    rng = moments.rng
    found = [
        StoreSpan(
            at_s=moments.draw(),
            length_s=round(rng.choice((2.0, 20.0, 90.0)) * rng.uniform(0.5, 1.0), 1),
            refusal=rng.choice(("locked", "full")),
        )
        for _ in range(count)
    ]
    return tuple(sorted(found, key=lambda span: span.at_s))


def _draw_renewals(
    rng: random.Random, oauth: Sequence[Oauth], length: float
) -> tuple[list[FaultSpan], list[Crash]]:
    """Break what renews tokens."""
    faults: list[FaultSpan] = []
    crashes: list[Crash] = []
    for one in oauth:
        for _ in range(rng.randrange(1, 4)):
            kind = rng.choice(_TOKEN_FAULTS + ("cut_after",) * 3)
            faults.append(
                FaultSpan(
                    at_s=round(rng.uniform(0, length), 1),
                    length_s=round(one.life_s * rng.uniform(0.5, 1.5), 1),
                    side=one.side,
                    kind=kind,
                    probability=rng.choice((0.3, 0.7)),
                    seconds=rng.choice((5.0, 25.0)) if kind == "latency" else None,
                    path="*/token",
                )
            )
        if rng.random() < 0.7:
            crashes.append(
                Crash(
                    at_s=round(rng.uniform(0, length), 1),
                    after="tokens",
                    count=rng.randrange(1, 3),
                    turns=rng.randrange(3),
                    down_s=round(rng.choice((0.5, 30.0, 120.0)) * rng.uniform(0.5, 1.0), 1),
                )
            )
    return faults, crashes
