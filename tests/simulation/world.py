"""A run: processes on one set of databases and one log, from the first event to the moment at which all is at rest."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from sqlalchemy import Engine

from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms, to_ms
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop
from shared.runtime.outbox import read_page
from shared.runtime.process import Process as Host
from shared.runtime.service import Service
from shared.telemetry import Metrics
from tests.simulation.broker import Broker, Learn
from tests.simulation.company import SERVICES, configure, opened
from tests.simulation.database import look, open_database
from tests.simulation.faults import CURRENT, Chance, Counter, Died, Fate, Process
from tests.simulation.load import BEFORE, Sitting
from tests.simulation.log import SimulatedLog

SESSION = 8.0
"""Seconds after which a member that is not heard of loses its partitions."""

AT_REST = 900.0
"""Seconds after which a run must have come to rest when nothing more goes wrong."""


class NotAtRest(AssertionError):
    """Something is still to be done, and nobody does it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`workers` processes per service on so many partitions. `skew` is the largest error of a clock.

    `hurried` lets time leap although not everything that came before is applied: for services and definitions in which
    no moment but that of an event or of a timer counts. The close of a day, and what is decided at the moment of
    sending, are of the moment at which they were possible.
    """

    services: tuple[str, ...] = ("profile", "segment", "campaign")
    workers: int = 1
    partitions: int = 2
    skew: timedelta = timedelta(0)
    hurried: bool = False
    copies: float = 0.0
    shaken: bool = False
    slowest: float = 0.01


class World:
    """Everything of one run, in a folder with databases that are made already."""

    def __init__(self, folder: Path, scenario: Scenario, fate: Fate, seed: int) -> None:
        self.folder = folder
        self.scenario = scenario
        self.chance = Random(seed)
        self.counter = Counter(fate)
        self.wall = to_ms(BEFORE)
        self.broker = Broker(scenario.partitions, self.now)
        self.metrics = Metrics("0")
        self.loops: dict[str, Loop] = {}
        self.started = 0
        self.ending = False
        self._looking: dict[str, Engine] = {}

    def now(self) -> int:
        """The true time."""
        return self.wall + int(asyncio.get_running_loop().time() * 1000)

    async def run(self, load: Sequence[Sitting]) -> None:
        """From the first event to rest. Raises NotAtRest."""
        with ExitStack() as stack:
            paths = {name: self.folder / f"{name}.db" for name in self.scenario.services}
            self._looking = {name: stack.enter_context(opened(path)) for name, path in paths.items()}
            keepers = self._start()
            await self._play(load, keepers)
            disturbed = await self._end(keepers)
            while disturbed:
                # the next start publishes what was left, and takes it away
                disturbed = await self._end(self._start())

    def _start(self) -> Sequence["asyncio.Task[None]"]:
        self.ending = False
        names = [(name, number) for name in self.scenario.services for number in range(self.scenario.workers)]
        return [asyncio.create_task(self._keep(name, number)) for name, number in names]

    async def _play(self, load: Sequence[Sitting], keepers: Sequence["asyncio.Task[None]"]) -> None:
        shaking = asyncio.create_task(self._shake()) if self.scenario.shaken else None
        for number, sitting in enumerate(load):
            # the first day of a company is the day on which somebody looks: nobody hurries before that
            await self._leap(sitting.at, keepers if number < 2 or not self.scenario.hurried else ())
            await self._post(sitting.records)
        await asyncio.sleep(self.chance.random() * 5)
        if shaking is not None:
            shaking.cancel()
        if isinstance(self.counter.fate, Chance):
            self.counter.fate.healed = True

    async def _end(self, keepers: Sequence["asyncio.Task[None]"]) -> bool:
        """Rest, and stop in order; whether something went wrong meanwhile."""
        before = sum(self.counter.happened.values())
        # until whoever stood still goes on, and who died is missed and has a successor
        await asyncio.sleep(2 * SESSION)
        await self._rest(keepers)
        self.ending = True
        for loop in self.loops.values():
            loop.stop()
        await asyncio.gather(*keepers)
        return sum(self.counter.happened.values()) > before

    async def _leap(self, to: datetime, keepers: Sequence["asyncio.Task[None]"]) -> None:
        """Go on in time; where keepers are given, from one rest to the next."""
        if keepers:
            await self._rest(keepers)
        self.wall += max(0, to_ms(to) - self.now())
        for loop in self.loops.values():
            loop.nudge()
        if keepers:
            await self._rest(keepers)

    async def _post(self, records: Sequence[Outgoing]) -> None:
        """As somebody who posts until he has an answer, and sometimes once more although he had one."""
        process = Process("poster", self.counter, self.chance, self.scenario.slowest)
        log = SimulatedLog(self.broker, process)
        for record in records:
            copies = 1 + (self.chance.random() < self.scenario.copies)
            while copies:
                try:
                    await log.append([record])
                    copies -= 1
                except Unavailable:
                    continue
                except Died:
                    process = Process("poster", self.counter, self.chance, self.scenario.slowest)
                    log = SimulatedLog(self.broker, process)

    async def _keep(self, name: str, number: int) -> None:
        """A worker of a service, started again whenever it has died, until all is over."""
        while not self.ending:
            self.started += 1
            skew = self.chance.choice((-1, 0, 1)) * int(self.scenario.skew.total_seconds() * 1000)
            process = Process(f"{name}-{number}.{self.started}", self.counter, self.chance, self.scenario.slowest, skew)
            process.on_freeze = self._frozen
            context = copy_context()
            context.run(CURRENT.set, process)
            task = asyncio.get_running_loop().create_task(self._live(SERVICES[name], process), context=context)
            try:
                await task
            except Died:
                self._missed_later(process)
                await asyncio.sleep(self.chance.random() * 2)

    async def _live(self, service: Service, process: Process) -> None:
        engine = open_database(self.folder / f"{service.name}.db", process)
        clock = self._clock(process)
        try:
            log = SimulatedLog(self.broker, process)
            loop = Loop(service, engine, Host(log=log, clock=clock, metrics=self.metrics, owner=process.name))
            configure(service, engine)
            self.loops[process.name] = loop
            await loop.run()
        finally:
            self.loops.pop(process.name, None)
            engine.dispose()

    def _clock(self, process: Process) -> Clock:
        return lambda: from_ms(self.now() + process.skew)

    def _frozen(self, process: Process, seconds: float) -> None:
        if seconds > SESSION:
            asyncio.get_running_loop().call_later(SESSION, self._evict, process)

    def _evict(self, process: Process) -> None:
        """Not heard of for too long; when it goes on it joins again, and goes on meanwhile with what it had."""
        group = self.broker.group(process.name.partition("-")[0])
        learn = group.members.get(process.name)
        group.leave(process.name)
        if learn is not None and not process.dead:
            back = process.frozen_until - asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_later(max(0.0, back) + 0.5, self._rejoin, process, learn)

    def _rejoin(self, process: Process, learn: Learn) -> None:
        if not process.dead and process.name in self.loops:
            self.broker.group(process.name.partition("-")[0]).join(process.name, learn)

    def _missed_later(self, process: Process) -> None:
        group = self.broker.group(process.name.partition("-")[0])
        asyncio.get_running_loop().call_later(self.chance.random() * SESSION, group.leave, process.name)

    async def _shake(self) -> None:
        """Partitions change hands although nobody died."""
        while True:
            await asyncio.sleep(self.chance.random() * 2)
            group = self.broker.group(self.chance.choice(self.scenario.services))
            order = sorted(group.members)
            self.chance.shuffle(order)
            group.share(order)

    async def _rest(self, keepers: Sequence["asyncio.Task[None]"]) -> None:
        deadline = asyncio.get_running_loop().time() + AT_REST
        while reason := self._moving():
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
                    raise NotAtRest("a worker has ended")
            if asyncio.get_running_loop().time() > deadline:
                raise NotAtRest(reason)
            await asyncio.sleep(0.25)

    def _moving(self) -> str:
        """What is still to be done, in the order of the stages; empty when there is nothing."""
        for name in self.scenario.services:
            service, path = SERVICES[name], self.folder / f"{name}.db"
            reached = {
                (topic, part): at for topic, part, at in look(path, "SELECT topic, part, next_offset FROM position")
            }
            for topic in service.consumes:
                for place, end in self.broker.ends(topic).items():
                    if reached.get(tuple(place), 0) < end:
                        return f"{name} stands at {reached.get(tuple(place), 0)} of {end} in {place}"
            if unpublished := self._unpublished(path):
                return f"{name} has still to publish {unpublished} records"
            if service.timers is not None and (due := self._due(service)) is not None:
                return f"{name} has something to do since {due}"
        return ""

    def _unpublished(self, path: Path) -> int:
        """The records in the outbox that are not in the log; those that are wait there for the next transaction."""
        rows = look(path, "SELECT body FROM outbox")
        said = [record for (body,) in rows for record in read_page(body)[0]]
        there = {topic: self.broker.values(topic) for topic in {record.topic for record in said}}
        return sum(record.value not in there[record.topic] for record in said)

    def _due(self, service: Service) -> datetime | None:
        assert service.timers is not None
        with self._looking[service.name].connect() as connection:
            due = service.timers.next_due(connection, range(self.scenario.partitions))
        return due if due is not None and to_ms(due) <= self.now() else None
