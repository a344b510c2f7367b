"""Faust (faust-streaming): an agent that counts into a dict, or into a table with a changelog topic."""

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import faust

from benchmarks.rivals.program import Stopwatch, Task, after, task


def application(where: Task, watch: Stopwatch, done: asyncio.Event) -> tuple[faust.App, MutableMapping[str, Any]]:
    """The application with its one agent, and where it counts."""
    app = faust.App(
        where.group,
        broker=where.brokers,
        datadir=where.folder,
        topic_partitions=where.partitions,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    totals: MutableMapping[str, Any] = {}
    if where.way == "table":
        totals = app.Table("total", partitions=where.partitions)
    left = where.events

    @app.agent(app.topic(where.topic, value_serializer="json", key_serializer="raw"))
    async def count(stream: faust.StreamT[Any]) -> None:
        nonlocal left
        async for event in stream:
            watch.begin()
            data = event["data"]
            who = data["customer"]["customer_id"]
            totals[who] = after(totals.get(who, (0, 0, 0)), data["total"], event["time"])
            left -= 1
            if left == 0:
                done.set()

    return app, totals


async def run(where: Task) -> tuple[Stopwatch, Mapping[str, Sequence[int]]]:
    """Run it until everything is counted, sent to the changelog and committed."""
    watch, done = Stopwatch(where), asyncio.Event()
    app, totals = application(where, watch, done)
    await app.start()
    await done.wait()
    await app.producer.flush()
    await app.consumer.commit()
    watch.end()
    found = {who: list(total) for who, total in totals.items()}
    await app.stop()
    return watch, found


def main(where: Task) -> None:
    """Do the task in the way it names."""
    watch, found = asyncio.run(run(where))
    watch.tell(found)


if __name__ == "__main__":
    main(task())
