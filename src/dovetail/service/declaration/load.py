"""Declarations from YAML and JSON files: one service, or a list of them under ``services``."""

from __future__ import annotations

import json
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from dovetail.errors import ConfigError, DeclarationError
from dovetail.service.declaration.problem import (
    Path,
    Problem,
    as_written,
    declaration_error,
    kind_of,
    problems_of,
)
from dovetail.service.declaration.service import Service

SUFFIXES = (".yaml", ".yml", ".json")
"""What a declaration file may be called."""


def load_services(path: pathlib.Path) -> list[Service]:
    """
    Return the services that a file declares, in order.

    Raises:
        ConfigError: The file cannot be read, or is neither YAML nor JSON.
        DeclarationError: It declares wrongly; `problems` lists everything, each with its path.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{path} is not a declaration file: its name must end in {', '.join(SUFFIXES)}."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 text.") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from exc
    if path.suffix.lower() == ".json":
        data = _read_json(text, path)
    else:
        # Here alone, since a program that declares in Python needs no YAML.
        from dovetail.service.declaration.yaml_file import read_yaml  # noqa: PLC0415

        data = read_yaml(text, path)
    return services_of(data, str(path))


def services_of(data: object, source: str) -> list[Service]:
    """
    Return the services in the plain data of a file.

    Args:
        data: A table with one service, or with a list of them under ``services``.
        source: What to call it in an error.

    Raises:
        DeclarationError: `problems` lists everything that is wrong, in every service.
    """
    if not isinstance(data, Mapping):
        problem = Problem((), f"must be a table that declares a service, not {kind_of(data)}.")
        raise declaration_error([problem], source)
    if "services" not in data:
        return _validated([((), data)], source)
    entries = data["services"]
    extra = [Problem((str(key),), "cannot stand beside services.") for key in data]
    extra = [problem for problem in extra if problem.path != ("services",)]
    if not isinstance(entries, list) or not entries:
        message = f"must be a list of services, not {kind_of(entries) if entries else 'empty'}."
        raise declaration_error([*extra, Problem(("services",), message)], source)
    return _validated(
        [(("services", position), entry) for position, entry in enumerate(entries)], source, extra
    )


def _validated(
    entries: Sequence[tuple[Path, Any]], source: str, extra: Sequence[Problem] = ()
) -> list[Service]:
    problems = list(extra)
    services: list[Service] = []
    for path, entry in entries:
        try:
            services.append(Service.model_validate(entry))
        except ValidationError as error:
            found = (as_written(problem, entry) for problem in problems_of(error))
            problems += [problem.under(*path) for problem in found]
    names = Counter(_name_of(entry) for _, entry in entries)
    for path, entry in entries:
        name = _name_of(entry)
        if name is not None and names[name] > 1:
            names[name] = 0
            problems.append(Problem((*path, "name"), f"{name!r} is the name of two services."))
    if problems:
        raise declaration_error(problems, source)
    return services


def _name_of(entry: object) -> str | None:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else None


def _read_json(text: str, path: pathlib.Path) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_unrepeated)
    except json.JSONDecodeError as exc:
        raise DeclarationError(
            f"{path} is not JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}."
        ) from exc
    except _RepeatedKeyError as exc:
        raise DeclarationError(f"{path}: {exc}") from exc


class _RepeatedKeyError(ValueError):
    pass


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise _RepeatedKeyError(f"the key {key!r} is given twice in one table.")
        table[key] = value
    return table
