"""How a waiting poll learns that there is more: at once from this process, within a tenth of a second from others."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.log import TopicPartition
from shared.log.sqlite.file import connect, read_ends

LOOK_EVERY = 0.1
"""Seconds between two looks at what other processes have committed."""


class Bell:
    """Ends the wait of one task, from any thread and any event loop. A ring while nobody waits ends the next wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung = False
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def ring(self) -> None:
        """Wake the one who waits."""
        with self._lock:
            self._rung, waiter = True, self._waiter
        if waiter is not None:
            with suppress(RuntimeError):  # its loop has been closed: nobody is there any more
                waiter[0].call_soon_threadsafe(_release, waiter[1])

    async def wait(self, timeout: float) -> None:
        """Until the next ring, at most `timeout` seconds."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._rung:
                self._waiter = loop, loop.create_future()
            waiter, self._rung = self._waiter, False
        try:
            if waiter is not None:
                await asyncio.wait((waiter[1],), timeout=timeout)
        finally:
            with self._lock:
                self._waiter, self._rung = None, False


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class News:
    """What this process knows of the ends of the partitions, and who wants to hear of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[TopicPartition, int] = {}
        self._bells: set[Bell] = set()

    def subscribe(self, bell: Bell) -> None:
        """Ring this bell whenever a partition has grown."""
        with self._lock:
            self._bells.add(bell)

    def unsubscribe(self, bell: Bell) -> None:
        """No longer."""
        with self._lock:
            self._bells.discard(bell)

    def end(self, partition: TopicPartition) -> int:
        """The offset after the last record known here; never more than there is."""
        return self._ends.get(partition, 0)

    def learn(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take note; an older answer that comes late changes nothing."""
        with self._lock:
            grown = {place: end for place, end in ends.items() if end > self._ends.get(place, 0)}
            self._ends.update(grown)
            bells = tuple(self._bells) if grown else ()
        for bell in bells:
            bell.ring()


class Watcher:
    """One thread that looks for commits of other processes, and only while somebody waits for them."""

    def __init__(self, path: Path, news: News) -> None:
        self._path = path
        self._news = news
        self._changed = threading.Condition()
        self._waiting = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look while this lasts."""
        with self._changed:
            self._waiting += 1
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="log-watcher", daemon=True)
                self._thread.start()
            if self._waiting == 1:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._waiting -= 1

    def close(self) -> None:
        """Look no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        seen = None
        while self._pause():
            with suppress(sqlite3.Error):  # whoever polls is told by his own reading
                connection = connection or connect(self._path)
                ((version,),) = connection.execute("PRAGMA data_version").fetchall()
                if version != seen:
                    self._news.learn(read_ends(connection))
                    seen = version
        if connection is not None:
            connection.close()

    def _pause(self) -> bool:
        """Sleep between two looks, longer while nobody waits. False when it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, LOOK_EVERY)
            self._changed.wait_for(lambda: self._closed or self._waiting > 0)
            return not self._closed
