"""The CloudEvents SDK's own bindings: what it produces over HTTP and Kafka is read, what is published it reads."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import Engine

from services.ingest.service import SERVICE, build
from shared.log import TopicPartition
from shared.log.kafka import KafkaLog, Plan, open_log, parse
from shared.runtime.loop import Loop
from shared.runtime.process import Process
from shared.runtime.schema import chains_of
from shared.telemetry import Metrics
from tests.conftest import sqlite
from tests.contract.entrance_house import NOW, House, on_sqlite


def event(number: int) -> CloudEvent:
    """A purchase as a program with the SDK would make it."""
    return CloudEvent(
        attributes={
            "id": f"order {number} ñ",
            "source": "shop/madrid",
            "type": "purchase.completed",
            "specversion": "1.0",
            "time": datetime(2026, 11, 20, 10, 0, number, tzinfo=UTC),
            "datacontenttype": "application/json",
        },
        data={"customer": {"email": "ana@example.com"}, "order_id": str(number), "total": "49.90", "currency": "EUR"},
    )


def content(found: Any) -> tuple[str, str, datetime | None, Any]:
    """What must come through whatever the way."""
    data = {name: value for name, value in found.get_data().items() if name != "customer"}
    return found.get_id(), found.get_source(), found.get_time(), data


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with on_sqlite(tmp_path, {}) as found:
        yield found


async def test_events_of_the_sdk_over_http_in_every_mode(house: House) -> None:
    sent = [event(number) for number in range(3)]
    for message in (http.to_binary_event(sent[0]), http.to_structured_event(sent[1])):
        answer = await house.client.post("/v1/events", content=message.body, headers=dict(message.headers))
        assert answer.status_code == 202, answer.text
    batch = b"[" + http.to_structured_event(sent[2]).body + b"]"
    headers = {"content-type": "application/cloudevents-batch+json"}
    assert (await house.client.post("/v1/events", content=batch, headers=headers)).status_code == 202
    records = await house.topic("interactions")
    found = [
        kafka.from_kafka(kafka.KafkaMessage(headers=dict(r.headers), key=r.key, value=r.value or b""), JSONFormat())
        for r in records
    ]
    assert [content(one) for one in found] == [content(one) for one in sent]


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    opened: list[Engine] = []
    yield sqlite(tmp_path, opened, SERVICE.name, chains_of(SERVICE), None)
    for one in opened:
        one.dispose()


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str:
    """The fixture `kafka`, whose name the SDK's module has here."""
    url: str = request.getfixturevalue("kafka")
    return url


@pytest.mark.kafka
async def test_events_of_the_sdk_over_kafka_both_ways(broker: str, engine: Engine) -> None:
    prefix = f"{uuid4().hex[:12]}."
    log = open_log(parse(broker), prefix, lambda _: Plan(partitions=1))
    await log.ends("purchases")
    process = Process(log=log, clock=lambda: NOW, metrics=Metrics("test"), owner="test")
    loop = Loop(build({}), engine, process)
    running = asyncio.create_task(loop.run())
    sent = [event(number) for number in range(2)]
    messages = [kafka.to_binary_event(sent[0]), kafka.to_structured_event(sent[1])]
    servers = broker.removeprefix("kafka://")
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for message in messages:
            await producer.send_and_wait(
                f"{prefix}purchases", value=message.value, headers=list(message.headers.items())
            )
    await _ended(log, "interactions", len(sent))
    loop.stop()
    await running
    await log.close()
    reader = AIOKafkaConsumer(f"{prefix}interactions", bootstrap_servers=servers, auto_offset_reset="earliest")
    async with reader:
        found = []
        async with asyncio.timeout(20):
            while len(found) < len(sent):
                record = await reader.getone()
                message = kafka.KafkaMessage(dict(record.headers), record.key, record.value)
                found.append(kafka.from_kafka(message, JSONFormat()))
    assert sorted(content(one) for one in found) == sorted(content(one) for one in sent)


async def _ended(log: KafkaLog, topic: str, count: int) -> None:
    async with asyncio.timeout(30):
        while (await log.ends(topic)).get(TopicPartition(topic, 0), 0) < count:
            await asyncio.sleep(0.1)
