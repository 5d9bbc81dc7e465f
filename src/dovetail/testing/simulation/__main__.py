"""
Search for a broken promise: ``python -m dovetail.testing.simulation --seeds 100``.

Every failure is shrunk and printed with the line that replays it; the exit status tells.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from dovetail.core.clock import SystemClock
from dovetail.testing.simulation.outcome import Outcome
from dovetail.testing.simulation.run import simulate
from dovetail.testing.simulation.shrink import shrink
from dovetail.testing.simulation.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m dovetail.testing.simulation")
    parser.add_argument("program", nargs="?", type=Path, help="your module; a sync of contacts")
    parser.add_argument("--seeds", type=int, default=20, help="how many worlds")
    parser.add_argument("--base", type=int, help="the first seed; a random one when not given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--records", type=int, help="people on each side")
    parser.add_argument("--duration", type=float, help="seconds in which people edit")
    parser.add_argument("--first", action="store_true", help="stop at the first failure")
    parser.add_argument("--unshrunk", action="store_true", help="print failures as they are")
    parser.add_argument("--hashes", action="store_true", help="print the hash of every trace")
    chosen = parser.parse_args(arguments)
    base = chosen.base if chosen.base is not None else random.SystemRandom().randrange(10**9)
    play = partial(_play, program=chosen.program, records=chosen.records, length=chosen.duration)
    started = SystemClock().monotonic()
    _say(f"{chosen.seeds} worlds from seed {base} on")
    played, failed = 0, []
    for outcome in _outcomes(play, range(base, base + chosen.seeds), chosen.jobs):
        played += 1
        if chosen.hashes:
            _say(f"{outcome.world.seed} {outcome.trace_hash}")
        if not outcome.ok:
            failed.append(outcome.world.seed)
            again = partial(simulate, program=chosen.program)
            told = outcome if chosen.unshrunk else shrink(outcome, again)
            _say(describe(told, _options(chosen)))
            if chosen.first:
                break
    seconds = SystemClock().monotonic() - started
    _say(f"{played} worlds in {seconds:.1f} s, {len(failed)} failed {failed or ''}")
    return 1 if failed else 0


def describe(outcome: Outcome, options: str = "") -> str:
    """
    Return what a person needs to understand and to replay a failure.

    Args:
        outcome: The failure.
        options: What the world was drawn with besides its seed, as the command takes it.
    """
    seed = outcome.world.seed
    return "\n".join(
        [
            "",
            f"Seed {seed} breaks a promise:",
            *(f"  {violation}" for violation in outcome.violations[:5]),
            "",
            "The last events about it:",
            *(f"  {line[:240]}" for line in outcome.last),
            "",
            "The smallest world that was found to break it:",
            str(outcome.world),
            "",
            f"Replay: python -m dovetail.testing.simulation --base {seed} --seeds 1{options}",
            "",
        ]
    )


def _options(chosen: argparse.Namespace) -> str:
    told = f" {chosen.program}" if chosen.program is not None else ""
    if chosen.records is not None:
        told += f" --records {chosen.records}"
    return told if chosen.duration is None else f"{told} --duration {chosen.duration:g}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _play(seed: int, program: Path | None, records: int | None, length: float | None) -> Outcome:
    return simulate(World.random(seed, records=records, duration_s=length), program)


def _outcomes(play: partial[Outcome], seeds: range, jobs: int) -> Iterator[Outcome]:
    if jobs <= 1 or len(seeds) == 1:
        _collect_less()
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(max_workers=jobs, initializer=_collect_less) as pool:
        try:
            yield from pool.map(play, seeds)
        finally:
            pool.shutdown(cancel_futures=True)


def _collect_less() -> None:
    # What is imported stays, and a world's garbage is small: looking for it took an eighth of
    # the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


if __name__ == "__main__":
    sys.exit(main())
