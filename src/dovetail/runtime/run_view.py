"""What is shown of runs: plain data for people and programs, and a run's story in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dovetail.model.event import Event
from dovetail.runtime.store.schema import (
    CHILD,
    COMMIT,
    FAILURE,
    KIND_NAMES,
    SLEEP,
    STEP,
    UNDO,
    WAIT,
)


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """
    One run in a list. Moments are whole microseconds since 1970 UTC.

    `due_at` is when it goes on: the end of a sleep, the time-out of a wait (None without one), the
    next try. `started_at` is when its event happened.
    """

    id: int
    handler: str
    business_id: str
    status: str
    attempt: int
    started_at: int
    due_at: int | None
    finished_at: int | None
    event_id: str
    event_type: str
    event_key: str
    steps: int
    waits_for: str | None


class JournalView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One entry of a run's journal.

    `kind` is step, sleep, wait, child, undo, commit or failure. `result` is plain data, `undo` the
    name of the function that takes the step back, `undone_at` when it did.
    """

    kind: str
    name: str
    key: str
    repeat: int
    position: int
    started_at: int
    recorded_at: int
    result: Any
    undo: str | None = None
    undone_at: int | None = None


class WaitView(msgspec.Struct, frozen=True, kw_only=True):
    """What a run waits for now: an event type and what its fields must be."""

    event_type: str
    where: dict[str, Any]
    until: int | None


class ChildView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the run caused, and one run that it started."""

    event_id: str
    event_type: str
    run_id: int | None
    handler: str | None
    status: str | None


class ParentView(msgspec.Struct, frozen=True, kw_only=True):
    """The run that has started this one; `handler` is None when its history is gone."""

    run_id: int
    handler: str | None
    key: str
    is_waiting: bool


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One failed try."""

    at: int
    code: str
    message: str


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a run, in words."""

    at: int
    what: str
    detail: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story of a run; `timeline` tells it in order."""

    summary: RunSummary
    event: Event
    reason: str | None
    error: dict[str, Any] | None
    attempts: list[AttemptView]
    journal: list[JournalView]
    waits: list[WaitView]
    children: list[ChildView]
    timeline: list[TimelineEntry]
    parent: ParentView | None = None


_ENDINGS = {
    "done": "finished",
    "dead": "given up",
    "discarded": "discarded",
    "cancelled": "cancelled",
}


_RECORDED = {
    KIND_NAMES[UNDO]: "undone",
    KIND_NAMES[FAILURE]: "step failed",
    KIND_NAMES[STEP]: "step",
}


def timeline(
    summary: RunSummary,
    attempts: Sequence[AttemptView],
    journal: Sequence[JournalView],
    parent: ParentView | None = None,
) -> list[TimelineEntry]:
    """Return what happened to a run, oldest first."""
    told = [TimelineEntry(at=summary.started_at, what="event", detail=summary.event_type)]
    if parent is not None:
        by = f"by run {parent.run_id}" + (f" ({parent.handler})" if parent.handler else "")
        told = [TimelineEntry(at=summary.started_at, what="started", detail=by)]
    for one in journal:
        told.extend(_tell(one))
    told.extend(
        TimelineEntry(at=one.at, what="failed", detail=one.message or one.code) for one in attempts
    )
    told.sort(key=lambda entry: entry.at)  # stable: the journal's own order where moments tie
    if summary.finished_at is not None:
        ending = _ENDINGS.get(summary.status, summary.status)
        told.append(TimelineEntry(at=summary.finished_at, what=ending, detail=""))
    return told


def _tell(entry: JournalView) -> list[TimelineEntry]:
    name = f"{entry.name} [{entry.key}]" if entry.key else entry.name
    if entry.kind == KIND_NAMES[COMMIT]:
        return [TimelineEntry(at=entry.recorded_at, what="committed", detail=_commit_text(entry))]
    if entry.kind == KIND_NAMES[SLEEP]:
        return [TimelineEntry(at=entry.started_at, what="slept", detail=name)]
    if entry.kind in _RECORDED:
        return [TimelineEntry(at=entry.recorded_at, what=_RECORDED[entry.kind], detail=name)]
    if entry.kind == KIND_NAMES[CHILD]:
        return _tell_child(entry, name)
    began = TimelineEntry(at=entry.started_at, what="waited", detail=name)
    outcome = entry.result if isinstance(entry.result, dict) else {}
    if entry.kind == KIND_NAMES[WAIT] and "event" in outcome:
        return [began, TimelineEntry(at=entry.recorded_at, what="woken", detail=name)]
    if outcome.get("timed_out"):
        return [began, TimelineEntry(at=entry.recorded_at, what="timed out", detail=name)]
    return [began]


def _tell_child(entry: JournalView, name: str) -> list[TimelineEntry]:
    outcome = entry.result if isinstance(entry.result, dict) else {}
    child = f"{name}: run {outcome.get('run')}"
    began = TimelineEntry(at=entry.started_at, what="child started", detail=child)
    if "until" in outcome:
        return [began]
    ending = "timed out" if outcome.get("timed_out") else str(outcome.get("status", "done"))
    return [began, TimelineEntry(at=entry.recorded_at, what=f"child {ending}", detail=child)]


def _commit_text(entry: JournalView) -> str:
    done = entry.result if isinstance(entry.result, list) else []
    return f"{len(done)} {'change' if len(done) == 1 else 'changes'}"
