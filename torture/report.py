"""What a storm did and found, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.table import Table

from torture.evidence import DONE, Evidence


@dataclass
class Report:
    """What happened."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    """When -> how often."""
    under_way: Counter[str] = field(default_factory=Counter)
    """What a kill came into the middle of -> how many kills."""
    conditions: Counter[str] = field(default_factory=Counter)
    """Condition and how it ended -> how often."""
    impossible: set[str] = field(default_factory=set)
    """Conditions that this process may not make."""
    counts: dict[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """How many kills there were."""
        return sum(self.kills.values())

    def count(self, evidence: Evidence, *, edits: int) -> None:
        """Take the numbers of the last look."""
        runs = Counter(row["handler"] for row in evidence.deliveries if row["status"] == DONE)
        answers = Counter(one["status"] for one in evidence.answers)
        self.counts = {
            "edits by people": edits,
            "jobs accepted": len(evidence.accepted),
            "webhooks of ours taken (200)": answers[200],
            "webhooks of ours put off (503)": answers[503],
            "webhooks of ours cut off by a kill": answers[0],
            "webhooks of ours too old for a clock that jumped (401)": answers[401],
            "events in the log": len(evidence.events),
            "runs finished": sum(runs.values()),
            "ticks": runs["tick"],
            "steps recorded": len(evidence.steps),
            "steps that ran (a kill came before the record)": len(evidence.lines),
        }

    def table(self) -> Table:
        """Return everything for the screen."""
        made = Table(title=f"seed {self.seed}", title_justify="left")
        made.add_column("")
        made.add_column("", justify="right")
        rows = [
            *((f"SIGKILL {kind}", number) for kind, number in sorted(self.kills.items())),
            *((f"kills in the middle of {what}", n) for what, n in sorted(self.under_way.items())),
            *sorted(self.conditions.items()),
            ("times everything was finished and judged", self.checkpoints),
            *self.counts.items(),
            ("seconds", round(self.seconds)),
        ]
        for name, number in rows:
            made.add_row(name, f"{number:,}")
        for name in sorted(self.impossible):
            made.add_row(f"{name}: not permitted to this process", "-")
        return made
