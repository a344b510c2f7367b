"""The acked micro-batch: what concurrent requests accept goes to the log in one append, and all wait for its answer."""

import asyncio
from collections.abc import Sequence

from shared.events.outgoing import Outgoing
from shared.log import Log

LONGEST_WAIT = 0.002
"""Seconds that the first record of a batch waits for others to go with it."""

LARGEST_BATCH = 2_000
"""Records that are enough to go without waiting."""


class Appender:
    """Shared by all requests of one event loop; keeps the order in which `append` was called."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: list[tuple[Sequence[Outgoing], asyncio.Future[None]]] = []
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Return when the records are durable. Raises what the log raised, to all whose records were in that append."""
        if not records:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        self._count += len(records)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        if self._count < LARGEST_BATCH:
            await asyncio.sleep(LONGEST_WAIT)
        while self._waiting:  # what came during an append has waited long enough
            batch, self._waiting = self._waiting, []
            self._count = 0
            await self._append(batch)

    async def _append(self, batch: Sequence[tuple[Sequence[Outgoing], asyncio.Future[None]]]) -> None:
        waiters = [done for _, done in batch]
        try:
            await self._log.append([record for records, _ in batch for record in records])
        except asyncio.CancelledError:
            for done in waiters:
                done.cancel()
            raise
        except Exception as error:
            for done in waiters:
                if not done.done():
                    done.set_exception(error)
            return
        for done in waiters:
            if not done.done():
                done.set_result(None)
