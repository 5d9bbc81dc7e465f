"""The workflow that the page shows does what the page says."""

import re
from pathlib import Path

import pytest

from dovetail.testing.loop import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "workflows.md"
BLOCK = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]


@pytest.mark.parametrize("name", re.findall(r"async def (test_\w+)", BLOCK))
def test_the_order_of_the_page(name):
    names = {"__name__": "page"}
    exec(compile(BLOCK, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    run(names[name]())
