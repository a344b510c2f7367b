"""What the log itself can take in and give out, without any service: records a second on Kafka and on SQLite.

Kafka is the broker of CARTERA_TEST_KAFKA, or one that is started for the measurement.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.events.outgoing import CONTENT_TYPE, Outgoing
from shared.log import Log
from shared.log.kafka import Plan, open_log, parse
from shared.log.sqlite import open_log as open_sqlite_log
from tests.servers.kafka import running

RECORDS = 300_000
PARTITIONS = 6
AT_ONCE = 2_000
"""Records of an append, as the runtime publishes them, and of a poll."""

EVENT = (
    b'{"specversion":"1.0","id":"%d","source":"shop/madrid","type":"purchase.completed","time":"2026-11-20T10:15:00Z",'
    b'"data":{"customer":{"customer_id":"C-%d","email":"customer%d@example.com"},"order_id":"%d","currency":"EUR",'
    b'"total":"%d.90","channel":"store","store_id":"M-%d","items":[{"sku":"A%d","name":"Kettle","category":"Kitchen",'
    b'"quantity":1,"unit_price":"%d.90"},{"sku":"B%d","name":"Teapot","category":"Kitchen","quantity":2,'
    b'"unit_price":"12.50"}],"payment_method":"card","coupon":null,"discount":"0.00","tax":"8.66"}}'
)


def measure() -> dict[str, Any]:
    """Records and megabytes a second, in and out, by one process."""
    records = [_event(number) for number in range(RECORDS)]
    return {
        "records": RECORDS,
        "bytes_each": len(records[0].value or b""),
        "kafka": asyncio.run(_kafka(records)),
        "sqlite": asyncio.run(_sqlite(records)),
    }


def _event(i: int) -> Outgoing:
    who, value = i * 7919 % 20_000, i * 104_729 % 500
    body = EVENT % (i, who, who, i, value, i % 40, value, value, i % 300)
    return Outgoing("interactions", f"customer_id:C-{who}", body, CONTENT_TYPE)


async def _kafka(records: Sequence[Outgoing]) -> dict[str, Any]:
    os.environ.setdefault("KAFKA_HEAP_MEGABYTES", "512")
    with tempfile.TemporaryDirectory() as place, running(Path(place) / "kafka") as url:
        log = open_log(parse(url), f"bench-{uuid4().hex[:8]}.", lambda _: Plan(PARTITIONS))
        try:
            return await _run(log, records)
        finally:
            await log.close()


async def _sqlite(records: Sequence[Outgoing]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        log = open_sqlite_log(Path(place) / "log.db", PARTITIONS, clock=lambda: time.time_ns() // 1_000_000)
        try:
            return await _run(log, records)
        finally:
            await log.close()


async def _run(log: Log, records: Sequence[Outgoing]) -> dict[str, Any]:
    await log.append(records[:1])
    used, started = time.process_time(), time.perf_counter()
    pieces = [records[i : i + AT_ONCE] for i in range(1, len(records), AT_ONCE)]
    for i in range(0, len(pieces), 2):  # two appends under way, as of two services
        await asyncio.gather(*(log.append(piece) for piece in pieces[i : i + 2]))
    appended = _figures(records, time.perf_counter() - started, time.process_time() - used)
    consumer = log.consumer("bench", ["interactions"])
    while not (mine := await consumer.assignment()):
        await consumer.poll(1, 0.1)
    used, started = time.process_time(), time.perf_counter()
    for place in mine:
        consumer.seek(place, 0)
    came = 0
    while came < len(records):
        came += sum(map(len, (await consumer.poll(AT_ONCE, 10)).values()))
    read = _figures(records, time.perf_counter() - started, time.process_time() - used)
    await consumer.close()
    return {"in": appended, "out": read}


def _figures(records: Sequence[Outgoing], seconds: float, cpu: float) -> dict[str, Any]:
    size = sum(len(record.value or b"") for record in records)
    return {
        "records_per_second": round(len(records) / seconds),
        "megabytes_per_second": round(size / seconds / 1e6, 1),
        "client_cpu_us_per_record": round(cpu / len(records) * 1e6, 2),
    }
