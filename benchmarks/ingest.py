"""How fast events are accepted over HTTP, beside a plain FastAPI and pydantic route that makes the same records.

Both live in one server process on one log, and take turns. Every event is judged, normalised, made durable (fsync) and
answered for. The other route does so by the handbook: the body as a pydantic parameter, one append a request.
"""

import asyncio
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import uvicorn
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from services.composition import KEYS
from services.ingest.contract import PurchaseCompleted
from services.ingest.entrance import judge
from services.ingest.forwarding import forward
from services.ingest.service import SERVICE
from services.ingest.service import build as build_service
from shared.database import open_sqlite, transaction
from shared.database.migrating import migrate
from shared.log import Log
from shared.log.sqlite import open_log
from shared.runtime.clock import system
from shared.runtime.runner import listen
from shared.runtime.schema import chains_of
from shared.runtime.service import Context
from shared.runtime.web import build, needs
from shared.security import Grant, StoredKeys
from shared.telemetry import Metrics, configure

ROUNDS = 5
SECONDS = 2.0
BATCH = 500
KEY = "write-key"


class Sent(BaseModel):
    """The event as the other route declares it."""

    model_config = ConfigDict(extra="allow")

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    data: PurchaseCompleted


class Line(BaseModel):
    """The other route's answer for one event."""

    index: int
    id: str
    status: str


class Outcome(BaseModel):
    """The other route's answer."""

    accepted: int
    rejected: int
    results: list[Line]


def plainly(log: Log) -> APIRouter:
    """The other route, for one event and for a list of them."""
    routes = APIRouter(prefix="/plainly")

    async def take(events: Sequence[Sent]) -> Outcome:
        now = system()
        found = [judge(event.model_dump(mode="json", exclude_unset=True), now, {}) for event in events]
        await log.append([forward(one) for one in found])
        lines = [Line(index=index, id=event.id, status="accepted") for index, event in enumerate(events)]
        return Outcome(accepted=len(found), rejected=0, results=lines)

    @routes.post("/event", status_code=202)
    async def one(event: Sent, _: Annotated[Grant, Depends(needs("write"))]) -> Outcome:
        return await take([event])

    @routes.post("/events", status_code=202)
    async def many(events: list[Sent], _: Annotated[Grant, Depends(needs("write"))]) -> Outcome:
        return await take(events)

    return routes


def serve(folder: Path) -> None:
    """Serve both until the process is ended; the address is the first line printed."""
    configure(sys.stderr)
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)  # as the platform sets it
    engine, keys_engine = open_sqlite(folder / "ingest.db"), open_sqlite(folder / "keys.db")
    migrate(engine, chains_of(SERVICE))
    migrate(keys_engine, [KEYS])
    log = open_log(folder / "log.db", clock=lambda: int(time.time() * 1000))
    keys = StoredKeys(lambda: transaction(keys_engine), system, {"write": KEY})
    context = Context(engine=engine, log=log, clock=system, settings={}, nudge=lambda: None)
    app = build("ingest", [build_service({}).router(context), plainly(log)], keys, {}, Metrics("benchmark"))
    sock = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    asyncio.run(server.serve(sockets=[sock]))


class Way(NamedTuple):
    """One way to post: where, how many events a request, over how many connections."""

    path: str
    events: int
    connections: int
    body: bytes


class Took(NamedTuple):
    """What a round measured; CPU is of the server, in microseconds per event."""

    events_per_second: float
    cpu: float
    latencies: Sequence[float]


def event(number: int) -> dict[str, Any]:
    """A purchase as a shop would send it."""
    return {
        "specversion": "1.0",
        "id": f"order-{number}",
        "source": "shop/madrid",
        "type": "purchase.completed",
        "time": "2026-11-20T10:15:00Z",
        "data": {
            "customer": {"customer_id": f"C-{number}", "email": f"c{number}@example.com", "phone": "+34600000001"},
            "order_id": str(number),
            "currency": "EUR",
            "total": "49.90",
            "channel": "store",
            "store_id": "M-3",
            "items": [
                {"sku": "A1", "name": "Kettle", "category": "Kitchen", "quantity": 1, "unit_price": "39.90"},
                {"sku": "T7", "name": "Tea", "category": "Kitchen", "quantity": 2, "unit_price": "5.00"},
            ],
        },
    }


def call(number: int) -> dict[str, Any]:
    """The same as a tracking library would send it."""
    properties = {
        "order_id": str(number),
        "total": 49.9,
        "currency": "EUR",
        "products": [
            {"sku": "A1", "name": "Kettle", "category": "Kitchen", "quantity": 1, "price": 39.9},
            {"sku": "T7", "name": "Tea", "category": "Kitchen", "quantity": 2, "price": 5},
        ],
    }
    who = {"userId": f"C-{number}", "messageId": f"m-{number}", "timestamp": "2026-11-20T10:15:00.000Z"}
    return {"type": "track", "event": "Order Completed", **who, "properties": properties}


def ways() -> dict[str, tuple[Way, Way]]:
    """Each way beside the other route's."""
    one, many = json.dumps(event(1)).encode(), json.dumps([event(n) for n in range(BATCH)]).encode()
    calls = json.dumps({"batch": [call(n) for n in range(BATCH)]}).encode()
    single, batch = Way("/plainly/event", 1, 32, one), Way("/plainly/events", BATCH, 4, many)
    return {
        "single": (Way("/v1/events", 1, 32, one), single),
        "track": (Way("/v1/track", 1, 32, json.dumps(call(1)).encode()), single),
        f"batches of {BATCH}": (Way("/v1/events", BATCH, 4, many), batch),
        f"tracking batches of {BATCH}": (Way("/v1/batch", BATCH, 4, calls), batch),
    }


def measure() -> dict[str, Any]:
    """Events per second, latency and CPU of both, and the median of the ratios of paired rounds."""
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (process, url):
        return {name: _compare(process, url, ours, other) for name, (ours, other) in ways().items()}


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[int, httpx.URL]]:
    command = [sys.executable, "-m", "benchmarks.ingest", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, httpx.URL(process.stdout.readline().strip())
        finally:
            process.terminate()


def _compare(process: int, url: httpx.URL, ours: Way, other: Way) -> dict[str, Any]:
    for way in (ours, other):
        asyncio.run(_round(process, url, way, 0.5))
    pairs = [tuple(asyncio.run(_round(process, url, way, SECONDS)) for way in (ours, other)) for _ in range(ROUNDS)]
    return {
        "events_per_second": round(statistics.median(mine.events_per_second for mine, _ in pairs)),
        "plainly_events_per_second": round(statistics.median(theirs.events_per_second for _, theirs in pairs)),
        "rate_ratio": _median(mine.events_per_second / theirs.events_per_second for mine, theirs in pairs),
        "cpu_us_per_event": _median(mine.cpu for mine, _ in pairs),
        "plainly_cpu_us_per_event": _median(theirs.cpu for _, theirs in pairs),
        "cpu_ratio": _median(theirs.cpu / mine.cpu for mine, theirs in pairs),
        "latency_ms": _cuts([late for mine, _ in pairs for late in mine.latencies]),
        "plainly_latency_ms": _cuts([late for _, theirs in pairs for late in theirs.latencies]),
    }


def _median(values: Iterator[float]) -> float:
    return round(statistics.median(values), 2)


def _cuts(latencies: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(latencies, n=100)
    return {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1)}


async def _round(process: int, url: httpx.URL, way: Way, seconds: float) -> Took:
    head = f"POST {way.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(way.body)}\r\n\r\n".encode() + way.body
    before, began = _cpu(process), time.perf_counter()
    until = began + seconds
    sending = (_send(url, request, until) for _ in range(way.connections))
    latencies = [late for found in await asyncio.gather(*sending) for late in found]
    took = time.perf_counter() - began
    events = len(latencies) * way.events
    return Took(events / took, (_cpu(process) - before) / events * 1e6, latencies)


async def _send(url: httpx.URL, request: bytes, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection(url.host, url.port)
    latencies = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head[9:12] in (b"200", b"202"), head
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
    writer.close()
    return latencies


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
