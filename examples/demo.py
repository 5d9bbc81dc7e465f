"""
The main job, end to end: two CRMs, a first sync, live edits, lost webhooks, a killed worker.

Everything is a real process speaking real HTTP: ``dovetail sandbox`` stands in for HubSpot and
Salesforce, ``dovetail run examples/crm_sync.py`` syncs them on SQLite. The judge at the end reads
the two sandboxes, not Dovetail's database. Run it with ``make demo``.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo_judge import (
    HUBSPOT,
    PLATFORMS,
    SALESFORCE,
    TITLES,
    Agreement,
    Side,
    addresses,
    compare,
    request,
)

HERE = Path(__file__).resolve().parent
DOVETAIL = [sys.executable, "-m", "dovetail"]

console = Console()


class Worker:
    """``dovetail run`` as a process that can be killed."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it says that it runs."""
        log = (self.folder / "worker.log").open("a")
        self.process = subprocess.Popen(
            [
                *DOVETAIL, "run", str(HERE / "crm_sync.py"), "--json",
                "--database", str(self.folder / "demo.db"), "--port", str(self.port),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )  # fmt: skip
        first_line(self.process, "dovetail run", self.folder / "worker.log")

    def kill(self) -> None:
        """Kill it with SIGKILL: no goodbye, no flush."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def status(self) -> dict[str, Any]:
        """Return what it says of itself; when it is gone, show its log and end."""
        try:
            return request(f"http://127.0.0.1:{self.port}/status")
        except OSError as error:
            console.print(f"[red]The worker does not answer:[/] {error}. The end of its log:")
            log = (self.folder / "worker.log").read_text()
            console.print("\n".join(log.splitlines()[-25:]), markup=False)
            raise SystemExit(1) from error


def main() -> int:
    """Run the demo; 0 when the two sides agree."""
    options = arguments()
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dovetail-demo-")))
        sides = stack.enter_context(sandboxes(folder, options.records, options.seed))
        worker = Worker(folder, free_port())
        stack.callback(worker.stop)
        for side in sides:
            side.before = addresses(side)
        first_s = first_sync(worker, sides)
        naive = naive_calls(worker.status(), sides)
        edits = live_edits(worker, sides, options.seed)
        agreement, live_s = settle(worker, sides, began + options.within)
        status = worker.status()
        report(sides, status, agreement, edits, naive, (first_s, live_s, time.monotonic() - began))
        if not agreement.holds:
            show_disagreement(agreement, folder / "worker.log")
            return 1
    what_next()
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2000, help="contacts in each CRM")
    parser.add_argument("--seed", type=int, default=2026, help="of the people and the edits")
    parser.add_argument("--within", type=float, default=55.0, help="seconds to reach agreement")
    return parser.parse_args()


@contextmanager
def sandboxes(folder: Path, records: int, seed: int) -> Iterator[list[Side]]:
    """Start the two sandboxes and connect Dovetail with both."""
    port = free_port(3)
    console.print(
        f"[bold]Dovetail[/] starts two sandbox CRMs with {records:,} contacts each; "
        f"{records // 4:,} of them are the same people.\n"
    )
    with (folder / "sandbox.log").open("w") as log:
        process = subprocess.Popen(
            [
                *DOVETAIL, "sandbox", *PLATFORMS, "--json",
                "--port", str(port), "--records", str(records), "--seed", str(seed),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )  # fmt: skip
        try:
            line = first_line(process, "dovetail sandbox", folder / "sandbox.log")
            found = {one["platform"]: one["base_url"] for one in json.loads(line)["platforms"]}
            connect = [*DOVETAIL, "connect", "--sandbox", f"http://127.0.0.1:{port}"]
            subprocess.run(
                [*connect, "--database", str(folder / "demo.db")],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield [Side(number, found[name]) for number, name in enumerate(PLATFORMS)]
        finally:
            process.terminate()
            process.wait(15)


def first_sync(worker: Worker, sides: list[Side]) -> float:
    """Start the worker and watch the first sync; return the seconds it took."""
    began = time.monotonic()
    worker.start()
    with bars() as progress:
        reading = [
            progress.add_task(f"linked from {title}", total=sum(side.before.values()))
            for title, side in zip(TITLES, sides, strict=True)
        ]
        writing = [progress.add_task(f"written to {title}", total=None) for title in TITLES]
        while True:
            status = worker.status()
            for number in (HUBSPOT, SALESFORCE):
                counts = spoke(status, number)
                read = counts["read"] - counts["made"]
                progress.update(reading[number], completed=read)
                done = counts["made"] + counts["written"]
                progress.update(writing[number], completed=done, total=done + counts["pending"])
            if all(spoke(status, number)["caught_up"] for number in (0, 1)) and idle(status):
                return time.monotonic() - began
            time.sleep(0.2)


def live_edits(worker: Worker, sides: list[Side], seed: int) -> Counter[str]:
    """Edit both sides as people would, lose webhooks, and kill the worker in the middle."""
    rng = random.Random(seed)
    hubspot, salesforce = sides
    hubspot.faults(
        {"kind": "webhook_lost", "probability": 0.2},
        {"kind": "webhook_duplicate", "probability": 0.2},
    )
    left, right = hubspot.records(), salesforce.records()
    by_email = {one["email"]: id for id, one in left.items() if one["email"]}
    seen = Counter(one["email"] for one in right.values())
    pairs = [
        (by_email[one["email"]], id)
        for id, one in right.items()
        if one["email"] in by_email and seen[one["email"]] == 1
    ]
    rng.shuffle(pairs)
    made: Counter[str] = Counter()
    with bars() as progress:
        task = progress.add_task("people edit both sides", total=12)
        for turn in range(12):
            batch = [pairs.pop() for _ in range(15)]
            # Five edited at HubSpot, five at Salesforce, five at both: a conflict on the title.
            hubspot.edit([{"id": h, "set": {"phone": phone(rng)}} for h, _ in batch[:5]])
            salesforce.edit([{"id": s, "set": {"city": city(rng)}} for _, s in batch[5:10]])
            hubspot.edit([{"id": h, "set": {"job_title": "Buyer"}} for h, _ in batch[10:]])
            salesforce.edit([{"id": s, "set": {"job_title": "Owner"}} for _, s in batch[10:]])
            hubspot.edit([{"set": person(rng, f"h{turn}")}])
            salesforce.edit([{"set": person(rng, f"s{turn}")}])
            made.update(hubspot=11, salesforce=11, both=5)
            progress.advance(task)
            if turn == 5:
                worker.kill()
                progress.console.print("  [red]SIGKILL[/] to the worker; people go on editing")
            if turn == 8:
                worker.start()
                progress.console.print("  [green]worker restarted[/] on the same database")
            time.sleep(0.25)
    hubspot.faults()
    return made


def settle(worker: Worker, sides: list[Side], deadline: float) -> tuple[Agreement, float]:
    """Wait until the sides agree, judged by reading them, or until the deadline."""
    began = time.monotonic()
    with console.status("waiting until the two sides agree…"):
        while True:
            agreement = compare(sides)
            if (agreement.holds and idle(worker.status())) or time.monotonic() > deadline:
                return agreement, time.monotonic() - began
            time.sleep(0.5)


def naive_calls(status: dict[str, Any], sides: list[Side]) -> int:
    """Return the calls of a loop without batches: one look-up a record, one call a write."""
    looked_up = sum(sum(side.before.values()) for side in sides)
    written = sum(spoke(status, n)["made"] + spoke(status, n)["written"] for n in (0, 1))
    return looked_up + written


def report(
    sides: list[Side],
    status: dict[str, Any],
    agreement: Agreement,
    edits: Counter[str],
    naive: int,
    seconds: tuple[float, float, float],
) -> None:
    """Print the table."""
    table = Table(title="\nWhat happened", title_justify="left")
    table.add_column("")
    for title in TITLES:
        table.add_column(title, justify="right")
    rows: list[tuple[str, Callable[[int], Any]]] = [
        ("contacts before", lambda n: sum(sides[n].before.values())),
        ("contacts now", lambda n: len(sides[n].records())),
        ("edits and new contacts by people", lambda n: edits[PLATFORMS[n]]),
        ("linked to one that was there", lambda n: spoke(status, n)["linked"]),
        ("created by Dovetail", lambda n: spoke(status, n)["made"]),
        ("updated by Dovetail", lambda n: spoke(status, n)["written"]),
        ("conflicts decided", lambda n: spoke(status, n)["conflicts"]),
        ("echoes suppressed", lambda n: spoke(status, n)["echoes"]),
        ("left for review (doubles that were there)", lambda n: spoke(status, n)["ambiguous"]),
        ("API calls used", lambda n: sides[n].calls()),
    ]
    for label, value in rows:
        table.add_row(label, *(f"{value(n):,}" for n in (HUBSPOT, SALESFORCE)))
    console.print(table)
    calls = sum(side.calls() for side in sides)
    first_s, live_s, all_s = seconds
    console.print(
        f"Pairs that agree [bold]{agreement.pairs:,}[/]   "
        f"differing [bold]{len(agreement.differing)}[/]   "
        f"missing [bold]{len(agreement.missing)}[/]   "
        f"duplicates made [bold]{len(agreement.doubled)}[/]   "
        f"set aside {agreement.set_aside} [dim](doubles within one CRM, or no last name)[/]"
    )
    console.print(
        f"API calls [bold]{calls:,}[/] against {naive:,} for the first sync alone, one call a "
        f"record.   First sync {first_s:.1f} s, agreed {live_s:.1f} s after the last edit, "
        f"{all_s:.0f} s in all."
    )


def show_disagreement(agreement: Agreement, log: Path) -> None:
    """Say what differs, with the end of the worker's log."""
    console.print("\n[bold red]The two sides do not agree.[/]")
    for name, keys in vars(agreement).items():
        if isinstance(keys, list) and keys:
            console.print(f"{name}: {', '.join(keys[:5])}{' …' if len(keys) > 5 else ''}")
    console.print("\n".join(log.read_text().splitlines()[-15:]), markup=False)


def what_next() -> None:
    """Say what to try."""
    console.print(
        "\n[bold]The two sides agree.[/] Try next, each in a terminal of its own:\n"
        "  .venv/bin/dovetail sandbox hubspot salesforce\n"
        "  .venv/bin/dovetail connect --sandbox http://127.0.0.1:9400\n"
        "  .venv/bin/dovetail run examples/crm_sync.py\n"
        "  .venv/bin/dovetail check examples/crm_sync.py"
    )


def spoke(status: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the counters of one platform, zeros before there are any."""
    zero = dict.fromkeys(("linked", "made", "written", "conflicts", "ambiguous", "echoes"), 0)
    for one in status["sync"]:
        if one["platform"] == PLATFORMS[number]:
            read = sum(one["links"].values())
            return zero | one["counts"] | {
                "read": read, "pending": one["pending_pushes"], "caught_up": one["is_caught_up"],
            }  # fmt: skip
    return zero | {"read": 0, "pending": 0, "caught_up": False}


def idle(status: dict[str, Any]) -> bool:
    """Return whether nothing is waiting to be done."""
    return not status["deliveries"].get("open", 0)


def person(rng: random.Random, mark: str) -> dict[str, str]:
    """Return a new contact."""
    first = rng.choice(("Zoë", "Łukasz", "Nguyễn", "Σοφία", "Иван", "محمد", "美咲", "O'Neil"))
    return {
        "first_name": first,
        "last_name": f"New-{mark}",
        "email": f"new.{mark}.{rng.randrange(10**6)}@example.com",
        "phone": phone(rng),
    }


def phone(rng: random.Random) -> str:
    """Return a telephone number as somebody might write it."""
    return f"+49 30 {rng.randrange(1_000_000, 9_999_999)}"


def city(rng: random.Random) -> str:
    """Return a city that nobody lives in yet."""
    return f"{rng.choice(('Lisboa', 'København', 'Zürich', 'Kraków'))} {rng.randrange(1000)}"


def bars() -> Progress:
    """Return progress bars in the demo's style."""
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def first_line(process: subprocess.Popen[str], name: str, log: Path) -> str:
    """Return the line with which a process says that it is ready."""
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        console.print(f"[red]{name} did not start:[/]\n{log.read_text()}")
        raise SystemExit(1)
    return line


def free_port(count: int = 1) -> int:
    """Return a port that is free, with the *count* - 1 after it."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for offset in range(1, count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):
                continue
        return port


if __name__ == "__main__":
    raise SystemExit(main())
