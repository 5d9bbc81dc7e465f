"""The documentation says what the code says."""

import re

import pytest

from dovetail import errors

DECISION_SECTIONS = [
    "Context",
    "Decision",
    "What we gave up",
    "How we would notice that it was wrong",
]


def test_generated_pages_are_up_to_date(tree, capsys):
    stale = tree.script("docs/generate.py").main(["--check"])

    assert not stale, capsys.readouterr().err


def test_every_error_has_a_code_of_its_own(tree):
    codes = [error.code for error in tree.script("docs/generate.py").error_classes()]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_every_error_is_in_the_tree_and_on_the_page(tree):
    page = (tree.root / "docs" / "errors.md").read_text(encoding="utf-8")

    for error in tree.script("docs/generate.py").error_classes():
        assert re.search(rf"\b{error.__name__}\b", errors.__doc__), error
        assert f"\n## {error.code}\n" in page, error
        assert error.__doc__, error


def test_every_error_declares_its_code_itself(tree):
    inherited = [
        error.__name__
        for error in tree.script("docs/generate.py").error_classes()
        if "code" not in vars(error)
    ]

    assert not inherited


def test_decision_numbers_are_used_once(tree):
    names = [path.name for path in tree.script("docs/generate.py").decision_records()]
    numbers = [name.partition("-")[0] for name in names]

    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names), names
    assert len(numbers) == len(set(numbers)), names


def test_every_decision_says_what_it_cost_and_how_it_could_be_wrong(tree):
    for path in tree.script("docs/generate.py").decision_records():
        text = path.read_text(encoding="utf-8")
        sections = re.findall(r"^## (.+)$", text, re.MULTILINE)

        assert text.startswith(f"# {path.name[:4]}: "), path.name
        assert [name for name in sections if name in DECISION_SECTIONS] == DECISION_SECTIONS, path


def test_every_link_between_pages_leads_somewhere(tree):
    pages = [path for path in tree.repository_files if path.suffix == ".md"]
    broken = [
        f"{tree.name(page)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target
        and not target.startswith("mailto:")
        and not (page.parent / target).exists()
    ]

    assert not broken


def test_every_python_example_in_a_page_can_be_loaded(tree):
    for page in (path for path in tree.repository_files if path.suffix == ".md"):
        text = page.read_text(encoding="utf-8")
        for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            namespace = {"__name__": f"example_of_{page.stem}"}
            exec(compile(code, tree.name(page), "exec"), namespace)  # noqa: S102 - our own pages


def test_every_make_target_that_the_documentation_names_exists(tree):
    targets = set(re.findall(r"^([a-z]+):", (tree.root / "Makefile").read_text(), re.MULTILINE))
    pages = [path for path in tree.repository_files if path.suffix == ".md"]
    named = {
        name
        for page in pages
        for name in re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8"))
    }

    assert named <= targets


def test_change_fragments_are_well_named(tree):
    changelog = tree.script("scripts/changelog.py")

    assert not changelog.misnamed(tree.root / "changes")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_the_pages_that_a_newcomer_looks_for_are_there(tree, page):
    assert len((tree.root / page).read_text(encoding="utf-8").splitlines()) > 5
