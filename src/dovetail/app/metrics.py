"""
``/metrics`` in the format of Prometheus: the counters of this process, and what the store shows.

Nothing is collected between scrapes but plain numbers. What is read from the store (backlogs,
budgets) is kept for some seconds, so that several scrapers cost as much as one. Names carry their
units; labels are handlers, platforms, event types and outcomes, and tenants only when asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from dovetail.app.allowance import AccountAllowance, account_allowances
from dovetail.core.clock import Clock, to_micros
from dovetail.core.telemetry import Buckets, Tally
from dovetail.runtime.backlog import Backlog, read_backlogs
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric

    F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_KEPT_S = 5.0
_STATES = ("open", "retrying", "scheduled", "dead")


@dataclass(frozen=True, slots=True)
class _Picture:
    backlogs: list[Backlog]
    allowances: list[AccountAllowance]
    schema: str
    page_size: int
    pages: int
    free: int


class Metrics:
    """
    What a running app shows to Prometheus.

    Args:
        tally: The counters.
        store: Its store.
        clock: Time.
        removed: Table -> rows that retention has removed.
    """

    def __init__(
        self, tally: Tally, store: SqliteStore, clock: Clock, removed: Mapping[str, int]
    ) -> None:
        self._tally = tally
        self._store = store
        self._clock = clock
        self._removed = removed
        self._picture: _Picture | None = None
        self._taken_at = 0.0

    async def render(self) -> bytes:
        """
        Return the page.

        Raises:
            StoreError: The database could not be read.
        """
        # Imported when asked for: programs that nobody scrapes start without it.
        from prometheus_client import PROCESS_COLLECTOR, generate_latest  # noqa: PLC0415

        picture = await self._look()
        families = [*PROCESS_COLLECTOR.collect(), *self._families(picture)]
        return generate_latest(_Collected(families))

    async def _look(self) -> _Picture:
        now = self._clock.monotonic()
        if self._picture is None or now - self._taken_at > _KEPT_S:
            moment = self._clock.now().timestamp()
            self._picture = await self._store.read(lambda tx: _picture(tx, moment))
            self._taken_at = now
        return self._picture

    def _families(self, picture: _Picture) -> Iterator[Metric]:
        yield _gauge("info", "The version that runs.", ("version", "schema"),
                     {(version("dovetail"), picture.schema): 1})  # fmt: skip
        yield from self._work()
        yield from self._backlog(picture)
        yield from _platforms(self._tally, picture, by_account=self._tally.by_tenant)
        yield from self._storage(picture)

    def _work(self) -> Iterator[Metric]:
        tally, tenant = self._tally, ("tenant",) if self._tally.by_tenant else ()
        yield _counter("events", "Events appended to the log.", ("type", *tenant), tally.events)
        yield _counter(
            "runs",
            "Runs that ended: done, retried, dead, put_off, suspended or handed_back.",
            ("handler", "outcome", *tenant),
            tally.runs,
        )
        yield _gauge("running_runs", "Runs that go on now.", ("handler",),
                     {(name,): number for name, number in tally.running.items()})  # fmt: skip
        yield _histogram("run_duration_seconds", "How long runs took, with the waiting in them.",
                         "handler", tally.run_seconds)  # fmt: skip
        yield _counter("webhooks", "Webhook requests, by the status they were answered with.",
                       ("platform", "status"), tally.webhooks)  # fmt: skip

    def _backlog(self, picture: _Picture) -> Iterator[Metric]:
        now = to_micros(self._clock.now())
        idle = {name: Backlog(handler=name) for name in self._tally.running}
        backlogs = (idle | {one.handler: one for one in picture.backlogs}).values()
        yield _gauge(
            "deliveries",
            "Deliveries that are not over: open (retrying ones among them), scheduled, dead.",
            ("handler", "state"),
            {(one.handler, state): getattr(one, state) for one in backlogs for state in _STATES},
        )
        yield _gauge("delivery_lag_seconds", "Age of the oldest open delivery.", ("handler",),
                     {(one.handler,): one.lag_s(now) for one in backlogs})  # fmt: skip

    def _storage(self, picture: _Picture) -> Iterator[Metric]:
        group = self._store.group
        yield _counter("store_commits", "Transactions committed.", (), {(): group.commits})
        yield _counter("store_works", "Works committed; several share a commit.", (),
                       {(): group.works})  # fmt: skip
        yield _histogram("store_commit_works", "Works per commit.", None, {"": group.sizes})
        yield _histogram("store_commit_duration_seconds", "How long commits took.", None,
                         {"": group.seconds})  # fmt: skip
        yield _counter("store_refusals", "Commits that the database refused.", ("reason",),
                       _labelled(group.refusals))  # fmt: skip
        sizes = {
            "database": picture.pages * picture.page_size,
            "free": picture.free * picture.page_size,
            "write_ahead_log": self._store.wal_bytes,
        }
        yield _gauge("store_size_bytes", "Bytes of the file, free ones within, and the log.",
                     ("part",), _labelled(sizes))  # fmt: skip
        yield _counter("retention_removed_rows", "Rows that retention has removed.", ("table",),
                       _labelled(self._removed))  # fmt: skip


def _platforms(tally: Tally, picture: _Picture, *, by_account: bool) -> Iterator[Metric]:
    yield _counter(
        "api_calls",
        "API calls, by status: 429 is a limit that was hit, none a lost answer.",
        ("platform", "status"),
        tally.calls,
    )
    found: dict[tuple[str, ...], AccountAllowance] = {}
    for one in picture.allowances:
        # Without accounts as labels, the one that has least left speaks for all.
        key = (one.platform, one.limit, *((one.account,) if by_account else ()))
        if key not in found or one.left < found[key].left:
            found[key] = one
    labels = ("platform", "limit", *(("account",) if by_account else ()))
    yield _gauge("budget_left_calls", "Calls that a limit still allows now.", labels,
                 {key: one.left for key, one in found.items()})  # fmt: skip
    yield _gauge("budget_size_calls", "Calls that a limit allows in its window.", labels,
                 {key: one.size for key, one in found.items()})  # fmt: skip
    paused = {key: one.paused_s for key, one in found.items()}
    yield _gauge(
        "budget_paused_seconds", "How long the platform lets no call pass.", labels, paused
    )


def _picture(tx: Tx, now: float) -> _Picture:
    def pragma(name: str) -> int:
        return int(tx.scalar(sa.text(f"PRAGMA {name}")))

    return _Picture(
        backlogs=read_backlogs(tx),
        allowances=account_allowances(tx, now),
        schema=str(tx.scalar(sa.text("SELECT version_num FROM alembic_version"))),
        page_size=pragma("page_size"),
        pages=pragma("page_count"),
        free=pragma("freelist_count"),
    )


@dataclass(frozen=True, slots=True)
class _Collected:
    """Families as a registry, which is all that the exposition asks for."""

    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def _labelled(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): number for name, number in values.items()}


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - see render

    family = CounterMetricFamily(f"dovetail_{name}", text, labels=labels)
    return _fill(family, labels, Counter(values))


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see render

    return _fill(GaugeMetricFamily(f"dovetail_{name}", text, labels=labels), labels, values)


def _fill(family: F, labels: tuple[str, ...], values: Mapping[Any, float]) -> F:
    for key, number in sorted(values.items()):
        family.add_metric(list(key[: len(labels)]), number)
    return family


def _histogram(name: str, text: str, label: str | None, values: Mapping[str, Buckets]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - see render

    labels = (label,) if label is not None else ()
    family = HistogramMetricFamily(f"dovetail_{name}", text, labels=labels)
    for key, buckets in sorted(values.items()):
        up_to, shown = 0, []
        for bound, count in zip((*buckets.bounds, float("inf")), buckets.counts, strict=True):
            up_to += count
            shown.append(("+Inf" if bound == float("inf") else f"{bound:g}", up_to))
        family.add_metric([key] if label is not None else [], shown, buckets.total)
    return family
