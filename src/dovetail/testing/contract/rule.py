"""What every rule is given: a setting, of which it takes a running stand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dovetail.connector_sdk.spec import Capability, Resource
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
            chosen = [one for one in bench.connector.resources if one.name in bench.samples]
            kept = (
                chosen
                if name != "crowded"
                else [one for one in chosen if one is chosen[0] or one.read_batch <= _SHORT_PAGE]
            )
            params: list[Any] = [
                pytest.param(Setting(bench, one, IN_PROCESS), id=one.name) for one in kept
            ]
            if name == "setting":
                one = chosen[0]
                params.append(
                    pytest.param(
                        Setting(bench, one, OVER_A_SOCKET),
                        id=f"{one.name}-over-a-socket",
                        marks=pytest.mark.real_time,
                    )
                )
            metafunc.parametrize(name, params)

    @pytest.fixture(autouse=True)
    def _covered(self, request: pytest.FixtureRequest) -> None:
        """Note on the test's report which resource it is about, for the summary at the end."""
        callspec = getattr(request.node, "callspec", None)
        for name in _SETTINGS:
            if callspec is not None and name in callspec.params:
                setting: Setting = callspec.params[name]
                request.node.user_properties.append(("connector contract", str(setting)))
