"""Every mistake that the search is tried with can still be planted."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def mistakes():
    sys.path.insert(0, str(SCRIPTS))  # the script imports its neighbours
    try:
        spec = importlib.util.spec_from_file_location("planted", SCRIPTS / "planted.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    return module.MISTAKES


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda one: one.name)
def test_the_place_of_a_mistake_is_there_once(mistake):
    text = (ROOT / "src" / "dovetail" / mistake.file).read_text(encoding="utf-8")

    assert text.count(mistake.old) == 1
