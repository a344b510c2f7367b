"""Health: alive never looks at other systems, ready asks each of them at most once a second and never waits long."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from shared.errors import CarteraError
from shared.runtime.web.access import granted
from shared.telemetry import Metrics

Status = Literal["pass", "warn", "fail"]
MEDIA_TYPE = "application/health+json"
CACHED_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
_GRAVITY: Mapping[Status, int] = {"pass": 0, "warn": 1, "fail": 2}


class CheckResult(NamedTuple):
    """What one check saw. `value` is in `unit`; `output` says what is wrong, for people with a key."""

    status: Status
    value: float | None = None
    unit: str | None = None
    output: str | None = None
    kind: Literal["component", "datastore", "system"] = "datastore"


Check = Callable[[], CheckResult] | Callable[[], Awaitable[CheckResult]]
"""Looks at one thing. A plain function runs in a thread of its own, a coroutine function on the event loop."""


class _Asked:
    """One check with its last answer and the question that is still open, if any."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._open: Future[CheckResult] | None = None
        self._answered_at: float | None = None
        self._answer = CheckResult("fail")

    async def answer(self) -> CheckResult:
        now = time.monotonic()
        if self._answered_at is not None and now - self._answered_at < CACHED_SECONDS:
            return self._answer
        # A question that hangs is not asked twice: everybody waits for the same one.
        if self._open is None:
            self._open = _ask(self._check)
        asked = self._open
        await asyncio.wait([asyncio.wrap_future(asked)], timeout=PATIENCE_SECONDS)
        if not asked.done():
            return CheckResult("fail", output=f"no answer within {PATIENCE_SECONDS:g} s")
        self._open, self._answer, self._answered_at = None, asked.result(), time.monotonic()
        return self._answer


def _ask(check: Check) -> Future[CheckResult]:
    future: Future[CheckResult] = Future()
    if inspect.iscoroutinefunction(check):
        task = asyncio.ensure_future(_awaited(check))
        task.add_done_callback(lambda done: future.set_result(done.result()))
    else:
        threading.Thread(target=lambda: future.set_result(_called(check)), daemon=True).start()
    return future


async def _awaited(check: Callable[[], Awaitable[CheckResult]]) -> CheckResult:
    try:
        return await check()
    except Exception as error:
        return _failed(error)


def _called(check: Check) -> CheckResult:
    try:
        seen = check()
        return seen if isinstance(seen, CheckResult) else CheckResult("fail", output="not a plain function")
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> CheckResult:
    # Only our own messages are known to hold no secrets (a driver's may hold the whole address).
    return CheckResult("fail", output=str(error) if isinstance(error, CarteraError) else type(error).__name__)


def router(title: str, checks: Mapping[str, Check], metrics: Metrics) -> APIRouter:
    """`/health/live`, `/health/ready` and `/metrics`. The names of checks are `component:measurement`."""
    routes = APIRouter(tags=["health"])
    asked = {name: _Asked(check) for name, check in checks.items()}

    @routes.get("/health/live", summary="Whether the process runs")
    async def live() -> Response:
        return _document({"status": "pass"})

    @routes.get("/health/ready", summary="Whether it can do its work; details with a key")
    async def ready(request: Request) -> Response:
        answers = await asyncio.gather(*(one.answer() for one in asked.values()))
        seen = dict(zip(asked, answers, strict=True))
        status = max((answer.status for answer in answers), key=_GRAVITY.__getitem__, default="pass")
        body: dict[str, Any] = {"status": status}
        if await _may_see_details(request):
            details = {name: [_detail(answer)] for name, answer in seen.items()}
            body |= {"version": "1", "releaseId": metrics.version, "serviceId": title, "checks": details}
        return _document(body, 503 if status == "fail" else 200)

    @routes.get("/metrics", summary="Prometheus metrics")
    def text() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return routes


async def _may_see_details(request: Request) -> bool:
    if "Authorization" not in request.headers:
        return False
    try:
        return await granted(request) is not None
    except CarteraError:
        # The keys may be in the very database that is away; the truth about it is still to be told.
        return False


def _detail(answer: CheckResult) -> dict[str, Any]:
    shown = {
        "componentType": answer.kind,
        "status": answer.status,
        "observedValue": answer.value,
        "observedUnit": answer.unit,
        "output": answer.output,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _document(body: Mapping[str, Any], status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, media_type=MEDIA_TYPE)
