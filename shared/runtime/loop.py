"""The loop of one service: claim, poll, process, publish, fire what is due. Stops between batches, never inside one."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Engine

from shared.database import transaction
from shared.errors import CarteraError, Conflict, SetAside, Unavailable
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms
from shared.log import Consumer, Log, Position, Told, TopicPartition
from shared.runtime import measure, outbox
from shared.runtime.clock import Clock
from shared.runtime.joined import gather
from shared.runtime.naming import record_fingerprint
from shared.runtime.processor import Applied, Claim, Slice, claim, fire, process, stamped
from shared.runtime.service import Service, Watermark
from shared.runtime.watermark import watermark
from shared.telemetry import Metrics, logger

T = TypeVar("T")

BATCH = 1000
LARGEST_BATCH = 4000
"""While a loop is behind, batches grow up to this: what is loaded and saved per customer is then paid for once."""
LONGEST_WAIT = 30.0
DEAD_LETTER_LIMIT = 1000
"""So many rejections in a row stop the consumer: a bad deploy must not drain a topic into the bin."""


class StoppedByDeadLetters(CarteraError):
    """Too many events in a row were rejected: look at the dead letters, mend, start again."""


class LogChanged(CarteraError):
    """The log is not the log that was read: a topic was deleted and created again, or records were lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What all loops of one process share. `owner` names it in claims; the events clock takes time from the stream."""

    log: Log
    clock: Clock
    metrics: Metrics
    owner: str
    events_clock: bool = False


class Loop:
    """Runs one service against its log and database until told to stop."""

    def __init__(self, service: Service, engine: Engine, process: Process) -> None:
        self.service = service
        self.engine = engine
        self.log = process.log
        self.clock = process.clock
        self.metrics = process.metrics
        self.owner = process.owner
        self.events_clock = process.events_clock
        self.progress_at = time.monotonic()
        self.failure: str | None = None
        self.idle = True
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=service.name)
        self._claims: dict[TopicPartition, Claim] = {}
        self._held: dict[TopicPartition, int] = {}
        self._kept: list[Slice] = []
        self._batch = BATCH
        self._published = 0
        self._must_publish = True
        self._consumer: Consumer | None = None
        self._stop = False
        self._nudged = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rejections = 0

    def nudge(self) -> None:
        """Look again at once: a definition or a timer changed. Safe from any thread."""
        self._nudged = True
        if self._loop is not None and self._consumer is not None:
            self._loop.call_soon_threadsafe(self._consumer.wake)

    def stop(self) -> None:
        """Finish the batch in hand and end."""
        self._stop = True
        self.nudge()

    async def run(self) -> None:
        """Until stopped. An outage means waiting with one line in the log; a bug ends the loop and shows in health."""
        self._loop = asyncio.get_running_loop()
        self._consumer = self.log.consumer(self.service.name, self.service.consumes)
        pause = 0.1
        try:
            while not self._stop:
                try:
                    await self._turn()
                    pause, self.failure = 0.1, None
                except Conflict as conflict:
                    self.metrics.fenced.labels(self.service.name, "claim").inc()
                    logger().info("claim_lost", service=self.service.name, reason=str(conflict))
                    self._let_go()
                except Unavailable as outage:
                    if self.failure is None:
                        logger().warning("waiting", service=self.service.name, reason=str(outage))
                    self.failure = str(outage)
                    self._let_go()
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 5.0)
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            reason = str(error) if isinstance(error, CarteraError) else ""
            logger().error("consumer_stopped", service=self.service.name, reason=reason, exc_info=error)
            raise
        finally:
            await self._in_thread(self._leave_nothing)
            await self._consumer.close()
            self._thread.shutdown(wait=True)

    def _leave_nothing(self) -> None:
        """Take away what is published, so that the next start does not publish it again."""
        if self._published and not self._must_publish:
            with suppress(Unavailable), transaction(self.engine) as connection:
                outbox.take_away(connection, self._published)

    def _let_go(self) -> None:
        """Trust nothing in memory: claim again, publish again what the outbox holds."""
        self._claims.clear()
        self._held.clear()
        self._kept = []
        self._must_publish = True

    async def _turn(self) -> None:
        assert self._consumer is not None
        if self._must_publish:
            await outbox.publish_left_over(self.engine, self.log, self.service.name)
            self._must_publish, self._published = False, 0
        await self._claim_new()
        wait = await self._wait_seconds()
        self.idle = True
        kept, self._kept = self._kept, []
        pieces = [kept] if kept else await self._gather(wait)
        for piece in pieces:
            self.idle = False
            await self._apply(piece)
        await self._fire_due()

    async def _gather(self, wait: float) -> Sequence[Sequence[Slice]]:
        assert self._consumer is not None
        pieces = await gather(self.service, self.log, self._consumer, self._claims, self._batch, wait)
        behind = any(len(part.records) >= self._batch for piece in pieces for part in piece)
        self._batch = min(2 * self._batch, LARGEST_BATCH) if behind else BATCH
        return pieces

    async def _claim_new(self) -> None:
        assert self._consumer is not None
        assigned = await self._consumer.assignment()
        for gone in set(self._claims) - assigned:
            del self._claims[gone]
        for partition in sorted(assigned - set(self._claims)):
            held, last_fp = await self._in_thread(claim, self.engine, partition, self.owner)
            await self._verify(held, last_fp)
            self._consumer.seek(partition, held.position.offset)
            self._claims[partition] = held
            if held.position.offset:
                await self.log.tell(Told(self.service.name, {partition: held.position}))

    async def _verify(self, held: Claim, last_fp: str | None) -> None:
        offset = held.position.offset
        end = (await self.log.ends(held.partition.topic)).get(held.partition, 0)
        if offset > end:
            raise LogChanged(f"{held.partition} ends at {end}, but {offset} was read: the topic was deleted or cut off")
        if last_fp is None or offset == 0:
            return
        last = await self.log.read(held.partition, offset - 1)
        if last is not None and record_fingerprint(last) != last_fp:
            raise LogChanged(
                f"{held.partition} holds another record at {offset - 1} than was read: the topic was made anew"
            )

    async def _wait_seconds(self) -> float:
        if self._nudged:
            self._nudged = False
            return 0.0
        if self.service.timers is None:
            return LONGEST_WAIT
        due = await self._in_thread(self._next_due)
        if due is None or self.events_clock:
            return LONGEST_WAIT
        return max(0.0, min(LONGEST_WAIT, (due - self.clock()).total_seconds()))

    def _next_due(self) -> datetime | None:
        assert self.service.timers is not None
        with self.engine.connect() as connection:
            return self.service.timers.next_due(connection)

    async def _apply(self, slices: Sequence[Slice]) -> None:
        started = time.perf_counter()
        applied = await self._in_thread(process, self.engine, self.service, slices, self.owner, self._published)
        self._published = 0
        told = {c.partition: c.position for c in applied.claims}
        await self._publish(applied.said, told, applied.outbox_seq)
        for held in applied.claims:
            self._claims[held.partition] = held
            self._held.pop(held.partition, None)
        self._held.update(applied.held)
        self._keep(slices, applied)
        self._account(applied, time.perf_counter() - started)

    def _keep(self, slices: Sequence[Slice], applied: Applied) -> None:
        """Keep what was polled and must wait: it is looked at again after what it waits for, without another poll."""
        self._kept = []
        for piece in slices:
            held = self._claims[piece.claim.partition]
            if held.partition in applied.held:
                rest = [record for record in piece.records if record.offset >= held.position.offset]
                self._kept.append(Slice(held, rest))

    async def _publish(self, said: Sequence[Outgoing], told: Mapping[TopicPartition, Position], seq: int) -> None:
        self._must_publish = bool(said)
        at = Told(self.service.name, told)
        if said:
            await self.log.append(said, at)
            self._published = seq
        elif told:
            await self.log.tell(at)
        self._must_publish = False
        self.progress_at = time.monotonic()

    def _account(self, applied: Applied, seconds: float) -> None:
        measure.batch(self.metrics, self.service, applied, seconds, self.clock())
        if applied.events:
            self._rejections = 0
        self._rejections += sum(not isinstance(error, SetAside) for error in applied.rejected)
        if self._rejections >= DEAD_LETTER_LIMIT:
            raise StoppedByDeadLetters(
                f"{self._rejections} events in a row were rejected by {self.service.name}: `cartera dead-letters list`"
            )

    async def _fire_due(self) -> None:
        if self.service.timers is None:
            return
        while not self._stop:
            due = await self._in_thread(self._next_due)
            if not self._held and (due is None or (not self.events_clock and due > self.clock())):
                return
            mark = await watermark(self.log, self.clock, self.service.upstream, self.events_clock)
            if not self._held:
                if due is not None and due > mark:
                    await asyncio.sleep(0.02 if not self.events_clock else 0)
                    return
                if not await self._read_to_the_end():
                    return
            history = from_ms(min(self._held.values())) if self._held else None
            if not await self._fire_once(Watermark(live=mark, history=history)):
                self._held.clear()
                return

    def positions(self) -> Mapping[TopicPartition, Position]:
        """How far this loop has applied each partition that it holds."""
        return {partition: held.position for partition, held in list(self._claims.items())}

    async def _read_to_the_end(self) -> bool:
        """Whether every record that was on our topics a moment ago has been applied."""
        for topic in self.service.consumes:
            for partition, end in (await self.log.ends(topic)).items():
                held = self._claims.get(partition)
                if held is not None and held.position.offset < end:
                    self._nudged = True
                    await asyncio.sleep(0.01)
                    return False
        return True

    async def _fire_once(self, mark: Watermark) -> bool:
        said, seq = await self._in_thread(self._fire, mark)
        if said is None:
            return False
        told = {partition: held.position for partition, held in self._claims.items()}
        self._published = 0
        await self._publish(said, told, seq)
        return True

    def _fire(self, mark: Watermark) -> tuple[list[Outgoing] | None, int]:
        assert self.service.timers is not None
        with transaction(self.engine) as connection:
            if self._published:
                outbox.take_away(connection, self._published)
            events = self.service.timers.due(connection, mark, 2 * BATCH)
            if events is None:
                return None, 0
            told = {partition: held.position for partition, held in self._claims.items()}
            after = min((position.offset for position in told.values()), default=0)
            said = stamped(fire(self.service, events, connection), after)
            return said, outbox.put(connection, said, told) if said else 0

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)


__all__ = ["BATCH", "LogChanged", "Loop", "StoppedByDeadLetters"]
