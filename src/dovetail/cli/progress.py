"""Showing how far a sync is: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from dovetail.core.log import configure_logging

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dovetail.cli.screen import Screen
    from dovetail.sync.status import SpokeStatus, SyncStatus


class SyncProgress:
    """
    Shows statuses of a sync, one after the other, on standard error.

    Args:
        screen: Where.
        log_level: Of the log lines that appear between the bars.
        json_log: Whether log lines are JSON.
    """

    def __init__(self, screen: Screen, *, log_level: str, json_log: bool = False) -> None:
        self._screen = screen
        self._log = (log_level, json_log)
        self._bars: Progress | None = None
        self._tasks: dict[tuple[str, str, str], TaskID] = {}
        self._told: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        if self._screen.err.is_terminal and not self._screen.json:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._screen.err,
                transient=True,
            )
            self._bars.start()
            self._configure_log()  # the bars now stand between the log and the terminal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._configure_log()

    def show(self, status: SyncStatus) -> None:
        """Show where every spoke stands."""
        for spoke in status.spokes:
            if self._bars is not None:
                self._draw(self._bars, spoke)
            else:
                self._tell(spoke)

    def _draw(self, bars: Progress, spoke: SpokeStatus) -> None:
        read, written = records_of(spoke), written_by(spoke)
        total = max(spoke.total or 0, read)
        # The platform may count what the sync will never see (archived while it was read).
        done = total if spoke.is_caught_up else read
        name = f"{spoke.platform} {spoke.entity}"
        self._bar(bars, (spoke.connection_id, spoke.entity, "read"), f"{name} read", done, total)
        planned = written + spoke.pending_pushes
        if planned:
            key = (spoke.connection_id, spoke.entity, "written")
            self._bar(bars, key, f"{name} written", written, planned)

    def _bar(
        self, bars: Progress, key: tuple[str, str, str], name: str, done: int, total: int
    ) -> None:
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = bars.add_task(name, total=total or None)
        bars.update(task, completed=done, total=total or None)

    def _tell(self, spoke: SpokeStatus) -> None:
        key = (spoke.connection_id, spoke.entity)
        of = f" of {spoke.total}" if spoke.total else ""
        state = "all read" if spoke.is_caught_up else f"{records_of(spoke)}{of} read"
        line = f"{spoke.platform} {spoke.entity}: {state}, {spoke.pending_pushes} to write"
        if self._told.get(key) != line:
            self._told[key] = line
            self._screen.note(line)

    def _configure_log(self) -> None:
        level, json_lines = self._log
        configure_logging(level, json_lines=json_lines)


def records_of(spoke: SpokeStatus) -> int:
    """Return how many of the platform's records are known."""
    return sum(spoke.links.values())


def written_by(spoke: SpokeStatus) -> int:
    """Return how many writes the platform has taken."""
    return sum(spoke.counts.get(name, 0) for name in ("written", "made", "removed"))
