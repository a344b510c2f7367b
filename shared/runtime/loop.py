"""The loop of one service: claim, poll, process, publish, fire what is due. Stops between batches, never inside one."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Engine

from shared.database import transaction
from shared.errors import CarteraError, Conflict, SetAside, Unavailable
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms
from shared.log import Consumer, Position, Told, TopicPartition
from shared.runtime import measure, outbox
from shared.runtime.alignment import ALONE, LAST, PATIENCE, Alignment, announce, lowest
from shared.runtime.guards import refuse_to_drain, verify
from shared.runtime.joined import gather
from shared.runtime.process import Process
from shared.runtime.processor import Applied, Claim, Slice, claim, fence, fire, process, stamped
from shared.runtime.service import Service, Watermark
from shared.runtime.watermark import Horizon, take_horizon, watermark
from shared.telemetry import logger

T = TypeVar("T")

BATCH = 1000
LARGEST_BATCH = 4000
"""While a loop is behind, batches grow up to this: what is loaded and saved per customer is then paid for once."""
LONGEST_WAIT = 5.0
"""Seconds after which a loop looks again at what another process may have changed: definitions, wishes, closed days."""

HELD_PAUSE = 0.02
"""Seconds after which a partition that waits for others is looked at again."""


class Loop:
    """Runs one service against its log and database until told to stop."""

    def __init__(self, service: Service, engine: Engine, process: Process) -> None:
        self.service = service
        self.engine = engine
        self.log, self.clock, self.metrics = process.log, process.clock, process.metrics
        self.owner, self.events_clock = process.owner, process.events_clock
        self.progress_at = time.monotonic()
        self.failure: str | None = None
        self.idle = True
        self.news = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=service.name)
        self._claims: dict[TopicPartition, Claim] = {}
        self._kept: dict[TopicPartition, Slice] = {}
        self._held: dict[TopicPartition, int] = {}
        self._held_since = 0.0
        self._horizon: Horizon | None = None
        self._batch = BATCH
        self._publisher = outbox.Publisher(engine, process.log, service.name)
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
        self.news.set()
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
            reason = str(error) if isinstance(error, CarteraError) else ""
            self.failure = reason or f"{type(error).__name__}: a fault of the program, see its log"
            logger().error("consumer_stopped", service=self.service.name, reason=reason, exc_info=error)
            raise
        finally:
            await self._in_thread(self._publisher.leave_all)
            await self._consumer.close()
            self._thread.shutdown(wait=True)

    def _let_go(self) -> None:
        """Trust nothing in memory: claim again, publish again what the outbox holds."""
        self._claims.clear()
        self._held.clear()
        self._kept.clear()
        self._horizon = None
        self._publisher.forget()

    async def _turn(self) -> None:
        await self._claim_new()
        wait = await self._wait_seconds()
        pieces = await self._gather(wait)
        self.idle, moved = not pieces, False
        for piece in pieces:
            moved |= not self._stop and await self._apply(piece)
        if not pieces:
            await self._in_thread(self._publisher.leave_all)
        moved |= await self._fire_due()
        if self._kept and not moved:
            await asyncio.sleep(HELD_PAUSE)

    async def _gather(self, wait: float) -> Sequence[Sequence[Slice]]:
        """What waited and may go on, then what is new; of a partition that waits nothing more is read."""
        assert self._consumer is not None
        kept = [[piece] for place, piece in self._kept.items() if place not in self._held]
        busy = frozenset(self._kept)
        if busy and busy >= frozenset(self._claims):
            return kept
        wait = 0.0 if kept else HELD_PAUSE if busy else wait
        if not self.service.gated:
            self._consumer.pause(busy)
        pieces = await gather(self.service, self.log, self._consumer, self._claims, self._batch, wait)
        behind = any(len(part.records) >= self._batch for piece in pieces for part in piece)
        self._batch = min(2 * self._batch, LARGEST_BATCH) if behind else BATCH
        return [*kept, *pieces]

    async def _claim_new(self) -> None:
        assert self._consumer is not None
        assigned = await self._consumer.assignment()
        for gone in set(self._claims) - assigned:
            for known in (self._claims, self._held, self._kept):
                known.pop(gone, None)
            await self._in_thread(self._publisher.leave, gone.partition)
        for partition in sorted(assigned - set(self._claims)):
            held, last_fp = await self._in_thread(claim, self.engine, partition, self.owner)
            await verify(self.log, held, last_fp)
            await outbox.publish_left_over(self.engine, self.log, self.service.name, partition.partition)
            self._consumer.seek(partition, held.position.offset)
            self._claims[partition] = held
            if held.position.offset:
                await self.log.tell(Told(self.service.name, {partition: held.position}))

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

    def parts(self) -> Sequence[int]:
        """The partition numbers that are ours at this moment. Safe from any thread."""
        return sorted({place.partition for place in list(self._claims)})

    def _next_due(self) -> datetime | None:
        assert self.service.timers is not None
        with self.engine.connect() as connection:
            return self.service.timers.next_due(connection, self.parts())

    async def _alignment(self) -> Alignment:
        """How far all partitions are in the open imports."""
        if self.service.hold is None:
            return ALONE
        topic = self.service.consumes[0]
        count = await self.log.partitions(topic)
        if count == 1:
            return ALONE
        upto = await self._in_thread(lowest, self.engine, topic, count)
        if self._held and time.monotonic() - self._held_since > PATIENCE and upto < min(self._held.values()):
            logger().warning("partitions_behind", service=self.service.name, topic=topic)
            upto = min(self._held.values())
        return Alignment(upto, False)

    async def _apply(self, slices: Sequence[Slice]) -> bool:
        """Apply and publish; whether anything was applied."""
        started = time.perf_counter()
        part = slices[0].claim.partition.partition
        alignment = await self._alignment()
        published = self._publisher.upto(part)
        applied = await self._in_thread(process, self.engine, self.service, slices, alignment, published)
        await self._publish(part, applied.said, {c.partition: c.position for c in applied.claims}, applied.outbox_seq)
        for held in applied.claims:
            self._claims[held.partition] = held
        await self._keep(slices, applied, alignment)
        self._account(applied, time.perf_counter() - started)
        return bool(applied.events or applied.rejected or applied.duplicates)

    async def _keep(self, slices: Sequence[Slice], applied: Applied, alignment: Alignment) -> None:
        """Keep what was polled and must wait: it is looked at again after what it waits for, without another poll."""
        moved = bool(applied.events)
        for piece in slices:
            place = piece.claim.partition
            held = self._claims[place]
            self._kept.pop(place, None)
            self._held.pop(place, None)
            if place in applied.held:
                rest = [record for record in piece.records if record.offset >= held.position.offset]
                self._kept[place] = Slice(held, rest)
                self._held[place] = applied.held[place]
        if moved or not applied.held:
            self._held_since = time.monotonic()
        if applied.held and not alignment.alone:
            await self._in_thread(announce, self.engine, applied.held)

    async def _publish(
        self, part: int, said: Sequence[Outgoing], told: Mapping[TopicPartition, Position], seq: int
    ) -> None:
        await self._publisher.publish(part, said, told, seq)
        measure.told(self.metrics, said)
        self.progress_at = time.monotonic()
        self.news.set()

    def _account(self, applied: Applied, seconds: float) -> None:
        measure.batch(self.metrics, self.service, applied, seconds, self.clock())
        self._rejections = 0 if applied.events else self._rejections
        self._rejections += sum(not isinstance(error, SetAside) for error in applied.rejected)
        refuse_to_drain(self.service.name, self._rejections)

    async def _fire_due(self) -> bool:
        """Fire what is due on our partitions; whether anything was."""
        if self.service.timers is None:
            self._held.clear()
            return False
        fired = False
        while not self._stop:
            due = await self._in_thread(self._next_due)
            if not self._held and (due is None or (not self.events_clock and due > self.clock())):
                break
            mark = await self._mark(due)
            if mark is None:
                break
            if not await self._fire_all(mark):
                break
            measure.fired(self.metrics, due, self.clock())
            fired = True
        self._held.clear()
        return fired

    async def _fire_all(self, live: datetime) -> bool:
        alignment = await self._alignment()
        history = min(self._held.values(), default=0) if alignment.alone else alignment.upto
        mark = Watermark(
            live=live,
            history=from_ms(history) if 0 < history < LAST else None,
            parts=await self.log.partitions(self.service.consumes[0]),
        )
        fired = False
        for part in self.parts():
            fired |= await self._fire_once(replace(mark, partition=part))
        return fired

    def positions(self) -> Mapping[TopicPartition, Position]:
        """How far this loop has applied each partition that it holds."""
        return {partition: held.position for partition, held in list(self._claims.items())}

    async def _mark(self, due: datetime | None) -> datetime | None:
        """The watermark up to which timers may fire now; None while what is due must wait for it, or we still read."""
        horizon, self._horizon = self._horizon, None
        if horizon is None or self._held:
            mark = await watermark(self.log, self.clock, self.service.upstream, self.events_clock)
            if self._held:
                return mark
            if due is not None and due > mark:
                await asyncio.sleep(0.02 if not self.events_clock else 0)
                return None
            horizon = await take_horizon(self.log, mark, self.service.consumes)
        if horizon.is_reached(self.positions()):
            return horizon.mark
        self._horizon = horizon
        self._nudged = True
        await asyncio.sleep(0.01)
        return None

    async def _fire_once(self, mark: Watermark) -> bool:
        claims = [held for place, held in self._claims.items() if place.partition == mark.partition]
        said, seq = await self._in_thread(self._fire, mark, claims)
        if said is None:
            return False
        await self._publish(mark.partition, said, {held.partition: held.position for held in claims}, seq)
        return True

    def _fire(self, mark: Watermark, claims: Sequence[Claim]) -> tuple[list[Outgoing] | None, int]:
        assert self.service.timers is not None
        with transaction(self.engine) as connection:
            events = self.service.timers.due(connection, mark, 2 * BATCH)
            if events is None:
                return None, 0
            fence(connection, [Slice(held, ()) for held in claims])
            outbox.take_away(connection, mark.partition, self._publisher.upto(mark.partition))
            said = stamped(fire(self.service, events, connection), min(held.position.offset for held in claims))
            told = {held.partition: held.position for held in claims}
            return said, outbox.put(connection, mark.partition, said, told) if said else 0

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)


__all__ = ["BATCH", "Loop"]
