"""Our own means: the profile stage as it runs in production, a fold in memory through our log, and reading alone.

The profile stage does far more than the task asks: it drops copies, resolves identities, keeps every event on a
timeline, joins a whole record, and publishes each new version of it through its outbox.
"""

import asyncio
import json
from collections.abc import Mapping

from sqlalchemy import Engine, select

from benchmarks.rivals.program import Stopwatch, Task, Total, milliseconds, minor, task
from services.profile.service import SERVICE
from services.profile.tables import profile
from shared.database import open_postgres
from shared.events.envelope import decode
from shared.events.interactions import DECODERS
from shared.events.times import to_ms
from shared.log import Consumer, Log
from shared.log.kafka import Plan, open_log, parse
from shared.runtime import clock, loop, runner
from shared.runtime.process import Process
from shared.runtime.schema import prepare
from shared.telemetry import Metrics

POLL = 2_000


async def stage(where: Task, log: Log, watch: Stopwatch) -> Mapping[str, Total]:
    """The whole profile stage on PostgreSQL, a transaction for each batch; `stage one by one`, for each event."""
    if where.way == "stage one by one":
        loop.BATCH = loop.LARGEST_BATCH = 1
    engine = open_postgres(where.database)(where.schema)
    prepare(engine, SERVICE)
    process = Process(log=log, clock=clock.system, metrics=Metrics("0"), owner="benchmark")
    running = loop.Loop(SERVICE, engine, process)
    turning = asyncio.create_task(running.run())
    while not running.positions() and not turning.done():
        await asyncio.sleep(0.002)
    watch.begin()
    while sum(at.offset for at in running.positions().values()) < where.events and not turning.done():
        await asyncio.sleep(0.005)
    watch.end()
    running.stop()
    await turning
    return _totals(engine)


def _totals(engine: Engine) -> Mapping[str, Total]:
    found = {}
    with engine.connect() as connection:
        for (body,) in connection.execute(select(profile.c.record)):
            record = json.loads(body)
            who = next(one["value"] for one in record["identifiers"] if one["kind"] == "customer_id")
            bought = record["purchases"]
            found[who] = bought["count"], minor(bought["revenue"]["EUR"]), milliseconds(bought["last_at"])
    return found


async def fold(where: Task, log: Log, watch: Stopwatch) -> Mapping[str, Total]:
    """Read, decode and validate each event and add it up in memory, positions told as a stage tells them."""
    consumer = await _joined(where, log)
    watch.begin()
    found: dict[str, Total] = {}
    purchase = DECODERS["purchase.completed"]
    came = 0
    while came < where.events:
        for records in (await consumer.poll(POLL, 10)).values():
            came += len(records)
            for record in records:
                event = decode(record.value or b"")
                bought = purchase.decode(event.data)
                who = str(bought.customer["customer_id"])
                count, revenue, last = found.get(who, (0, 0, 0))
                found[who] = count + 1, revenue + minor(bought.total), max(last, to_ms(event.time))
    watch.end()
    await consumer.close()
    return found


async def read(where: Task, log: Log, watch: Stopwatch) -> Mapping[str, Total]:
    """Only take the records: the limit of what anybody can do with this client."""
    consumer = await _joined(where, log)
    watch.begin()
    came = 0
    while came < where.events:
        came += sum(map(len, (await consumer.poll(POLL, 10)).values()))
    watch.end()
    await consumer.close()
    return {}


async def _joined(where: Task, log: Log) -> Consumer:
    consumer = log.consumer(where.schema, ["interactions"])
    while len(mine := await consumer.assignment()) < where.partitions:
        await consumer.poll(1, 0.1)
    for place in mine:
        consumer.seek(place, 0)
    return consumer


WAYS = {"stage": stage, "stage one by one": stage, "fold": fold, "read": read}


async def main(where: Task) -> None:
    """Do the task in the way it names."""
    runner._calm_collector()
    log = open_log(parse(where.brokers), where.prefix, lambda _: Plan(where.partitions))
    watch = Stopwatch(where)
    found = await WAYS[where.way](where, log, watch)
    await log.close()
    watch.tell(found)


if __name__ == "__main__":
    asyncio.run(main(task()))
