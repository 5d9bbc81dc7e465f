"""The tests that the page on testing shows are run as they stand there."""

import re
from pathlib import Path

import pytest

from dovetail.testing.loop import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "test-your-integration.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["handler", "sync"])
def test_the_page_tells_the_truth(block):
    names = {"__name__": "page"}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        run(test())
