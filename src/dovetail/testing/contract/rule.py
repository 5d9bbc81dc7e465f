"""What every rule is given: a setting, of which it takes a running stand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.errors import UsageError
from dovetail.testing.contract.bench import Bench
from dovetail.testing.contract.stand import IN_PROCESS, OVER_A_SOCKET, Stand, set_up

_SETTINGS = frozenset({"setting", "indoors", "crowded"})
_SHORT_PAGE = 500


@dataclass(frozen=True)
class Setting:
    """One resource of a bench, and the way to its simulator."""

    bench: Bench
    resource: Resource
    way: str

    def __str__(self) -> str:
        return f"{self.bench.connector.platform} {self.resource.name}"

    @asynccontextmanager
    async def stand(self, *needed: Capability) -> AsyncIterator[Stand]:
        """Yield the connector and an empty simulator, or skip for what is not declared."""
        missing = [one.value for one in needed if one not in self.resource.capabilities]
        if missing:
            pytest.skip(f"{self} does not declare {', '.join(missing)}")
        async with set_up(self.bench, self.resource, self.way) as stand:
            yield stand


class Rules:
    """
    Base of the rules: runs each for every resource in process, and for one over a socket.

    A rule takes ``setting`` for both ways, ``indoors`` where a socket would show nothing more, and
    ``crowded`` when it makes a page of records and more: where pages are long, for one resource.
    """

    def bench(self) -> Bench:
        """Return what is tested; every subclass gives its own."""
        raise NotImplementedError(f"{type(self).__name__} must define bench()")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Repeat each rule for the resources and ways that it concerns."""
        for name in sorted(_SETTINGS & set(metafunc.fixturenames)):
            bench = self.bench()
            first, *others = _sampled(bench)
            if name == "crowded":
                others = [one for one in others if one.read_batch <= _SHORT_PAGE]
            params: list[Any] = [
                pytest.param(Setting(bench, one, IN_PROCESS), id=one.name)
                for one in (first, *others)
            ]
            if name == "setting":
                params.append(
                    pytest.param(
                        Setting(bench, first, OVER_A_SOCKET),
                        id=f"{first.name}-over-a-socket",
                        marks=pytest.mark.real_time,
                    )
                )
            metafunc.parametrize(name, params)

    @pytest.fixture(autouse=True)
    def _far_from_utc(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Let the machine stand where local time is not UTC, to the half hour."""
        with monkeypatch.context() as zone:
            zone.setenv("TZ", "America/St_Johns")
            _set_zone()
            yield
        _set_zone()

    @pytest.fixture(autouse=True)
    def _covered(self, request: pytest.FixtureRequest) -> None:
        """Note on the test's report which resource it is about, for the summary at the end."""
        callspec = getattr(request.node, "callspec", None)
        for name in _SETTINGS:
            if callspec is not None and name in callspec.params:
                setting: Setting = callspec.params[name]
                request.node.user_properties.append(("connector contract", str(setting)))


def _sampled(bench: Bench) -> list[Resource]:
    """Return the resources that have samples, in the order of their declaration."""
    known = {one.name: one for one in bench.connector.resources}
    unknown = sorted(set(bench.samples) - set(known))
    if unknown or not bench.samples:
        what = f"has no resource {unknown[0]!r}" if unknown else "needs samples to be tested"
        raise UsageError(
            f"{bench.connector.title} {what}. Give samples of: {', '.join(known)}.",
            platform=bench.connector.platform,
        )
    return [one for name, one in known.items() if name in bench.samples]


def _set_zone() -> None:
    if hasattr(time, "tzset"):  # not on Windows
        time.tzset()
