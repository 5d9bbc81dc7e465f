"""The base of every declared table: immutable, keys in either case, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from dovetail.service.declaration.problem import (
    MISSING,
    Problem,
    ProblemsError,
    kind_of,
    problems_of,
    refuse,
)
from dovetail.service.spelling import closest, snake_case


class Declaration(BaseModel):
    """
    A table of a declaration.

    Subclasses add what concerns several fields together in `cross_check`, which also runs when
    single fields are wrong, so that a person sees everything in one go.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """
        Return what is wrong between fields.

        Args:
            fields: The values as given, under snake_case names. Any of them may be missing or
                of the wrong kind; what is wrong with one field alone is reported elsewhere.
        """
        return []

    @classmethod
    def unknown_key(cls, key: str) -> Problem:
        """Return the problem of a key that this table does not have."""
        names = tuple(cls.model_fields)
        return Problem((key,), "is not a key of this table.", names, closest(key, names))

    @model_validator(mode="wrap")
    @classmethod
    def _gather(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls):
            return handler(data)
        if not isinstance(data, Mapping):
            raise refuse(f"must be a table of keys and values, not {kind_of(data)}.")
        fields, problems = cls._fields(data)
        try:
            made = handler(fields)
        except ValidationError as error:
            # A key that is missing because it is misspelt is one problem, not two.
            meant = {(problem.closest,) for problem in problems}
            found = (p for p in problems_of(error) if p.message != MISSING or p.path not in meant)
            raise ProblemsError([*problems, *found, *cls.cross_check(fields)]) from error
        if problems := [*problems, *cls.cross_check(fields)]:
            raise ProblemsError(problems)
        return made

    @classmethod
    def _fields(cls, data: Mapping[Any, Any]) -> tuple[dict[str, Any], list[Problem]]:
        fields: dict[str, Any] = {}
        problems: list[Problem] = []
        for key, value in data.items():
            name = snake_case(key) if isinstance(key, str) else ""
            if name not in cls.model_fields:
                problems.append(cls.unknown_key(str(key)))
            elif name in fields:
                problems.append(Problem((str(key),), f"is given twice: it is the same as {name}."))
            elif value is not None or cls.model_fields[name].is_required():
                # "mappings:" with nothing after it is how YAML writes a section left empty.
                fields[name] = value
        return fields, problems


def part(data: object, *path: str) -> Any:
    """Return a value deep in what was given: tables with any spelling, or models; else None."""
    for name in path:
        if isinstance(data, Mapping):
            data = next((v for k, v in data.items() if _is_key(k, name)), None)
        else:
            data = getattr(data, name, None) if isinstance(data, BaseModel) else None
    return data


def _is_key(key: object, name: str) -> bool:
    return isinstance(key, str) and snake_case(key) == name
