"""The acked micro-batch: what concurrent requests accept goes to the log in one append, and all wait for its answer."""

import asyncio
from collections.abc import Sequence

from shared.errors import Unavailable
from shared.events.outgoing import Outgoing
from shared.log import Log

LONGEST_WAIT = 0.002
"""Seconds that the first record of a batch waits for others to go with it."""

PATIENCE = 12.0
"""Seconds after which a request is answered, whatever becomes of its records: it may have come behind a batch that is
not acknowledged either.
"""

LARGEST_BATCH = 2_000
"""Records that are enough to go without waiting."""


class Appender:
    """Shared by all requests of one event loop; keeps the order in which `append` was called."""

    def __init__(self, log: Log, patience: float = PATIENCE) -> None:
        self._log = log
        self._patience = patience
        self._waiting: list[tuple[Sequence[Outgoing], asyncio.Future[None]]] = []
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Return when the records are durable. Raises what the log raised, to all whose records were in that append.

        Records whose turn comes after nobody waits for them any more are left out.
        """
        if not records:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        self._count += len(records)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._patience):
                await done
        except TimeoutError as error:
            raise Unavailable("the log does not answer: send again") from error

    async def _run(self) -> None:
        if self._count < LARGEST_BATCH:
            await asyncio.sleep(LONGEST_WAIT)
        while self._waiting:  # what came during an append has waited long enough
            batch, self._waiting = [one for one in self._waiting if not one[1].done()], []
            self._count = 0
            if batch:
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
