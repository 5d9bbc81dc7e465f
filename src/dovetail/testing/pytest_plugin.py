"""
pytest plugin: runs ``async def`` tests on a virtual-time loop (see `dovetail.testing.loop`).

Mark a test ``real_time`` when it needs sockets, threads or other processes.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "real_time: run on an ordinary event loop")


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests; leave the others to pytest."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    from dovetail.testing.loop import run  # noqa: PLC0415 - asyncio only where a test needs it

    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    real = pyfuncitem.get_closest_marker("real_time") is not None
    run(pyfuncitem.obj(**arguments), virtual_time=not real)
    return True
