"""A service's state made anew: every record of its topics through `evolve`, into a database of its own.

It is the processor that live batches go through, with a service that has nothing to say, so what is decided, refused
and remembered is the same; what would have been published is thrown away with its outbox.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine, delete, select

from shared.database import outbox, position, transaction
from shared.errors import CarteraError
from shared.log import Log, Record, TopicPartition
from shared.runtime.processor import Claim, Slice, claim, process
from shared.runtime.schema import prepare
from shared.runtime.service import Service

BATCH = 4_000
OWNER = "rebuild"

Places = Mapping[TopicPartition, int]
Report = Callable[[int, int], None]
"""Told how many records are folded, of how many."""


class HistoryGone(CarteraError):
    """The log no longer has the beginning of a topic: state cannot be made from it."""


def applied(connection: Connection) -> dict[TopicPartition, int]:
    """How far a service has applied each partition, as of the moment that a connection sees."""
    rows = connection.execute(select(position.c.topic, position.c.part, position.c.next_offset))
    return {TopicPartition(topic, part): offset for topic, part, offset in rows}


class Folding:
    """One state in the making."""

    def __init__(self, service: Service, engine: Engine, log: Log) -> None:
        self._service = replace(service, react=lambda before, after: (), hold=None)
        self._engine = engine
        self._log = log
        self._claims: dict[TopicPartition, Claim] = {}

    async def start(self) -> None:
        """Make the tables and claim every partition. Raises HistoryGone."""
        prepare(self._engine, self._service)
        for topic in self._service.consumes:
            for place, oldest in (await self._log.beginnings(topic)).items():
                if oldest:
                    raise HistoryGone(
                        f"{topic}/{place.partition} begins at {oldest}: what came before is gone from the log, "
                        "so this state cannot be made from it"
                    )
                self._claims[place], _ = claim(self._engine, place, OWNER)

    def reached(self) -> dict[TopicPartition, int]:
        """How far each partition is folded."""
        return {place: held.position.offset for place, held in self._claims.items()}

    async def fold(self, upto: Places, report: Report) -> None:
        """Apply everything below these offsets."""
        consumer = self._log.consumer(f"{self._service.name}-{OWNER}", self._service.consumes)
        done, total = sum(self.reached().values()), sum(upto.values())
        try:
            while not set(self._claims) <= await consumer.assignment():
                await consumer.poll(1, 0.1)
            for place, held in self._claims.items():
                consumer.seek(place, held.position.offset)
            while left := {p for p, held in self._claims.items() if held.position.offset < upto.get(p, 0)}:
                consumer.pause(frozenset(self._claims) - left)
                for place, records in (await consumer.poll(BATCH, 1.0)).items():
                    done += self._apply(place, [one for one in records if one.offset < upto[place]])
                    report(done, total)
                    consumer.seek(place, self._claims[place].position.offset)
        finally:
            await consumer.close()

    def _apply(self, place: TopicPartition, records: Sequence[Record]) -> int:
        if records:
            result = process(self._engine, self._service, [Slice(self._claims[place], records)])
            self._claims[place] = result.claims[0]
            with transaction(self._engine) as connection:
                connection.execute(delete(outbox))
        return len(records)
