"""The senders: post in batches and write to source topics, and send again until acknowledged, as good senders do."""

import asyncio
import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.load import Draft, Event

BATCH = 200
DUPLICATE_SHARE = 0.2
REMEMBERED = 5_000
"""From so many of the latest events those are drawn that are sent once more."""

PAUSE = 0.25
ANSWER_SECONDS = 8.0
"""A process that is stopped answers nothing; what got no answer is sent again."""

AT_ONCE = 2
"""So many batches are under way at once."""


class Pace(NamedTuple):
    """At most so many events a second, and no more while as many as `most` wait to be applied by a service."""

    rate: float
    most: int
    applied: Callable[[], int]


@dataclass(slots=True)
class Journal:
    """What was sent and answered. `acknowledged` are the unique events as they were sent, `wrong` the ids of those that
    must have become dead letters; `answers` counts accepted, refused (503, 429), unknown (no answer) and others.
    """

    acknowledged: list[bytes] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    duplicates: int = 0
    posted: int = 0
    by_topic: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    done: int = 0


class Sender:
    """Works through drafts in a thread of its own, at most so many events a second."""

    def __init__(self, entrances: Callable[[], list[str]], brokers: str, prefix: str, pace: Pace) -> None:
        self.journal = Journal()
        self.failure: BaseException | None = None
        self._entrances = entrances
        self._brokers = brokers
        self._prefix = prefix
        self._pace = pace
        self._recent: deque[tuple[bytes, bool, str | None]] = deque(maxlen=REMEMBERED)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, drafts: Iterator[Draft], seed: int) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(drafts, random.Random(seed + 2)), daemon=True)
        self._thread.start()

    def is_busy(self) -> bool:
        """Whether something is still to be sent."""
        return self._thread is not None and self._thread.is_alive()

    def join(self) -> Journal:
        """Wait until everything is acknowledged; what was sent."""
        assert self._thread is not None
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        return self.journal

    def give_up(self) -> None:
        """Stop before the end."""
        self._stop.set()

    def _run(self, drafts: Iterator[Draft], chance: random.Random) -> None:
        try:
            asyncio.run(self._send_all(drafts, chance))
        except BaseException as error:
            self.failure = error

    async def _send_all(self, drafts: Iterator[Draft], chance: random.Random) -> None:
        started = time.monotonic()
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as client:
            await asyncio.gather(*(self._send(drafts, chance, client, started) for _ in range(AT_ONCE)))

    async def _send(
        self, drafts: Iterator[Draft], chance: random.Random, client: httpx.AsyncClient, started: float
    ) -> None:
        """Batch after batch; one that is not answered holds up only those who send by the same hand."""
        producer: AIOKafkaProducer | None = None
        while not self._stop.is_set() and (batch := self._batch(drafts, chance)):
            await self._wait(time.monotonic() - started)
            stamped = [*map(_stamped, batch)]
            again = [one for one in self._recent if chance.random() < DUPLICATE_SHARE * BATCH / len(self._recent)]
            self._recent.extend(stamped)
            self.journal.duplicates += len(again)
            both = [*stamped, *again]
            chance.shuffle(both)
            await self._post([one for one in both if one[2] is None], client)
            producer = await self._write([one for one in both if one[2] is not None], producer)
            self._note(batch, stamped)
        if producer is not None:
            await producer.stop()

    async def _wait(self, passed: float) -> None:
        """Do not run ahead of the pace, nor of the slowest service."""
        await asyncio.sleep(max(0.0, self.journal.done / self._pace.rate - passed))
        while self.journal.done - self._pace.applied() > self._pace.most and not self._stop.is_set():
            await asyncio.sleep(PAUSE)

    def _batch(self, drafts: Iterator[Draft], chance: random.Random) -> list[Draft]:
        wanted = chance.randrange(BATCH // 2, BATCH * 3 // 2)
        return list(itertools.islice(drafts, wanted))

    def _note(self, batch: Sequence[Draft], stamped: Sequence[tuple[bytes, bool, str | None]]) -> None:
        journal = self.journal
        journal.done += len(batch)
        journal.acknowledged += [value for value, wrong, _ in stamped if not wrong]
        journal.wrong |= {draft.event["id"] for draft in batch if draft.wrong}

    async def _post(self, events: Sequence[tuple[bytes, bool, str | None]], client: httpx.AsyncClient) -> None:
        """Post until the whole batch is acknowledged."""
        body = b"[" + b",".join(value for value, _, _ in events) + b"]"
        headers = {"Authorization": "Bearer pen", "Content-Type": "application/cloudevents-batch+json"}
        turn = 0
        while events and not self._stop.is_set():
            doors = self._entrances()
            if not doors:
                await asyncio.sleep(PAUSE)
                continue
            turn += 1
            door = doors[(self.journal.done + turn) % len(doors)]
            try:
                answer = await client.post(f"{door}/v1/events", content=body, headers=headers)
            except httpx.ConnectError:
                self.journal.answers["no connection"] += 1
            except httpx.TransportError:
                self.journal.answers["unknown"] += 1
            else:
                self.journal.answers[str(answer.status_code)] += 1
                if answer.status_code == 202:
                    self._check(answer.json(), [wrong for _, wrong, _ in events])
                    self.journal.posted += len(events)
                    return
                if answer.status_code not in (429, 503):
                    self.journal.complaints.append(f"{answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(PAUSE)

    def _check(self, answer: dict[str, Any], wrong: Sequence[bool]) -> None:
        said = [one["status"] for one in answer["results"]]
        if said != ["rejected" if one else "accepted" for one in wrong]:
            self.journal.complaints.append(f"verdicts of a batch of {len(wrong)}: {dict(Counter(said))}")

    async def _write(
        self, events: Sequence[tuple[bytes, bool, str | None]], producer: AIOKafkaProducer | None
    ) -> AIOKafkaProducer | None:
        """Write to the source topics until every broker has it; what failed is written again by a new producer."""
        left = [(f"{self._prefix}{topic}", value) for value, _, topic in events]
        headers = [("content-type", b"application/cloudevents+json")]
        while left and not self._stop.is_set():
            try:
                if producer is None:
                    producer = AIOKafkaProducer(bootstrap_servers=self._brokers, acks="all", enable_idempotence=True)
                    await asyncio.wait_for(producer.start(), ANSWER_SECONDS)
                ways = [await producer.send(topic, value, key=value[-9:], headers=headers) for topic, value in left]
                done = await asyncio.wait_for(asyncio.gather(*ways, return_exceptions=True), ANSWER_SECONDS)
            except (TimeoutError, KafkaError, OSError):
                done = [OSError()] * len(left)
            failed = [one for one, result in zip(left, done, strict=True) if isinstance(result, BaseException)]
            self.journal.by_topic += len(left) - len(failed)
            left = failed
            if left:
                self.journal.answers["topic unknown"] += 1
                producer = await _renewed(producer)
        return producer


async def _renewed(producer: AIOKafkaProducer | None) -> None:
    if producer is not None:
        with suppress(TimeoutError, KafkaError, OSError, asyncio.CancelledError):
            await asyncio.wait_for(producer.stop(), 5)
    await asyncio.sleep(PAUSE)


def _stamped(draft: Draft) -> tuple[bytes, bool, str | None]:
    time_ = datetime.now(UTC) - timedelta(milliseconds=draft.age_ms)
    event: Event = {**draft.event, "time": time_.isoformat(timespec="milliseconds")}
    return msgspec.json.encode(event), draft.wrong, draft.topic
