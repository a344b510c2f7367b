"""An event loop in which time is a number and threads are turns: nothing waits, and a seed tells the order."""

import asyncio
import selectors
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.faults import CURRENT, Process


class Stuck(Exception):
    """Everybody waits for somebody else, and for no moment in time."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting for so many seconds, they have passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found and timeout is None:
            raise Stuck("everybody waits for somebody else")
        if not found and timeout:
            self.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """Work for threads is done whole, some moment later; its result is heard of some moment after that."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """As by a thread that gets its turn after a moment."""
        future = self.create_future()
        process = CURRENT.get()
        self.call_later(process.moment() if process else 0.0, self._work, process, future, partial(func, *args))
        return future

    def _work(self, process: Process | None, future: "asyncio.Future[Any]", work: Callable[[], Any]) -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        self.call_later(process.moment() if process else 0.0, _settle, future, result, error)


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
