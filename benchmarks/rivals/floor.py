"""The floor: COPY of the same bytes, as jsonb, into a table of PostgreSQL with nothing on it, a commit per batch."""

import asyncio

import psycopg

from benchmarks.rivals.program import Stopwatch, Task, task
from shared.log.kafka import open_log, parse

BATCH = 4_000


async def bodies(where: Task) -> list[bytes]:
    """All events, read before the clock starts."""
    log = open_log(parse(where.brokers), where.prefix)
    consumer = log.consumer(where.schema, ["interactions"])
    while len(mine := await consumer.assignment()) < where.partitions:
        await consumer.poll(1, 0.1)
    for place in mine:
        consumer.seek(place, 0)
    found: list[bytes] = []
    while len(found) < where.events:
        for records in (await consumer.poll(BATCH, 10)).values():
            found += [record.value or b"" for record in records]
    await log.close()
    return found


def main(where: Task) -> None:
    """Write them."""
    events = asyncio.run(bodies(where))
    with psycopg.connect(where.database) as server:
        server.execute(f'CREATE SCHEMA "{where.schema}"'.encode())
        server.execute(f'CREATE TABLE "{where.schema}".event (body jsonb)'.encode())
        server.commit()
        watch = Stopwatch(where)
        watch.begin()
        for start in range(0, len(events), BATCH):
            with server.cursor().copy(f'COPY "{where.schema}".event FROM STDIN'.encode()) as copy:
                for body in events[start : start + BATCH]:
                    copy.write_row((body.decode(),))
            server.commit()
        watch.end()
    watch.tell({})


if __name__ == "__main__":
    main(task())
