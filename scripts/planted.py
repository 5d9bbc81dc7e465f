"""
Plant realistic mistakes into a copy of the source and count the seeds until the simulation tells.

    python scripts/planted.py             every mistake
    python scripts/planted.py --only NAME --seeds 40
    python scripts/planted.py --docs      also write the table into docs/explanation/simulation.md

A mistake that neither a seed nor its test finds, or whose place in the source has changed, makes
the exit status 1, and so does a seed that breaks a promise with nothing planted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from planted_kernel import KERNEL
from planted_tokens import TOKENS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "simulation.md"
_BEGIN, _END = "<!-- planted -->", "<!-- /planted -->"


@dataclass(frozen=True)
class Mistake:
    """
    One edit of the source that a tired engineer could make.

    `test` is a test that fails for it, for one that takes more seeds than are tried here.
    """

    name: str
    file: str
    old: str
    new: str
    test: str = ""


@dataclass(frozen=True)
class Found:
    """How a mistake came to light: by a seed that broke a promise, by its test, or not at all."""

    mistake: Mistake
    seeds: int | None
    promise: str
    by_test: bool = False

    def __str__(self) -> str:
        if self.by_test:
            return f"by `{self.mistake.test}`"
        return "not found" if self.seeds is None else str(self.seeds)


MISTAKES = (
    Mistake(
        "repeat an unanswered create without looking",
        "sync/push.py",
        "        if found.outstanding:\n            await self._look_up(found, seen)",
        "        if False:\n            await self._look_up(found, seen)",
    ),
    Mistake(
        "forget intents before creates",
        "sync/outgoing.py",
        "        self._intents.append(\n            Intent(",
        "        _ = (\n            Intent(",
    ),
    Mistake(
        "answer a webhook before the commit",
        "app/intake.py",
        "                await self._store.write_each(self._log.append_each, drafts)",
        "                self._late = asyncio.ensure_future(\n"
        "                    self._store.write_each(self._log.append_each, drafts)\n"
        "                )",
    ),
    Mistake(
        "do not recognise a repeated webhook",
        "app/intake.py",
        '                id=derive_id(change.occurred_at, "webhook", record.id, change.id),',
        "                id=None,",
    ),
    Mistake(
        "run a handler and forget to mark it done",
        "runtime/books.py",
        '{"status": DONE, "finished_at": finished_at}',
        '{"finished_at": finished_at}',
    ),
    Mistake(
        "commit a handler's effects apart from its mark",
        "runtime/books.py",
        "        try:\n            await self._store.write_each(self._finish_all, item)\n"
        "        except StoreError as error:",
        "        try:\n"
        "            await self._store.write_each(self._finish_all, _Finish(item.ids, item."
        "finished_at, None))\n"
        "            if item.unit is not None:\n"
        "                await self._store.write(item.unit.apply)\n"
        "        except StoreError as error:",
    ),
    Mistake(
        "lose what a handler sends when runs share a commit",
        "runtime/books.py",
        "            if item.unit is not None:\n                item.unit.apply(tx)",
        "            if item.unit is not None and item is items[0]:\n"
        "                item.unit.apply(tx)",
    ),
    Mistake(
        "commit the cursor before its page",
        "sync/poll.py",
        "            await self._absorb(route, page, read_at)\n",
        "            await self._store.write(\n"
        "                lambda tx, page=page: save_cursor(\n"
        "                    tx, spoke.connection_id, route.entity.name,\n"
        "                    to_micros(self._desk.clock.now()), cursor=page.cursor,\n"
        "                    total=page.total,\n"
        "                )\n"
        "            )\n"
        "            await self._absorb(route, page, read_at)\n",
        test="tests/unit/sync/test_push.py",
    ),
    Mistake(
        "drop what is open at a restart",
        "runtime/sweep.py",
        "            self._bus.leave(flows, position, up_to)",
        "            self._bus.leave([], position, up_to)",
    ),
    Mistake(
        "coalesce the pushes of all records",
        "sync/draft.py",
        "        type=PUSH,\n        key=key,",
        "        type=PUSH,\n        key=connection_id,",
    ),
    Mistake(
        "link without looking for the natural key",
        "sync/absorb.py",
        "            found = ledger.by_key.get(key)",
        "            found = None",
    ),
    Mistake(
        "ignore a merge",
        "sync/absorb.py",
        "            return absorb_merge(ledger, spoke, record, link)",
        "            return None",
    ),
    Mistake(
        "let the last to arrive win",
        "sync/policy.py",
        "        return self.later(name, ours, theirs)\n\n    def _order",
        "        return theirs\n\n    def _order",
    ),
    Mistake(
        "take a blank for a value at the first link",
        "sync/reconcile.py",
        "    elif is_blank(their.value):\n        decision.settled.add(name)",
        "    elif is_blank(their.value):\n        _take(decision, name, their)",
    ),
    Mistake(
        "decide a conflict without recording it",
        "sync/settle.py",
        "    for conflict in decision.conflicts:\n",
        "    for conflict in ():\n",
    ),
    Mistake(
        "overwrite a field that waits for a person",
        "sync/reconcile.py",
        "        if name in frozen:\n",
        "        if False:\n",
        test="tests/scenarios/test_two_crms.py",
    ),
    Mistake(
        "take theirs whatever ours became meanwhile",
        "sync/reconcile.py",
        "        elif our.value == base_ours.get(name, before):\n",
        "        elif True:\n",
    ),
    Mistake(
        "keep no journal of steps",
        "runtime/journal.py",
        "        for row in rows:\n            place = Place",
        "        for row in []:\n            place = Place",
    ),
    Mistake(
        "take a surprise in the read-back for agreement",
        "sync/outcome.py",
        "                link.settle(name, value)\n        link.sent = {}",
        "                link.settle(name, back.get(name, value), value)\n        link.sent = {}",
    ),
    Mistake(
        "share no budget between calls",
        "app/budget_store.py",
        "            state, result = change(json.decode(found) if found is not None else None)",
        "            state, result = change(None)",
        test="tests/unit/test_budget_store.py",
    ),
    Mistake(
        "give up after three tries",
        "sync/engine.py",
        "attempts=2_000",
        "attempts=3",
    ),
    Mistake(
        "forget the overlap of a cursor",
        "connectors/salesforce/watermark.py",
        "timedelta(seconds=resource.consistency_lag_s)",
        "timedelta(seconds=-1)",
        test="tests/connectors/salesforce/connector/test_salesforce_connector_reading.py",
    ),
    Mistake(
        "never ask again for webhooks",
        "app/app.py",
        "                if self._asks_for_webhooks:\n",
        "                if False:\n",
    ),
    Mistake(
        "forget a create that may have been made",
        "sync/push.py",
        "            if not error.may_be_applied:\n",
        "            if True:\n",
        test="tests/simulation/test_simulation.py::test_a_world_that_broke_a_promise_once_keeps_it",
    ),
    *(Mistake(*one) for one in KERNEL),
    *(Mistake(*one) for one in TOKENS),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="mistakes whose name has this in it")
    parser.add_argument("--seeds", type=int, default=60, help="at most")
    parser.add_argument("--base", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--docs", action="store_true", help="write the table into the docs")
    chosen = parser.parse_args(arguments)
    mistakes = [one for one in MISTAKES if chosen.only is None or chosen.only in one.name]
    already = play(ROOT / "src", chosen.base, chosen.seeds)
    if already is not None:
        print(f"Seed {chosen.base + already[0] - 1} breaks {already[1]!r} with nothing planted.")
        return 1
    with ThreadPoolExecutor(chosen.jobs) as pool:
        results = []
        for found in pool.map(lambda one: search(one, chosen.base, chosen.seeds), mistakes):
            results.append(found)
            print(f"{found.mistake.name}: {found} {found.promise}", flush=True)
    if chosen.docs:
        write_page(results)
    return 1 if any(found.seeds is None and not found.by_test for found in results) else 0


def search(mistake: Mistake, base: int, most: int) -> Found:
    """Return after how many seeds the simulation finds a mistake."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        file = source / "dovetail" / mistake.file
        text = file.read_text(encoding="utf-8")
        if text.count(mistake.old) != 1:
            return Found(mistake, None, "its place in the source has changed")
        file.write_text(text.replace(mistake.old, mistake.new), encoding="utf-8")
        broken = play(source, base, most)
        if broken is not None:
            return Found(mistake, *broken)
        return Found(mistake, None, "", by_test=bool(mistake.test) and fails(mistake.test, source))


def play(source: Path, base: int, most: int) -> tuple[int, str] | None:
    """Return how many seeds it takes until a promise is broken, and which; None if none is."""
    command = [sys.executable, "-m", "dovetail.testing.simulation", "--jobs", "1", "--first"]
    size = ["--records", "20", "--duration", "1800", "--unshrunk"]
    done = subprocess.run(  # noqa: S603 - our own module
        [*command, *size, "--base", str(base), "--seeds", str(most)],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    played = re.search(r"(\d+) worlds in ", done.stdout)
    broken = re.search(r"breaks a promise:\n  (.*?):", done.stdout)
    if played is None:
        sys.exit(f"The simulation did not run: {done.stderr.strip()[-500:]}")
    return None if broken is None else (int(played[1]), broken[1])


def fails(test: str, source: Path) -> bool:
    """Return whether a test fails (and not only cannot run) on a source with a mistake in it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(  # noqa: S603 - our own tests
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        check=False,
    )
    return done.returncode == 1


def write_page(results: Sequence[Found]) -> None:
    """Put the table between its marks."""
    lines = ["| mistake | seeds until found | broken promise |", "|---|---|---|"]
    lines += [f"| {one.mistake.name} | {one} | {one.promise} |" for one in results]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(
        f"{before}{_BEGIN}\n\n" + "\n".join(lines) + f"\n\n{_END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
