"""Runs services until told to stop: their loops, their workers and one web application, in one process."""

import asyncio
import gc
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy import Connection, Engine, text

from shared.errors import Unavailable, WrongSetting
from shared.log import Log
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop
from shared.runtime.measure import Lag
from shared.runtime.process import Process
from shared.runtime.schema import prepare
from shared.runtime.service import Context, Service
from shared.runtime.web import CheckResult, build
from shared.security import Keys
from shared.telemetry import Metrics, logger


@dataclass(slots=True)
class Hosted:
    """A service with what it runs on."""

    service: Service
    engine: Engine
    context: Context
    loop: Loop


@dataclass(slots=True)
class Platform:
    """Some or all services in one process. `settings` are company-wide values that services read.

    The loops of the services in `elsewhere` run in another process until `take_back` is called.
    """

    services: Sequence[Service]
    engine_of: Callable[[str], Engine]
    log: Log
    clock: Clock
    metrics: Metrics
    keys: Keys
    settings: Mapping[str, Any]
    owner: str
    events_clock: bool = False
    more_routers: Sequence[APIRouter] = ()
    elsewhere: set[str] = field(default_factory=set)
    hosted: list[Hosted] = field(default_factory=list)
    _back: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def prepare(self) -> None:
        """Migrate the databases and make the loops."""
        for service in self.services:
            engine = self.engine_of(service.name)
            loop = Loop(service, engine, self._process())
            context = Context(
                engine=engine,
                log=self.log,
                clock=self.clock,
                settings=self.settings,
                nudge=loop.nudge,
                parts=loop.parts,
                news=loop.news,
                metrics=self.metrics,
            )
            prepare(engine, service, partial(_start, service, context))
            self.hosted.append(Hosted(service, engine, context, loop))

    def _process(self) -> Process:
        return Process(
            log=self.log,
            clock=self.clock,
            metrics=self.metrics,
            owner=self.owner,
            events_clock=self.events_clock,
        )

    async def run(self, sock: socket.socket, ready: Callable[[], Awaitable[None]]) -> None:
        """Serve until `stop` or a signal; returns when every batch in hand is finished and everything is closed."""
        _calm_collector()
        self._stopping = asyncio.Event()
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            running.add_signal_handler(number, self.stop)
        server = _Server(
            uvicorn.Config(self.application(), log_config=None, lifespan="off", timeout_graceful_shutdown=5)
        )
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        loops = [asyncio.create_task(self._supervise(one)) for one in self.hosted]
        self._start_workers()
        self._watch(running)
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        announce = asyncio.create_task(_announce(ready))
        await self._stopping.wait()
        announce.cancel()
        server.should_exit = True
        for one in self.hosted:
            one.loop.stop()
        self._back.set()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(serving, *loops, announce, return_exceptions=True)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        await self.log.close()
        for one in self.hosted:
            one.engine.dispose()

    def stop(self) -> None:
        """Finish what is in hand, then end. Safe from the event loop."""
        if self._stopping is not None:
            self._stopping.set()

    def loop_of(self, name: str) -> Loop:
        """The loop of a service."""
        return next(one.loop for one in self.hosted if one.service.name == name)

    def application(self) -> FastAPI:
        """The web application of all services hosted here."""
        routers = [one.service.router(one.context) for one in self.hosted]
        checks: dict[str, Any] = {"log:reachable": self._log_check}
        for one in self.hosted:
            checks[f"{one.service.name}:database"] = _database_check(one)
            checks[f"{one.service.name}:consumer"] = _consumer_check(one)
            own = one.service.checks(one.context) if one.service.checks is not None else {}
            checks |= {f"{one.service.name}:{name}": check for name, check in own.items()}
        return build("Cartera", [*routers, *self.more_routers], self.keys, checks, self.metrics)

    async def _log_check(self) -> CheckResult:
        try:
            await asyncio.wait_for(self.log.ping(), 4)
        except (Unavailable, TimeoutError) as error:
            return CheckResult("fail", output=str(error) or "no answer")
        return CheckResult("pass")

    def _overdue(self, one: Hosted) -> int:
        if one.service.timers is None:
            return 0
        try:
            with one.engine.connect() as connection:
                return one.service.timers.overdue(connection, self.clock())
        except Unavailable:
            # The database is away: readiness tells; the other figures are still worth their scrape.
            return 0

    def take_back(self) -> None:
        """Run all loops here from now on; the claim of a partition voids whatever another process still holds."""
        self._back.set()

    async def drain(self, name: str, until: Callable[[], Awaitable[bool]]) -> None:
        """Run only the loop of one service, without its web side, until something is true or a signal comes."""
        loop = self.loop_of(name)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, loop.stop)
        _calm_collector()
        task = asyncio.create_task(loop.run())
        while not task.done() and not await until():
            await asyncio.sleep(0.25)
        loop.stop()
        try:
            await task
        finally:
            await self.log.close()

    async def _supervise(self, one: Hosted) -> None:
        if one.service.name in self.elsewhere:
            await self._back.wait()
        try:
            await one.loop.run()
        except Exception as error:
            # The line with the reason is written by the loop; health shows it from here on.
            logger().error("service_stopped", service=one.service.name, error=type(error).__name__)

    def _start_workers(self) -> None:
        for one in self.hosted:
            for number, work in enumerate(one.service.workers(one.context) if one.service.workers else ()):
                thread = threading.Thread(
                    target=work, args=(self._is_stopping,), name=f"{one.service.name}-worker-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def _is_stopping(self) -> bool:
        return self._stopping is None or self._stopping.is_set()

    def _watch(self, running: asyncio.AbstractEventLoop) -> None:
        for one in self.hosted:
            self.metrics.progress_age.labels(one.service.name).set_function(partial(_progress_age, one.loop))
        lag = Lag(self.metrics, self.log, running)
        self.metrics.on_scrape(lambda: lag.look([one.loop for one in self.hosted]))
        self.metrics.on_scrape(lambda: self.metrics.timers_due.set(sum(map(self._overdue, self.hosted))))


def _calm_collector() -> None:
    """Batches make hundreds of thousands of short-lived values and no cycles: to look for cycles often is waste."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


def _start(service: Service, context: Context, connection: Connection) -> None:
    if service.start is not None:
        service.start(connection, context)


def _progress_age(loop: Loop) -> float:
    return 0.0 if loop.idle else time.monotonic() - loop.progress_at


async def _announce(ready: Callable[[], Awaitable[None]]) -> None:
    try:
        await ready()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        logger().error("start_failed", exc_info=error)


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the platform stops the loops first."""

    def install_signal_handlers(self) -> None:
        """Nothing: see `Platform.run`."""

    def capture_signals(self) -> Any:
        """Nothing: see `Platform.run`."""
        return nullcontext()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises WrongSetting with one line when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise WrongSetting(f"cannot listen on {host}:{port} ({error.strerror}): choose another with --port") from error
    sock.listen(2048)
    sock.setblocking(False)
    return sock


def _database_check(one: Hosted) -> Callable[[], CheckResult]:
    def check() -> CheckResult:
        started = time.perf_counter()
        with one.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return CheckResult("pass", (time.perf_counter() - started) * 1000, "ms")

    return check


def _consumer_check(one: Hosted) -> Callable[[], CheckResult]:
    def check() -> CheckResult:
        if one.loop.failure is not None:
            return CheckResult("fail", output=one.loop.failure, kind="component")
        age = _progress_age(one.loop)
        return CheckResult("warn" if age > 60 else "pass", age, "s", kind="component")

    return check
