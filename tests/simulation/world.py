"""A run: processes on one set of databases and one log, from the first event to the moment at which all is at rest."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import structlog
from sqlalchemy import Engine

from services.campaign import documents
from services.campaign.documents import Document, deployment_of
from services.campaign.service import SERVICE as CAMPAIGN
from services.campaign.service import rulebooks_of
from services.profile.service import SERVICE as PROFILE
from services.segment import definitions
from services.segment.audience import AudienceLanguage
from services.segment.service import SERVICE as SEGMENT
from shared.database import open_sqlite, transaction
from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms, to_ms
from shared.runtime.loop import Loop
from shared.runtime.outbox import read_page
from shared.runtime.process import Process as Host
from shared.runtime.schema import prepare
from shared.runtime.service import Context, Service
from shared.telemetry import Metrics
from tests.simulation.broker import Broker
from tests.simulation.database import look, open_database
from tests.simulation.faults import CURRENT, Chance, Counter, Died, Fate, Process
from tests.simulation.load import BEFORE, LAST, MEASURED, SHORT, Sitting
from tests.simulation.log import SimulatedLog
from tests.simulation.virtual import VirtualLoop

SERVICES: dict[str, Service] = {one.name: one for one in (PROFILE, SEGMENT, CAMPAIGN)}
SETTINGS = {"currency": "EUR", "audience_language": AudienceLanguage("EUR"), "secret": "s" * 32}
PATIENT = '{"reaction_window": "90d"}'
"""Settings of the company under which it does not matter how late something is decided."""

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

    def now(self) -> int:
        """The true time."""
        return self.wall + int(asyncio.get_running_loop().time() * 1000)

    async def run(self, load: Sequence[Sitting]) -> None:
        """From the first event to rest. Raises NotAtRest."""
        names = [(name, number) for name in self.scenario.services for number in range(self.scenario.workers)]
        keepers = [asyncio.create_task(self._keep(name, number)) for name, number in names]
        shaking = asyncio.create_task(self._shake()) if self.scenario.shaken else None
        for sitting in load:
            await self._leap(sitting.at, keepers)
            await self._post(sitting.records)
        await self._leap(LAST, keepers)
        await asyncio.sleep(self.chance.random() * 5)
        if shaking is not None:
            shaking.cancel()
        if isinstance(self.counter.fate, Chance):
            self.counter.fate.healed = True
        # until whoever stood still goes on, and who died is missed and has a successor
        await asyncio.sleep(2 * SESSION)
        await self._rest(keepers)
        self.ending = True
        for loop in self.loops.values():
            loop.stop()
        await asyncio.gather(*keepers)

    async def _leap(self, to: datetime, keepers: Sequence["asyncio.Task[None]"]) -> None:
        """Go on in time; unless hurried, from one rest to the next."""
        if not self.scenario.hurried:
            await self._rest(keepers)
        self.wall += max(0, to_ms(to) - self.now())
        for loop in self.loops.values():
            loop.nudge()
        if not self.scenario.hurried:
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
            skew = self.chance.choice((-1, 0, 1)) * to_ms_of(self.scenario.skew)
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
            _configure(service, engine)
            self.loops[process.name] = loop
            await loop.run()
        finally:
            self.loops.pop(process.name, None)
            engine.dispose()

    def _clock(self, process: Process) -> Any:
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

    def _rejoin(self, process: Process, learn: Any) -> None:
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
            if service.timers is not None and (due := self._due(service, path)) is not None:
                return f"{name} has something to do since {due}"
        return ""

    def _unpublished(self, path: Path) -> int:
        """The records in the outbox that are not in the log; those that are wait there for the next transaction."""
        rows = look(path, "SELECT body FROM outbox")
        said = [record for (body,) in rows for record in read_page(body)[0]]
        there = {topic: self.broker.values(topic) for topic in {record.topic for record in said}}
        return sum(record.value not in there[record.topic] for record in said)

    def _due(self, service: Service, path: Path) -> datetime | None:
        assert service.timers is not None
        with _looking(path) as engine, engine.connect() as connection:
            due = service.timers.next_due(connection, range(self.scenario.partitions))
        return due if due is not None and to_ms(due) <= self.now() else None


def to_ms_of(span: timedelta) -> int:
    """A span in whole milliseconds."""
    return int(span.total_seconds() * 1000)


@contextmanager
def _looking(path: Path) -> Iterator[Engine]:
    engine = open_sqlite(path)
    try:
        yield engine
    finally:
        engine.dispose()


def _configure(service: Service, engine: Engine) -> None:
    if service is CAMPAIGN:
        rulebooks_of(engine).deploy(deployment_of(SETTINGS))


def lay_out(folder: Path, scenario: Scenario) -> None:
    """The databases of a company that begins: migrated, with definitions and campaigns."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in scenario.services:
        service = SERVICES[name]
        with _looking(folder / f"{name}.db") as engine:
            context = Context(
                engine=engine,
                log=SimulatedLog(Broker(1, lambda: 0), Process("", Counter(Chance(Random())), Random(), 0.0)),
                clock=lambda: BEFORE,
                settings=SETTINGS,
                nudge=lambda: None,
            )
            start = service.start
            prepare(engine, service, None if start is None else lambda connection, s=start, c=context: s(connection, c))
            if service is SEGMENT:
                definitions.put(engine, "lately", SHORT, BEFORE)
                for measured in MEASURED if scenario.hurried else ():
                    definitions.drop(engine, measured, BEFORE)
            if service is CAMPAIGN:
                with transaction(engine) as connection:
                    documents.put(
                        connection, Document(documents.SETTINGS, documents.COMPANY, False, to_ms(BEFORE), PATIENT)
                    )


def play(template: Path, folder: Path, scenario: Scenario, fate: Fate, seed: int, load: Sequence[Sitting]) -> World:
    """One run in a folder of its own."""
    shutil.copytree(template, folder)
    world = World(folder, scenario, fate, seed)
    runner = asyncio.Runner(loop_factory=VirtualLoop)
    with structlog.testing.capture_logs(), runner:
        runner.run(world.run(load))
    return world
