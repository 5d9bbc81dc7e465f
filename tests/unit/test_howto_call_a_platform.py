"""The handler that the page shows does what the page says."""

import re
from pathlib import Path

from dovetail.testing.loop import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "call-a-platform.md"


def test_the_titles_of_the_page():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"__name__": "page"}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    run(names["test_a_hundred_titles_are_a_few_calls"]())
