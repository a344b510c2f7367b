"""FastStream (aiokafka): one call a message or a call a batch, in memory, or an upsert into PostgreSQL per message.

As its documentation writes it: pydantic models, and offsets committed by the client's timer. None of the ways survives
a crash with the right totals: what was counted and not yet committed is counted again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import psycopg
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from pydantic import BaseModel

from benchmarks.rivals.program import Stopwatch, Task, Total, after, milliseconds, minor, task

UPSERT = (
    'INSERT INTO "{0}".total AS t VALUES (%s, 1, %s, %s) ON CONFLICT (customer) DO UPDATE SET purchases = '
    "t.purchases + 1, revenue = t.revenue + excluded.revenue, last = greatest(t.last, excluded.last)"
)
TABLE = 'CREATE TABLE "{0}".total (customer text PRIMARY KEY, purchases bigint, revenue bigint, last bigint)'


class Customer(BaseModel):
    """Who."""

    customer_id: str


class Bought(BaseModel):
    """What."""

    customer: Customer
    total: str
    currency: str


class Purchase(BaseModel):
    """The event as the handler declares it."""

    id: str
    type: str
    time: str
    data: Bought


class Run:
    """One run of the application."""

    def __init__(self, where: Task) -> None:
        self.where = where
        self.watch = Stopwatch(where)
        self.totals: dict[str, Total] = {}
        self.left = where.events
        self.broker = KafkaBroker(where.brokers.removeprefix("kafka://"), decoder=self.decoded)
        self.app = FastStream(self.broker, logger=None)

    async def decoded(self, message: KafkaMessage) -> Any:
        """The body as JSON; by itself it reads only `application/json` as such, and not a CloudEvent."""
        self.watch.begin()
        body = message.body
        return list(map(orjson.loads, body)) if isinstance(body, list) else orjson.loads(body)

    def add(self, event: Purchase) -> None:
        """Count one in memory."""
        who = event.data.customer.customer_id
        self.totals[who] = after(self.totals.get(who, (0, 0, 0)), event.data.total, event.time)

    def came(self, count: int) -> None:
        """So many are dealt with."""
        self.left -= count
        if self.left <= 0:
            self.watch.end()
            self.app.exit()

    async def one_by_one(self) -> None:
        """A call a message."""

        @self.broker.subscriber(self.where.topic, group_id=self.where.group, auto_offset_reset="earliest")
        async def handle(event: Purchase) -> None:
            self.add(event)
            self.came(1)

        await self.app.run()

    async def in_batches(self) -> None:
        """A call a batch."""

        @self.broker.subscriber(self.where.topic, group_id=self.where.group, auto_offset_reset="earliest", batch=True)
        async def handle(events: list[Purchase]) -> None:
            for event in events:
                self.add(event)
            self.came(len(events))

        await self.app.run()

    async def upserting(self) -> None:
        """A call and an upsert a message."""
        upsert = UPSERT.format(self.where.schema).encode()
        async with await psycopg.AsyncConnection.connect(self.where.database, autocommit=True) as server:
            await server.execute(f'CREATE SCHEMA "{self.where.schema}"'.encode())
            await server.execute(TABLE.format(self.where.schema).encode())

            @self.broker.subscriber(self.where.topic, group_id=self.where.group, auto_offset_reset="earliest")
            async def handle(event: Purchase) -> None:
                who, total = event.data.customer.customer_id, minor(event.data.total)
                await server.execute(upsert, (who, total, milliseconds(event.time)))
                self.came(1)

            await self.app.run()

    def found(self) -> Mapping[str, Sequence[int]]:
        """The totals, wherever they are."""
        if self.totals:
            return self.totals
        with psycopg.connect(self.where.database) as server:
            rows = server.execute(f'SELECT * FROM "{self.where.schema}".total'.encode())
            return {who: total for who, *total in rows}


def main(where: Task) -> None:
    """Do the task in the way it names."""
    run = Run(where)
    ways = {"message": run.one_by_one, "batch": run.in_batches, "upsert": run.upserting}
    asyncio.run(ways[where.way]())
    run.watch.tell(run.found())


if __name__ == "__main__":
    main(task())
