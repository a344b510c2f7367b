"""Reading in step: a reader of input and output gets both whole, and no output before the input it follows from."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from sqlalchemy import MetaData

from shared.events.outgoing import Outgoing
from shared.log import Consumer, Log, Position, Record, Told, TopicPartition
from shared.log.sqlite import open_log
from shared.runtime.joined import AFTER, gather
from shared.runtime.processor import Claim, Slice
from shared.runtime.service import Service

PARTITIONS = 2
KEYS = [f"customer-{n}" for n in range(8)]

SERVICE = Service(
    name="reader",
    consumes=("input", "output"),
    produces=(),
    metadata=MetaData(),
    decode=lambda record: record,
    load=lambda connection, events: None,
    evolve=lambda state, event: state,
    react=lambda before, after: (),
    save=lambda connection, work: None,
    router=lambda context: APIRouter(),
    identity=lambda event: None,
    event_ms=lambda event: 0,
    describe=lambda event: ("", None),
    gated={"input": "maker"},
)


class Maker:
    """The group in between: reads the input in batches and says two records for every third of it."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self.log = log
        self.chance = chance
        self.read = [0] * PARTITIONS

    async def turn(self) -> None:
        """A batch of one partition: what follows from it is appended together with how far it got."""
        part = self.chance.randrange(PARTITIONS)
        place = TopicPartition("input", part)
        end = (await self.log.ends("input"))[place]
        upto = min(end, self.read[part] + self.chance.randint(1, 400))
        records = [await self.log.read(place, offset) for offset in range(self.read[part], upto)]
        self.read[part] = upto
        said = [
            Outgoing("output", record.key or "", f"{record.offset}".encode(), ((AFTER, str(upto).encode()),))
            for record in records
            if record is not None and record.offset % 3 == 0
            for _ in range(2)
        ]
        await self.log.append(said, Told("maker", {place: Position(upto, 0, 0)}))


class Reader:
    """The loop's part of reading: seeks, gathers, moves its claims."""

    def __init__(self, log: Log, consumer: Consumer) -> None:
        self.log = log
        self.consumer = consumer
        self.claims: dict[TopicPartition, Claim] = {}
        self.got: dict[TopicPartition, list[Record]] = {}

    async def start(self) -> None:
        """Claim everything from the beginning."""
        for place in await self.consumer.assignment():
            self.claims[place] = Claim(place, 1, Position(0, 0, 0))
            self.got[place] = []
            self.consumer.seek(place, 0)

    async def turn(self, batch: int) -> int:
        """Gather once and check what holds of every group; how many records there were."""
        count = 0
        for pieces in await gather(SERVICE, self.log, self.consumer, self.claims, batch, 0.0):
            self.check(pieces)
            count += sum(len(piece.records) for piece in pieces)
        return count

    def check(self, pieces: Sequence[Slice]) -> None:
        """One partition number; offsets go on where they were; no output of input that is not applied with it."""
        assert len({piece.claim.partition.partition for piece in pieces}) == 1
        self.apply(pieces)
        for part in {piece.claim.partition.partition for piece in pieces}:
            reached = len(self.got[TopicPartition("input", part)])
            for record in self.got[TopicPartition("output", part)]:
                assert int(dict(record.headers)[AFTER]) <= reached

    def apply(self, pieces: Sequence[Slice]) -> None:
        """Move the claims; offsets go on where they were."""
        for piece in pieces:
            place, records = piece.claim.partition, piece.records
            assert [r.offset for r in records] == list(range(len(self.got[place]), len(self.got[place]) + len(records)))
            self.got[place].extend(records)
            self.claims[place] = Claim(place, 1, Position(records[-1].offset + 1, 0, 0))

    def beside(self) -> None:
        """Whatever input is read, all that follows from it is read too: what the output holds of it, no less."""
        for part in range(PARTITIONS):
            output: Mapping[int, int] = {int(r.value or b"0"): 1 for r in self.got[TopicPartition("output", part)]}
            wanted = {r.offset for r in self.got[TopicPartition("input", part)] if r.offset % 3 == 0}
            assert wanted == set(output)


@pytest.mark.parametrize("seed", range(6))
async def test_input_and_output_come_whole_and_in_step(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    log = open_log(tmp_path / "log.db", PARTITIONS, clock=lambda: 1)
    consumer = log.consumer("reader", ("input", "output"))
    maker, reader = Maker(log, chance), Reader(log, consumer)
    await reader.start()
    total = 0
    for _ in range(60):
        step = chance.random()
        if step < 0.3:
            total += (added := chance.randint(1, 300))
            await log.append([Outgoing("input", chance.choice(KEYS), b"x") for _ in range(added)])
        elif step < 0.65:
            await maker.turn()
        else:
            await reader.turn(chance.choice((20, 100, 1000)))
            reader.beside()
    while sum(maker.read) < total:
        await maker.turn()
    async with asyncio.timeout(20):
        while sum(len(reader.got[TopicPartition("input", part)]) for part in range(PARTITIONS)) < total:
            await reader.turn(100)
    reader.beside()
    await consumer.close()
    await log.close()


async def test_every_partition_gets_a_whole_batch_and_none_gets_more(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db", PARTITIONS, clock=lambda: 1)
    consumer = log.consumer("reader", ("input",))
    reader = Reader(log, consumer)
    await reader.start()
    await log.append(
        [Outgoing("input", "customer-0", b"x") for _ in range(20)]
    )  # of one partition, because the key is one
    for _ in range(25):
        await log.append_everywhere("input", b"x")
    plain = replace(SERVICE, consumes=("input",), gated=None)
    sizes = []
    async with asyncio.timeout(20):
        while sum(map(len, reader.got.values())) < 25 * PARTITIONS + 20:
            pieces = [piece for (piece,) in await gather(plain, log, consumer, reader.claims, 10, 0.0)]
            reader.apply(pieces)
            sizes.append(sorted(len(piece.records) for piece in pieces))
    assert sizes[:3] == [[10, 10], [10, 10], [5, 10]]
    assert sizes[3:] == [[10], [5]]
    await consumer.close()
    await log.close()


async def test_input_of_which_nothing_follows_is_read_soon_too(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db", PARTITIONS, clock=lambda: 1)
    consumer = log.consumer("reader", ("input", "output"))
    reader = Reader(log, consumer)
    await reader.start()
    await reader.turn(100)

    async def read() -> None:
        while not sum(len(records) for records in reader.got.values()):
            for pieces in await gather(SERVICE, log, consumer, reader.claims, 100, 30.0):
                reader.check(pieces)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    await log.append([Outgoing("input", "customer-0", b"x")])
    place = next(place for place, end in (await log.ends("input")).items() if end)
    await asyncio.sleep(0.2)
    await log.tell(Told("maker", {place: Position(1, 0, 0)}))
    async with asyncio.timeout(3):
        await reading
    await consumer.close()
    await log.close()


async def test_what_was_read_before_the_claim_is_left_out(tmp_path: Path) -> None:
    """A member may have records of a partition from before it was claimed, at a place that was applied long ago."""
    log = open_log(tmp_path / "log.db", 1, clock=lambda: 1)
    plain = Service(**{**{name: getattr(SERVICE, name) for name in Service.__slots__}, "gated": None})
    place = TopicPartition("input", 0)
    await log.append([Outgoing("input", "k", b"x")] * 5)
    consumer = log.consumer("reader", ("input",))
    await consumer.assignment()
    claims = {place: Claim(place, 1, Position(3, 0, 0))}
    consumer.seek(place, 0)
    assert await gather(plain, log, consumer, claims, 100, 0.0) == []
    assert await gather(plain, log, consumer, {}, 100, 0.0) == []
    consumer.seek(place, 3)
    ((piece,),) = await gather(plain, log, consumer, claims, 100, 0.0)
    assert [record.offset for record in piece.records] == [3, 4]
    await consumer.close()
    await log.close()


class Interrupted:
    """A member in whose second poll something has come since the first, as when others go on writing."""

    def __init__(self, consumer: Consumer, between: Callable[[], Awaitable[None]]) -> None:
        self._consumer = consumer
        self._between = between
        self._polls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def poll(self, max_records: int, timeout: float) -> Mapping[TopicPartition, Sequence[Record]]:
        if self._polls == 0:
            await self._between()
        self._polls += 1
        return await self._consumer.poll(max_records, timeout)


async def test_output_that_came_while_we_looked_waits_for_its_input(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db", 1, clock=lambda: 1)
    reader = Reader(log, log.consumer("reader", ("input", "output")))
    await reader.start()
    place = TopicPartition("input", 0)
    await log.append([Outgoing("input", "k", b"x")] * 2)
    header = ((AFTER, b"2"),)

    async def maker_goes_on() -> None:
        """Both records are worked off after it was looked how far the gate is."""
        await log.append([Outgoing("output", "k", b"0", header)], Told("maker", {place: Position(2, 0, 0)}))

    consumer = Interrupted(reader.consumer, maker_goes_on)
    for pieces in await gather(SERVICE, log, consumer, reader.claims, 100, 0.0):
        reader.check(pieces)
    assert reader.got[TopicPartition("output", 0)] == []
    await reader.turn(100)
    assert {place.topic: len(records) for place, records in reader.got.items()} == {"input": 2, "output": 1}
    await reader.consumer.close()
    await log.close()


async def test_input_waits_for_the_rest_of_its_output_when_that_is_much(tmp_path: Path) -> None:
    """Ten records of output for one of input: of twenty, more follows than is read at once."""
    log = open_log(tmp_path / "log.db", 1, clock=lambda: 1)
    reader = Reader(log, log.consumer("reader", ("input", "output")))
    await reader.start()
    place = TopicPartition("input", 0)
    await log.append([Outgoing("input", "k", b"x")] * 30)
    for offset in range(30):
        said = Outgoing("output", "k", b"%d" % offset, ((AFTER, b"%d" % (offset + 1)),))
        await log.append([said] * 10, Told("maker", {place: Position(offset + 1, 0, 0)}))
    turns = 0
    while len(reader.got[place]) < 30:
        await reader.turn(20)
        assert len(reader.got[TopicPartition("output", 0)]) == 10 * len(reader.got[place])
        turns += 1
    assert turns > 2
    await reader.consumer.close()
    await log.close()
