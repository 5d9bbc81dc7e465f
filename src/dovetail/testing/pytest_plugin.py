"""
pytest plugin: runs ``async def`` tests on a virtual-time loop (see `dovetail.testing.loop`).

Mark a test ``real_time`` when it needs sockets, threads or other processes. At the end it says
which rules of the connector contract were kept, and which did not apply.
"""

from __future__ import annotations

import inspect
from collections import Counter
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much of the connector contract was tried, for each resource."""
    tried: dict[str, Counter[str]] = {}
    skipped: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            name = dict(getattr(report, "user_properties", ())).get("connector contract")
            if name is None:
                continue
            tried.setdefault(str(name), Counter())[outcome] += 1
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                reason = report.longrepr[2].removeprefix("Skipped: ").removeprefix(str(name))
                skipped.setdefault(str(name), Counter())[reason] += 1
    if tried:
        terminalreporter.section("connector contract")
    for name, counts in sorted(tried.items()):
        kept = f"{counts['passed']} kept, {counts['failed']} broken"
        terminalreporter.line(f"{name}: {kept}, {counts['skipped']} not for it")
        for reason, number in skipped.get(name, Counter()).most_common():
            terminalreporter.line(f"    {number} x {reason.lstrip(': ')}")
