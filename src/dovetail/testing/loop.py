"""
An event loop whose time jumps: ``asyncio.sleep(86_400)`` takes microseconds.

When nothing is ready to run, the loop moves its own clock to the next timer instead of waiting.
While work runs on a thread (``run_in_executor``) it waits for that work without moving its clock,
so a timer never overtakes the work it is meant to follow.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Nothing is scheduled and nothing can wake the loop: the awaited thing will never happen."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualTimeLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        loop = self.loop
        if ready or loop is None or timeout == 0:
            return ready
        if loop.threads_busy:
            return super().select(timeout)
        if timeout is None:
            if len(self.get_map()) > 1:  # a socket besides the loop's own wake-up pipe
                return super().select(None)
            raise DeadlockError(
                "Nothing is scheduled and nothing can wake the loop: what the test awaits "
                "never happens."
            )
        loop.jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop with virtual time; starts at zero."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        self._virtual_now = 0.0
        self.threads_busy = 0
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._virtual_now

    def jump(self, seconds: float) -> None:
        """Move virtual time forward."""
        self._virtual_now += max(seconds, 0.0)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run on a thread; virtual time stands still until it is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self.threads_busy += 1

        def done(_: asyncio.Future[T]) -> None:
            self.threads_busy -= 1

        future.add_done_callback(done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads to end, which happens outside of virtual time."""
        del timeout  # threads of a test end when their work does
        self.threads_busy += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads_busy -= 1


def run(main: Coroutine[Any, Any, T], *, virtual_time: bool = True) -> T:
    """Run a coroutine to its end, on virtual time unless told otherwise."""
    factory = VirtualTimeLoop if virtual_time else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
