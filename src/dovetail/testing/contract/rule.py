"""What every rule is given: a setting, of which it takes a running stand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.testing.contract.bench import Bench
from dovetail.testing.contract.stand import IN_PROCESS, OVER_A_SOCKET, Stand, set_up


@dataclass(frozen=True)
class Setting:
    """One resource of a bench, and the way to its simulator."""

    bench: Bench
    resource: Resource
    way: str

    @asynccontextmanager
    async def stand(self) -> AsyncIterator[Stand]:
        """Yield the connector and an empty simulator."""
        async with set_up(self.bench, self.resource, self.way) as stand:
            yield stand

    @asynccontextmanager
    async def with_capability(self, *needed: Capability) -> AsyncIterator[Stand]:
        """Yield a stand, or skip the rule with the capabilities that are not declared."""
        missing = [one.value for one in needed if one not in self.resource.capabilities]
        if missing:
            name = f"{self.bench.connector.platform} {self.resource.name}"
            pytest.skip(f"{name} does not declare {', '.join(missing)}")
        async with self.stand() as stand:
            yield stand


class Rules:
    """Base of the rules: runs each for every resource in process, and for one over a socket."""

    def bench(self) -> Bench:
        """Return what is tested; every subclass gives its own."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Repeat each rule for the resources and ways that it concerns."""
        if "setting" not in metafunc.fixturenames:
            return
        bench = self.bench()
        chosen = [one for one in bench.connector.resources if one.name in bench.samples]
        metafunc.parametrize(
            "setting",
            [
                *(
                    pytest.param(Setting(bench, one, IN_PROCESS), id=f"{one.name}-in process")
                    for one in chosen
                ),
                *(
                    pytest.param(
                        Setting(bench, one, OVER_A_SOCKET),
                        id=f"{one.name}-over a socket",
                        marks=pytest.mark.real_time,
                    )
                    for one in chosen[:1]
                ),
            ],
        )
