"""YAML as a declaration is written in it: decimals exactly, and no key given twice."""

from __future__ import annotations

import pathlib
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from dovetail.errors import DeclarationError


def read_yaml(text: str, path: pathlib.Path) -> Any:
    """
    Return plain data.

    Raises:
        DeclarationError: It is not YAML; says where.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader, see below
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DeclarationError(f"{path} is not YAML: {exc.problem}{where}.") from exc
    except yaml.YAMLError as exc:
        raise DeclarationError(f"{path} is not YAML: {exc}.") from exc


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads decimals exactly and refuses a key that is given twice."""


def _construct_decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal | float:
    try:
        return Decimal(node.value.replace("_", ""))
    except InvalidOperation:
        # .inf, .nan and base 60, which YAML writes as floats too.
        return float(loader.construct_yaml_float(node))


def _construct_table(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_decimal)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_table)
