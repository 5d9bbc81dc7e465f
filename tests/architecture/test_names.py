"""Names that say nothing, and words that the glossary has replaced."""

import ast
import re

BANNED_MODULES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
VAGUE_ENDINGS = {"Manager", "Helper", "Util", "Utils"}


def test_no_module_or_folder_has_a_name_that_says_nothing(tree):
    parts = {
        tree.name(path): set(path.relative_to(tree.root).with_suffix("").parts)
        for path in tree.python_files
    }

    vague = {name: sorted(words & BANNED_MODULES) for name, words in parts.items()}

    assert not [name for name, words in vague.items() if words], "name the noun that it holds"


def test_no_class_ends_in_a_word_that_the_glossary_has_replaced(tree):
    endings = VAGUE_ENDINGS | set(_replaced_words(tree))
    pattern = re.compile(f"({'|'.join(sorted(endings))})$")

    found = [
        f"{tree.name(path)}: {node.name}"
        for path in tree.python_files
        for node in ast.walk(tree.parse(path))
        if isinstance(node, ast.ClassDef) and pattern.search(node.name)
    ]

    assert not found, f"docs/glossary.md has the word to use: {found}"


def test_the_glossary_defines_each_word_once_and_uses_none_that_it_refuses(tree):
    words = [word for row in _rows(tree) for word in row[0].split(", ")]

    assert len(words) == len(set(words))
    assert not set(words) & set(_replaced_words(tree))


def test_the_glossary_really_refuses_words(tree):
    assert {"Adapter", "Provider", "Driver", "Mock"} <= set(_replaced_words(tree))


def _rows(tree):
    page = (tree.root / "docs" / "glossary.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if cells[0] != "Word"]


def _replaced_words(tree):
    return [word for row in _rows(tree) for word in re.findall(r"`(\w+)`", "".join(row[2:]))]
