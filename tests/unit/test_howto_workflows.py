"""The workflow that the page shows does what the page says."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from dovetail import db
from dovetail.entities import Order
from dovetail.runtime.runs import list_runs
from dovetail.testing.app import running_app
from dovetail.testing.loop import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "workflows.md"
_BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
BLOCK = _BLOCKS[0]


@pytest.mark.parametrize("name", re.findall(r"async def (test_\w+)", BLOCK))
def test_the_order_of_the_page(name):
    names = {"__name__": "page"}
    exec(compile(BLOCK, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    run(names[name]())


def test_the_child_runs_of_the_page():
    names = {"__name__": "page"}
    block = next(one for one in _BLOCKS if "step.run(" in one)
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page

    async def sold():
        handlers = [names["charge"], names["pack"], names["fulfil_in_parts"]]
        async with running_app(*handlers) as app:
            async with app.session():
                await db.create(Order, items=[], total=Decimal(10))
            await app.ports.clock.sleep(2 * 3600 + 5)
            runs = await app.store.read(list_runs)
            return sorted((one.handler, one.status) for one in runs)

    assert run(sold()) == [
        ("charge", "done"), ("fulfil_in_parts", "done"), ("pack", "done"), ("pack", "done"),
    ]  # fmt: skip
