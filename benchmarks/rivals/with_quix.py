"""Quix Streams: a stateful function, its state in RocksDB with a changelog topic, checkpoints by its own defaults."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from quixstreams import Application, State

from benchmarks.rivals.program import Stopwatch, Task, Total, after, task


def application(where: Task, watch: Stopwatch) -> Application:
    """The application with its one stateful function."""
    app = Application(
        broker_address=where.brokers.removeprefix("kafka://"),
        consumer_group=where.group,
        auto_offset_reset="earliest",
        state_dir=Path(where.folder, "state"),
        loglevel="ERROR",
    )

    def count(event: Mapping[str, Any], state: State) -> None:
        watch.begin()
        data = event["data"]
        known = state.get("total", (0, 0, 0))
        state.set("total", after(known, data["total"], event["time"]))

    topic = app.topic(where.topic, key_deserializer="str", value_deserializer="json")
    app.dataframe(topic).apply(count, stateful=True)
    return app


def end_with_the_checkpoint(app: Application, watch: Stopwatch) -> None:
    """The last checkpoint is when everything is in the changelog and committed."""
    commit = app._processing_context.commit_checkpoint

    def committed(**how: bool) -> None:
        commit(**how)
        if how == {"force": True}:
            watch.end()

    app._processing_context.commit_checkpoint = committed


def changelog(where: Task) -> Mapping[str, Total]:
    """The newest state of every customer on the changelog topic: what a restart would go on from."""
    settings = {"bootstrap.servers": where.brokers.removeprefix("kafka://"), "group.id": f"{where.group}-look"}
    consumer = Consumer({**settings, "enable.partition.eof": False})
    (topic,) = (
        name for name in consumer.list_topics(timeout=10).topics if name.startswith(f"changelog__{where.group}")
    )
    parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = {part: consumer.get_watermark_offsets(TopicPartition(topic, part))[1] for part in parts}
    consumer.assign([TopicPartition(topic, part, 0) for part in parts])
    found: dict[str, Total] = {}
    while any(end > 0 for end in ends.values()):
        for message in consumer.consume(5_000, timeout=1):
            who = message.key().partition(b"|")[0].decode().strip('"').removeprefix("customer_id:")
            found[who] = tuple(json.loads(message.value()))
            if message.offset() + 1 >= ends[message.partition()]:
                ends[message.partition()] = 0
    consumer.close()
    return found


def main(where: Task) -> None:
    """Do the task."""
    watch = Stopwatch(where)
    app = application(where, watch)
    end_with_the_checkpoint(app, watch)
    app.run(count=where.events, collect=False)
    watch.tell(changelog(where))


if __name__ == "__main__":
    main(task())
