"""One world from the first sync to the last check."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from dovetail.app.load import Program, load_program, program_of
from dovetail.core.clock import LoopClock
from dovetail.errors import DovetailError
from dovetail.service.declaration import Service
from dovetail.simulator_sdk.fault import parse_fault
from dovetail.testing.app import START, make_module
from dovetail.testing.simulation.account import build_accounts, plan_sides
from dovetail.testing.simulation.evidence import (
    Evidence,
    read_app,
    read_webhooks,
)
from dovetail.testing.simulation.invariant import check
from dovetail.testing.simulation.log import captured_log
from dovetail.testing.simulation.loop import SeededLoop
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.outcome import Outcome
from dovetail.testing.simulation.owner import Owner
from dovetail.testing.simulation.people import People, Side, forget_addresses
from dovetail.testing.simulation.placing import place
from dovetail.testing.simulation.process import KilledError, Process, outside, task_factory
from dovetail.testing.simulation.program import crm_sync
from dovetail.testing.simulation.shop import Shop
from dovetail.testing.simulation.tokens import Tokens
from dovetail.testing.simulation.trace import Trace
from dovetail.testing.simulation.workshop import Workshop
from dovetail.testing.simulation.world import Crash, FaultSpan, StoreSpan, World

_SETTLE_S = 6 * 3600.0
_SUBSCRIBE_MINUTES = 60


def simulate(world: World, program: Program | ModuleType | Path | None = None) -> Outcome:
    """
    Live through a world on virtual time and check every promise at its end.

    Args:
        world: What happens.
        program: A module, its path, or a loaded program with one sync between `world.platforms`;
            a sync of contacts when not given. A program decides itself on policies and intervals.

    Raises:
        ConfigError: The program cannot be loaded.
    """
    with (
        captured_log() as lines,
        asyncio.Runner(loop_factory=lambda: _loop_of(world.seed)) as runner,
    ):
        return runner.run(_Run(world, program, lines).live())


def _loop_of(seed: int) -> SeededLoop:
    loop = SeededLoop(seed)
    loop.set_task_factory(task_factory)
    return loop


class _Run:
    def __init__(self, world: World, program: Any, lines: list[str]) -> None:
        self.world = world
        self.clock = LoopClock(START)
        self.trace = Trace(self.clock)
        self.network = Network(self.trace, outside, Tokens())
        self.lines = lines
        workshop = Workshop(self.clock, lambda: self.process, self.trace.add)
        self.shop = Shop(self.clock, workshop)
        self.accounts = build_accounts(world, self.network)
        self.simulators = [account.simulator for account in self.accounts]
        self.program = self._load(program)
        self.life = 0
        self.process = self._new_process(None)
        self.owner = Owner(
            self.accounts, lambda: self.process, self.network, self.clock, self.trace
        )
        self.people: People
        self.sides: list[Side] = []
        self.refusals: list[str] = []
        self.changed = asyncio.Condition()
        self._background: list[asyncio.Task[Any]] = []

    async def live(self) -> Outcome:
        self.clock.now()
        for simulator in self.simulators:
            simulator.clock.now()
        await self._begin()
        world = self.world
        if world.keyless:
            forget_addresses(self.sides, world.keyless, world.seed)
        drivers = [
            *(self._fault(span) for span in world.faults),
            *(self._crash(crash) for crash in world.crashes),
            *(self._store(span) for span in world.store),
        ]
        early = self.clock.monotonic()
        self._background = [asyncio.create_task(driver) for driver in drivers]
        watch = asyncio.create_task(self.owner.watch())
        self.people = People(self.sides, self.trace)
        self.network.on_write = self.people.note_write
        self.network.on_call = self.people.note_call
        await self._start(self.process)
        is_settled = await self._settle(1.0)
        await self._subscribe()
        self.trace.add(f"first sync took {self.clock.monotonic() - early:.1f} s")
        self._origin.set_result(self.clock.monotonic())
        await self._edit()
        await asyncio.gather(*self._background)
        for simulator in self.simulators:
            simulator.faults.replace([])
        least_s = 2.1 * world.poll_interval_s + 120
        is_settled = await self._settle(least_s) and is_settled
        evidence = await self._evidence(is_settled)
        violations = tuple(check(evidence))
        watch.cancel()
        await self._end()
        about = violations[0].about if violations else ()
        return Outcome(
            world=world,
            trace_hash=self.trace.hash,
            events=self.trace.size,
            virtual_s=self.clock.monotonic(),
            calls=self.network.calls,
            crashes=self.life - 1,
            violations=violations,
            last=tuple(self.trace.about(about)) if violations else (),
        )

    # The beginning.

    def _load(self, given: Any) -> Program:
        if isinstance(given, Path):
            given = load_program(given)
        elif isinstance(given, ModuleType):
            given = program_of(given)
        elif given is None:
            given = program_of(make_module(crm_sync(self.world)))
        beside = program_of(make_module(*self.shop.handlers()))
        services: list[Service] = list(given.services)
        return Program(
            given.name, services, [*given.handlers, *beside.handlers], list(given.schedules)
        )

    def _new_process(self, image: bytes | None) -> Process:
        self.life += 1
        seed = f"{self.world.seed}/{self.life}"
        return Process(self.program, self.network, self.clock, seed, image)

    async def _begin(self) -> None:
        self._origin: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.shop.workshop.open()
        process = self.process
        await process.open()
        self.sides = await plan_sides(process, self.accounts, await self.owner.connect_all())
        route = process.app.sync.plans.spokes()[0]
        self.world = replace(
            self.world,
            policy=route.plan.policy.value,
            deletes=route.plan.deletes.value,
            poll_interval_s=route.entity.poll_interval_s,
        )

    async def _subscribe(self) -> None:
        """Wait until platforms send webhooks: of a delete before that, some never tell."""
        for _ in range(_SUBSCRIBE_MINUTES):
            app = self.process.app
            if {route.at.connection_id for route in app.sync.plans.spokes()} <= app._subscribed:
                return
            await self.clock.sleep(60.0)

    # What happens meanwhile.

    async def _until(self, at_s: float) -> None:
        """Wait for a moment after the first sync; a negative one is before it."""
        if at_s >= 0:
            at_s += await asyncio.shield(self._origin)
            await self.clock.sleep(at_s - self.clock.monotonic())

    async def _fault(self, span: FaultSpan) -> None:
        await self._until(span.at_s)
        simulator = self.simulators[span.side % len(self.simulators)]
        fault = {"kind": span.kind, "probability": span.probability, "path": span.path}
        if span.seconds is not None:
            fault["seconds"] = span.seconds
        made = parse_fault(fault)
        simulator.faults.faults.append(made)
        self.trace.add(f"fault {span.kind} at {simulator.platform}")
        await self.clock.sleep(span.length_s)
        simulator.faults.faults = [one for one in simulator.faults.faults if one is not made]

    async def _store(self, span: StoreSpan) -> None:
        await self._until(span.at_s)
        self.refusals.append(span.refusal)
        self.process.refusal = span.refusal
        self.trace.add(f"store is {span.refusal}")
        await self.clock.sleep(span.length_s)
        self.refusals.remove(span.refusal)
        self.process.refusal = self.refusals[-1] if self.refusals else None

    async def _crash(self, crash: Crash) -> None:
        await self._until(crash.at_s)
        while not self.process.is_alive:
            await self.clock.sleep(1.0)
        process = self.process
        left, struck = crash.count, asyncio.Event()

        def strike(what: str) -> None:
            nonlocal left
            if what == crash.after:
                left -= 1
                if left == 0:
                    struck.set()

        earlier = process.on_event

        def both(what: str) -> None:
            earlier(what)
            strike(what)

        process.on_event = both
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3600):
                await struck.wait()
        for _ in range(crash.turns):
            await asyncio.sleep(0)
        if process.is_alive:
            await self._restart(process, crash.down_s)

    async def _restart(self, process: Process, down_s: float) -> None:
        self.trace.add("process dies")
        await process.kill()
        process.close()
        await self.clock.sleep(down_s)
        successor = self._new_process(process.image)
        successor.image = process.image
        await successor.open()
        successor.refusal = self.refusals[-1] if self.refusals else None
        self.process = successor
        await self._start(successor)

    async def _start(self, process: Process) -> None:
        self.trace.add("process starts")
        try:
            await process.start()
        except DovetailError as error:
            # Whoever supervises the process starts it again.
            self.trace.add(f"start failed: {error.code}")
            if process.is_alive:
                await self._restart(process, 5.0)
        except KilledError:
            self.trace.add("process died while it started")

    async def _edit(self) -> None:
        waiting = sorted(self.world.edits, key=lambda edit: edit.at_s)
        while waiting:
            edit = waiting.pop(0)
            await self._until(max(edit.at_s, 0.0))
            if edit.kind in ("order", "audit"):
                fellows = self.sides[: len(self.world.platforms)]
                quotas = self.world.quotas
                await place(edit, self.process, fellows, quotas, self.shop, self.trace)
                continue
            follows = self.people.do(edit)
            if follows is not None:
                waiting = sorted([*waiting, follows], key=lambda one: one.at_s)

    # The end.

    async def _settle(self, least_s: float) -> bool:
        """Wait at least that long, then until nothing is left to do; False after hours."""
        await self.clock.sleep(least_s)
        end = self.clock.monotonic() + _SETTLE_S
        if self.world.is_short_of_calls:
            end += 2 * 86_400.0
        pause_s = 5.0
        while self.clock.monotonic() < end:
            seen = self.trace.size
            if await self._is_at_rest():
                return True
            await self.clock.sleep(pause_s)
            # To look costs more than most of what happens: look less often while nothing does.
            pause_s = 5.0 if self.trace.size > seen else min(2 * pause_s, 120.0)
        return False

    async def _is_at_rest(self) -> bool:
        process = self.process
        if not process.is_alive or not process.app._opened or self._webhooks_busy():
            return False
        # Whoever waited for a write to answer may have edited just now; the next look finds it.
        entries = self.people.entries
        look_s = 1.1 * self.world.poll_interval_s + 60
        if entries and self.clock.monotonic() < entries[-1].true_s + look_s:
            return False
        try:
            counts = (await process.run(process.app.status()))["deliveries"]
            if counts.get("open", 0) or counts.get("scheduled", 0):
                return False
            status = await process.run(process.app.sync.status())
        except (DovetailError, KilledError):
            return False
        return bool(status.spokes) and status.is_settled and not await self._refused()

    async def _refused(self) -> list[str]:
        return await self.owner.refused(suspected=False)

    def _webhooks_busy(self) -> bool:
        return any(
            simulator.webhooks is not None and simulator.webhooks._tasks
            for simulator in self.simulators
        )

    async def _evidence(self, is_settled: bool) -> Evidence:
        tokens = self.network.tokens
        evidence = Evidence(
            self.world, self.sides, self.people, self.shop, tokens=tokens, is_settled=is_settled
        )
        evidence.calls = self.network.calls
        evidence.answers = self.network.answers
        before = self._times()
        quiet = 2.5 * self.world.poll_interval_s
        await self.clock.sleep(quiet)
        evidence.quiet_calls = self.network.calls - evidence.calls
        evidence.quiet_polls = 3 * len(self.sides)
        after = self._times()
        evidence.quiet_writes = [
            f"{self.sides[side].name} {id}"
            for (side, id), moment in after.items()
            if before.get((side, id)) != moment
        ]
        process = self.process
        await process.run(process.app.store.read(lambda tx: read_app(evidence, tx)))
        connectors = {}
        for side in self.sides:
            connectors[side.connection_id] = await process.run(
                process.app.connector(side.connection_id)
            )
            secrets = [*side.simulator.credentials.values(), side.simulator.webhook_secret]
            evidence.secrets.update(
                one for one in secrets if len(one) >= 12 and not one.startswith("http")
            )
            told_from_s = self.network.subscribed_s.get(side.simulator.base_url)
            if told_from_s is not None:
                evidence.told_from_s[side.position] = told_from_s
            for record in side.records():
                evidence.live[side.position, record.id] = record
        evidence.sent_webhooks = read_webhooks(self.network.sent_webhooks, connectors)
        evidence.accepted_webhooks = read_webhooks(self.network.accepted_webhooks, connectors)
        tokens.refused = await self._refused()
        evidence.secrets |= tokens.given
        evidence.texts += self.lines
        return evidence

    def _times(self) -> dict[tuple[int, str], Any]:
        return {
            (side.position, record.id): record.modified_at
            for side in self.sides
            for record in side.simulator.table(side.resource).scan()
        }

    async def _end(self) -> None:
        await self.process.kill()
        self.process.close()
        for simulator in self.simulators:
            await simulator.close()
        await self.network.close()
