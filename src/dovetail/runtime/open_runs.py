"""
Whether new code can go on with the runs that are open: what to look at before a deploy.

The journals of open runs name the steps that were done; the source of a handler, and of the
functions of its own program that it uses, names the steps that it has. A step name that is made
while the program runs cannot be known, and is said to be unknown rather than guessed.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import (
    CHILD,
    OPEN,
    SCHEDULED,
    SLEEP,
    STEP,
    WAIT,
    deliveries,
    run_states,
    steps,
)

_GENERATED = ("idempotent:", "undo ")
_STEP_CALLS = {
    STEP: ("step", "later"),
    SLEEP: ("sleep", "sleep_until"),
    WAIT: ("wait_for",),
    CHILD: ("run",),
}
_DEFAULTS = {SLEEP: re.compile("sleep"), WAIT: re.compile("wait for .*", re.DOTALL)}
_ATTRIBUTES = frozenset(("later", "sleep", "sleep_until", "wait_for"))


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """
    A run that is open and that the new code may not be able to go on with.

    `problem` is ``handler-gone``, ``step-gone`` (`names` are recorded and not in the code), or
    ``unknown`` (they are not in the code as it is read, which makes step names as it runs).
    """

    id: int
    handler: str
    business_id: str
    problem: str
    names: list[str]


class OpenRunsReport(msgspec.Struct, frozen=True, kw_only=True):
    """How many open runs were looked at, and which of them give cause for a second look."""

    checked: int
    found: list[OpenRun]

    @property
    def is_safe(self) -> bool:
        """Whether nothing that is known stands in the way."""
        return all(one.problem == "unknown" for one in self.found)


class _StepNames:
    """The step names in the source of a handler."""

    def __init__(self, function: Callable[..., Any], handlers: set[str]) -> None:
        self.handlers = handlers
        self.texts: set[str] = set()
        self.patterns: list[re.Pattern[str]] = []
        self.is_dynamic = False
        self.calls: set[str] = set()
        self.children: set[str] = set()
        self.used: set[str] = set()
        for tree in _sources(function):
            self._read(tree)

    def has(self, kind: int, name: str) -> bool:
        if kind == CHILD:
            return bool(self.children & {name, _last_part(name)})
        if kind in _DEFAULTS and _DEFAULTS[kind].fullmatch(name):
            return any(call in self.calls for call in _STEP_CALLS[kind])
        if name in self.texts or any(one.fullmatch(name) for one in self.patterns):
            return True
        if name.startswith(_GENERATED[0]):
            return "idempotent" in self.used
        if name.startswith(_GENERATED[1]):
            return True
        parts = name.split(".")  # a platform call: hubspot.contacts.upsert
        return len(parts) == 3 and parts[1] in self.used and "platform" in self.used

    def _read(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                self.used.add(node.id)
            elif isinstance(node, ast.Attribute):
                self.used.add(node.attr)
            elif isinstance(node, ast.Call):
                self._read_call(node)

    def _read_call(self, node: ast.Call) -> None:
        called = node.func
        if isinstance(called, ast.Name) and called.id == "step":
            name = "step"
        elif isinstance(called, ast.Attribute) and called.attr in _ATTRIBUTES:
            name = called.attr
        elif isinstance(called, ast.Attribute) and _is_child_call(called) and node.args:
            self._note_child(node.args[0])
            return
        else:
            return
        self.calls.add(name)
        named = next((one.value for one in node.keywords if one.arg == "name"), None)
        if name in ("step", "later") and named is None and node.args:
            named = node.args[0]
        if named is not None:
            self._note(named)

    def _note_child(self, node: ast.expr) -> None:
        """Note which handler is run: by its name, or as a function, which may be called so."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.children.add(node.value)
            return
        named = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
        if isinstance(named, str):
            self.children.add(named)
        # Another name for the handler, or a parameter, cannot be told from one that is gone.
        self.is_dynamic = self.is_dynamic or named not in self.handlers

    def _note(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.texts.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [
                re.escape(one.value)
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
                else ".*"
                for one in node.values
            ]
            self.patterns.append(re.compile("".join(parts), re.DOTALL))
        else:
            self.is_dynamic = True


def _is_child_call(called: ast.Attribute) -> bool:
    owner = called.value  # step.run or dovetail.step.run, and not asyncio.run
    owned_by = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return called.attr == "run" and owned_by == "step"


def _last_part(handler: str) -> str:
    """Return what a handler's function is called where it is used."""
    return handler.partition("#")[0].rpartition(".")[2]


def open_runs_report(tx: Tx, handlers: Sequence[HandlerSpec]) -> OpenRunsReport:
    """
    Return which open runs of the database this code cannot go on with, as far as can be known.

    Looks at runs that have begun: those with a journal, and those whose handler is gone.
    """
    called = {_last_part(spec.name) for spec in handlers}
    names = {spec.name: _StepNames(inspect.unwrap(spec.call), called) for spec in handlers}
    runs = tx.rows(
        sa.select(deliveries.c.id, deliveries.c.handler, deliveries.c.business_id)
        .outerjoin(run_states, run_states.c.delivery_id == deliveries.c.id)
        .where(deliveries.c.status.in_((OPEN, SCHEDULED)))
        .order_by(deliveries.c.id)
    )
    found: list[OpenRun] = []
    for run in runs:
        known = names.get(run.handler)
        if known is None:
            found.append(_open_run(run, "handler-gone", []))
            continue
        missing = [name for kind, name in _recorded(tx, run.id) if not known.has(kind, name)]
        if missing:
            found.append(_open_run(run, "unknown" if known.is_dynamic else "step-gone", missing))
    return OpenRunsReport(checked=len(runs), found=found)


def _open_run(run: sa.Row[Any], problem: str, names: list[str]) -> OpenRun:
    return OpenRun(
        id=run.id, handler=run.handler, business_id=run.business_id, problem=problem, names=names
    )


def _recorded(tx: Tx, delivery_id: int) -> list[tuple[int, str]]:
    rows = tx.rows(
        sa.select(steps.c.kind, steps.c.name)
        .where(steps.c.delivery_id == delivery_id, steps.c.kind.in_(list(_STEP_CALLS)))
        .distinct()
        .order_by(steps.c.name)
    )
    return [(row.kind, row.name) for row in rows]


def _sources(function: Callable[..., Any]) -> Iterator[ast.AST]:
    """Yield the source of a function and of the functions of its program that it uses."""
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        one = inspect.unwrap(waiting.pop())
        if id(one) in seen or not isinstance(one, FunctionType):
            continue
        seen.add(id(one))
        if (one.__module__ or "").partition(".")[0] == "dovetail":
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
        except (OSError, SyntaxError, TypeError):
            continue
        yield tree
        around = inspect.getclosurevars(one)
        waiting.extend({**around.globals, **around.nonlocals}.values())
