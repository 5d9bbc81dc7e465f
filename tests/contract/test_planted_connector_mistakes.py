"""The contract finds the mistakes that are planted into connectors, and its page says which."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


planted = load("planted_connector")
# One of each kind; `python scripts/planted_connector.py` tries them all.
TRIED = (
    "skip the rest of a moment at the end of a page",
    "ask for live records only, so that deletes are not in the feed",
    "swap the rows of a batch's answer",
    "send a write again when its answer is lost",
    "take a server error for an empty page",
    "show the token in the text of an error",
    "accept a webhook that is not signed",
)


@pytest.mark.parametrize("mistake", planted.MISTAKES, ids=lambda one: one.name)
def test_the_place_of_a_mistake_is_still_there(mistake):
    text = (ROOT / "src" / "dovetail" / mistake.file).read_text(encoding="utf-8")

    assert mistake.planted(text) != text


def test_names_are_used_once():
    names = [one.name for one in planted.MISTAKES]

    assert len(names) == len(set(names))
    assert set(TRIED) <= set(names)


def test_the_page_has_the_table():
    assert planted.table() in planted.PAGE.read_text(encoding="utf-8"), (
        "python scripts/planted_connector.py --docs writes it"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_a_mistake_is_found(name):
    (mistake,) = (one for one in planted.MISTAKES if one.name == name)

    assert planted.complaint(mistake)


@pytest.mark.slow
def test_the_rules_pass_with_nothing_planted():
    tried = [one for one in planted.MISTAKES if one.name in TRIED]

    assert not planted.already_broken(tried)
