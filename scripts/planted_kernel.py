"""Mistakes in long runs and flow control, for `planted.py`: name, file, old text, new text."""

from __future__ import annotations

KERNEL: tuple[tuple[str, str, str, str], ...] = (
    (
        "take a sleeper that was woken for one that has slept",
        "runtime/workflow.py",
        "        if to_micros(context.clock.now()) >= due_at:\n            return\n",
        "        if due_at:\n            return\n",
    ),
    (
        "write again what was committed before the sleep",
        "runtime/run.py",
        "journal is None or not journal.entries else journal.committed()",
        "journal is None or not journal.entries else []",
    ),
    (
        "lose what a run wrote before its sleep",
        "runtime/suspension.py",
        "        if self.unit.dirty:\n            self.unit.apply(tx)\n        insert_entries",
        "        insert_entries",
    ),
    (
        "take a run that begins again for a new one",
        "runtime/run.py",
        "        delivery.blank = False  # from now on there may be something\n",
        "",
    ),
    (
        "give up side by side steps at the first failure",
        "runtime/workflow.py",
        "        return_exceptions=True,",
        "        return_exceptions=False,",
    ),
    (
        "forget the undo functions of steps side by side",
        "service/step.py",
        'return Later(name, call, args, {"key": key, "undo": undo, **kwargs})',
        'return Later(name, call, args, {"key": key, **kwargs})',
    ),
    (
        "undo in the order of recording",
        "runtime/journal.py",
        "key=lambda one: one[1].position, reverse=True)",
        "key=lambda one: one[1].position)",
    ),
    (
        "undo without recording it",
        "runtime/saga.py",
        "            insert_entries(tx, [row])\n            if unit.dirty:",
        "            if unit.dirty:",
    ),
    (
        "undo again what is undone",
        "runtime/journal.py",
        "            and place_of_undo(place) not in self.entries\n",
        "",
    ),
    (
        "undo a run that another try could mend",
        "runtime/undoing.py",
        "        if spec.retry.allows(error, context.attempt + 1):\n            return False\n",
        "",
    ),
    (
        "compensate without recording what led there",
        "runtime/saga.py",
        "    if rows:\n        await context.store.write(lambda tx: insert_entries(tx, rows))\n",
        "",
    ),
    (
        "go on listening after the time-out",
        "runtime/wait.py",
        '    forget_waits(tx, [delivery_id])\n    outcome = {"timed_out": True}',
        '    outcome = {"timed_out": True}',
    ),
    (
        "wake a waiting run without noting the event",
        "runtime/wait.py",
        '        _record(tx, row.delivery_id, place, {"event": event.seq}, now)\n    ids',
        "        del place\n    ids",
    ),
    (
        "wake every run that waits for such an event",
        "runtime/wait.py",
        "found = [row for row in candidates if fits(json.decode(row.conditions), event.payload)]",
        "found = list(candidates)",
    ),
    (
        "do not look for events that came before the wait",
        "runtime/wait.py",
        "        if self.since is None:\n            return None\n",
        "        if self.since != -1:\n            return None\n",
    ),
    (
        "let a cancelled sleeper sleep on",
        "runtime/cancellation.py",
        "        tx.run(sa.update(deliveries).where(deliveries.c.id == delivery_id)"
        ".values(due_at=now))\n",
        "",
    ),
    (
        "cancel only what runs in this process",
        "runtime/run.py",
        "stopping = journal.phase == CANCELLING or delivery.id in self._stopping",
        "stopping = delivery.id in self._stopping",
    ),
    (
        "end a cancelled run without undoing it",
        "runtime/run.py",
        "            if stopping and not journal.entries:",
        "            if stopping:",
    ),
    (
        "deliver what is delayed at once",
        "runtime/log.py",
        "            waits = due_at is not None and due_at > now\n",
        "            waits = due_at is not None and due_at < now\n",
    ),
    (
        "forget a throttle's starts at a restart",
        "runtime/throttle.py",
        "        if row.handler in gates:",
        "        if row.handler not in gates:",
    ),
    (
        "count a throttle in fixed windows",
        "runtime/gate.py",
        "            self._started -= int(self._pieces.popleft()[2])",
        "            self._pieces.clear()\n            self._started = 0",
    ),
    (
        "allow one run of a key more than its concurrency",
        "runtime/gate.py",
        "            if places.running >= self._concurrency.limit:",
        "            if places.running > self._concurrency.limit:",
    ),
    (
        "give a place to one run more than the concurrency",
        "runtime/turn.py",
        "        if free <= 0 or (limit is not None and queue.running >= limit):",
        "        if free <= 0 or (limit is not None and queue.running > limit):",
    ),
    (
        "run the keys of a singleton side by side",
        "runtime/flow.py",
        "        for setting in (self.debounce, self.batch, self.singleton):\n"
        "            if setting is not None:\n                if",
        "        for setting in (self.debounce, self.batch):\n"
        "            if setting is not None:\n                if",
    ),
    (
        "serve a debounced key with its first event",
        "runtime/run.py",
        "        delivery = taken[-1]\n        journal = self._journal(delivery)",
        "        delivery = taken[0]\n        journal = self._journal(delivery)",
    ),
    (
        "count the quiet of a debounced key from its first event",
        "runtime/lane.py",
        "            self.last_at = max(self.last_at, came_at)\n",
        "",
    ),
    (
        "wake what is due before what is open is read",
        "runtime/sweep.py",
        "        await self._has_looked.wait()\n",
        "",
    ),
    (
        "judge a debounced key by the head of what was received",
        "runtime/dispatcher.py",
        "        if lane.state == IDLE and queue.gathers:",
        "        if False:",
    ),
)
