"""`import dovetail` shows what it promises."""

import ast
import importlib
import inspect

import pytest

import dovetail


@pytest.mark.parametrize("name", dovetail.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(dovetail, name)

    assert inspect.getdoc(value), f"dovetail.{name} has no docstring"
    assert getattr(dovetail, name) is value


def test_public_names_are_those_that_type_checkers_see(tree):
    imported = _imports_for_type_checkers(tree)

    assert sorted(imported) == sorted(dovetail.__all__)
    assert imported == dovetail._HOMES


def test_public_names_show_before_they_are_loaded():
    assert set(dovetail.__all__) <= set(dir(dovetail))


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Servise'"):
        dovetail.Servise  # noqa: B018 - the access is the test


def test_the_entities_module_exports_what_it_imports():
    entities = importlib.import_module("dovetail.entities")

    public = {name for name, value in vars(entities).items() if inspect.isclass(value)}

    assert public == set(entities.__all__)


def _imports_for_type_checkers(tree):
    module = tree.parse(tree.root / "src" / "dovetail" / "__init__.py")
    block = next(node for node in module.body if isinstance(node, ast.If))
    return {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
