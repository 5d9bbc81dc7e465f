"""
What is wrong with a declaration: where, what, what is allowed there, what was probably meant.

::

    a validator refuses           -> ProblemsError with paths relative to the value it was given
    pydantic gathers them         -> ValidationError, one line per place
    problems_of(ValidationError)  -> problems with whole paths
    declaration_error(problems)   -> the DeclarationError that a person reads
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from dovetail.errors import DeclarationError
from dovetail.service.spelling import closest, snake_case

Path = tuple[str | int, ...]

MISSING = "is missing."

_KINDS = {
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong.

    Attributes:
        path: Keys and list positions from the top of the declaration.
        message: What is wrong, as a sentence.
        allowed: What could stand there, when that is a list of names.
        closest: The allowed name that was probably meant.
    """

    path: Path
    message: str
    allowed: tuple[str, ...] = ()
    closest: str | None = None

    @property
    def where(self) -> str:
        """The path as people write it: ``integration.platforms[1]``."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    def under(self, *prefix: str | int) -> Problem:
        """Return the problem as seen from further up."""
        return replace(self, path=(*prefix, *self.path))

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.path else self.message
        if self.closest is not None:
            text += f" Did you mean {self.closest!r}?"
        if self.allowed:
            text += f" Allowed: {', '.join(self.allowed)}."
        return text

    def to_record(self) -> dict[str, Any]:
        """Plain JSON of the problem."""
        return {
            "path": self.where,
            "message": self.message,
            "allowed": list(self.allowed),
            "closest": self.closest,
        }


class ProblemsError(ValueError):
    """Carries problems out of a validator; users see a DeclarationError instead."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def refuse(message: str, *path: str | int) -> ProblemsError:
    """Return the error for one problem at *path* below the value at hand."""
    return ProblemsError([Problem(path, message)])


def unknown(value: str, noun: str, allowed: Iterable[str], *path: str | int) -> Problem:
    """Return the problem of a name that is none of the allowed ones."""
    names = tuple(str(name) for name in allowed)
    return Problem(path, f"{value!r} is not {noun}.", names, closest(value, names))


def kind_of(value: object) -> str:
    """Describe a value of the wrong kind for a message."""
    match value:
        case None:
            return "nothing"
        case Mapping():
            return "a table"
        case str():
            return repr(value)
        case Sequence():
            return "a list"
        case set() | frozenset():
            return "a set, which has no order"
        case _:
            return repr(value)


def problems_of(error: ValidationError) -> list[Problem]:
    """Return every problem that pydantic gathered, with its path below the validated value."""
    problems: list[Problem] = []
    for line in error.errors(include_url=False):
        cause = line.get("ctx", {}).get("error")
        if isinstance(cause, ProblemsError):
            problems += [problem.under(*line["loc"]) for problem in cause.problems]
        elif line["type"] == "missing":
            problems.append(Problem(line["loc"], MISSING))
        else:
            wanted = _KINDS.get(line["type"])
            message = f"must be {wanted}, not {kind_of(line['input'])}." if wanted else line["msg"]
            problems.append(Problem(line["loc"], message))
    return problems


def as_written(problem: Problem, data: object) -> Problem:
    """Return the problem with its path spelled as the declaration spells it (``syncMode``)."""
    path: list[str | int] = []
    for part in problem.path:
        spelled = part
        if isinstance(data, Mapping) and isinstance(part, str) and part not in data:
            same = (key for key in data if isinstance(key, str) and snake_case(key) == part)
            spelled = next(same, part)
        path.append(spelled)
        data = _item(data, spelled)
    return replace(problem, path=tuple(path))


def declaration_error(problems: Sequence[Problem], subject: str) -> DeclarationError:
    """Return the error that lists every problem of *subject*."""
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = "".join(f"\n  {problem}" for problem in problems)
    return DeclarationError(
        f"There is {count} in {subject}:{lines}"
        if len(problems) == 1
        else f"There are {count} in {subject}:{lines}",
        problems=[problem.to_record() for problem in problems],
    )


def _item(data: object, part: str | int) -> object:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(part, int) and isinstance(data, list | tuple) and part < len(data):
        return data[part]
    return None
