"""The whole chain: purchases posted in batches as fast as the door takes them, until campaign has dealt with the last.

Once as `cartera up` (one process, SQLite), once as four `cartera serve` on Kafka and PostgreSQL, poster and servers on
the same machine. The time runs from the first post until no stage has anything left to read, each looked at after the
one before it. CPU is that of each process; in the one process `in_batches` tells how long each stage held a batch,
waiting for the others included.
"""

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from benchmarks.processes import MEGABYTE, Memory, cpu, family, family_cpu
from benchmarks.rivals.load import customer
from benchmarks.table import Row
from services.composition import SERVICES
from shared.events.times import rfc3339
from tests.servers.kafka import Cluster
from tests.servers.postgres import fresh_server
from tests.system.house import House

CUSTOMERS = 10
"""Of so many purchases one is of a new customer, on average."""

A_POST = 500
CONNECTIONS = 4
PATIENCE = 1_800.0


def measure(size: int) -> dict[str, Any]:
    """Events a second through all four stages in both modes, memory, and where the CPU went."""
    bodies = list(_bodies(size))
    with tempfile.TemporaryDirectory() as place, _one_process(Path(place)) as house:
        one = _through([house], {}, bodies, size)
    with tempfile.TemporaryDirectory() as place, _four_processes(Path(place)) as (houses, servers):
        four = _through(houses, servers, bodies, size)
    return {"events": size, "up": one, "serve": four}


def _bodies(size: int) -> Iterator[bytes]:
    began = datetime.now(UTC) - timedelta(minutes=30)
    events = (_event(number, size, began) for number in range(size))
    many = []
    for event in events:
        many.append(event)
        if len(many) == A_POST:
            yield json.dumps(many).encode()
            many.clear()
    if many:
        yield json.dumps(many).encode()


def _event(number: int, size: int, began: datetime) -> dict[str, Any]:
    who = customer(number * 7919 % max(1, size // CUSTOMERS))
    price = f"{5 + number % 400}.90"
    return {
        "specversion": "1.0",
        "id": f"o-{number}",
        "source": "shop/madrid",
        "type": "purchase.completed",
        "time": rfc3339(began + timedelta(milliseconds=number)),
        "data": {
            "customer": {"customer_id": who, "email": f"{who}@example.com"},
            "order_id": f"o-{number}",
            "currency": "EUR",
            "total": price,
            "channel": "store",
            "store_id": f"M-{number % 40}",
            "items": [{"sku": "A1", "name": "Kettle", "category": "Kitchen", "quantity": 1, "unit_price": price}],
        },
    }


@contextmanager
def _one_process(place: Path) -> Iterator[House]:
    house = House(place / "data").start()
    try:
        yield house
    finally:
        house.end()


@contextmanager
def _four_processes(place: Path) -> Iterator[tuple[Sequence[House], Mapping[str, int]]]:
    place.chmod(0o755)
    cluster, server = Cluster(place / "kafka"), fresh_server()
    houses: list[House] = []
    try:
        cluster.start()
        server.start({"max_wal_size": "4GB"})
        environment = {"CARTERA_LOG_URL": cluster.url, "CARTERA_DATABASE_URL": server.url}
        environment |= {"CARTERA_ADMIN_KEY": "root", "CARTERA_WRITE_KEY": "pen"}
        for name in SERVICES:
            houses.append(House(place / name, environment, services=[name]).start())
        broker = int((cluster.folder / "broker-1" / "pid").read_text())
        yield houses, {"kafka": broker, "postgres": server.pid() or 0}
    finally:
        for house in houses:
            house.end()
        server.remove()
        cluster.stop()


def _through(
    houses: Sequence[House], servers: Mapping[str, int], bodies: Sequence[bytes], size: int
) -> Mapping[str, Any]:
    """Post everything and wait. `houses` are in the order of the chain."""
    processes = {"-".join(house.services) or "all": _pid(house) for house in houses}
    memory = Memory(lambda: {one for process in processes.values() for one in family(process)})
    before = {name: family_cpu(process) for name, process in {**processes, **servers}.items()}
    poster = time.process_time()
    started = time.perf_counter()
    asyncio.run(_post(houses[0], bodies))
    accepted = time.perf_counter() - started
    used_by_poster = time.process_time() - poster
    while _left(houses, size):
        assert time.perf_counter() - started < PATIENCE, "not all was dealt with"
        time.sleep(0.25)
    seconds = time.perf_counter() - started
    classified = houses[list(SERVICES).index("segment") % len(houses)].get("/v1/segmentations/status/classes")["total"]
    assert classified == len({number * 7919 % max(1, size // CUSTOMERS) for number in range(size)})
    used = {name: family_cpu(process) - before[name] for name, process in {**processes, **servers}.items()}
    return {
        "events_per_second": round(size / seconds),
        "accepted_per_second": round(size / accepted),
        "seconds": round(seconds, 1),
        "peak_megabytes": memory.stop() // MEGABYTE,
        "cpu_seconds": {name: round(value, 1) for name, value in {**used, "poster": used_by_poster}.items()},
        "in_batches": {service: round(value, 1) for service, value in _in_batches(houses).items()},
        "idle_cpu_seconds_in_ten": _idle([*processes.values(), *servers.values()]),
    }


def _pid(house: House) -> int:
    assert house.process is not None
    return house.process.pid


def _idle(processes: Sequence[int]) -> float:
    """CPU seconds of everything together in ten seconds without events."""
    before = sum(map(cpu, processes))
    time.sleep(10)
    return round(sum(map(cpu, processes)) - before, 2)


async def _post(house: House, bodies: Sequence[bytes]) -> None:
    url, key = httpx.URL(house.url), house.key("write")
    waiting = iter(bodies)
    await asyncio.gather(*(_connection(url, key, waiting) for _ in range(CONNECTIONS)))


async def _connection(url: httpx.URL, key: str, waiting: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    for body in waiting:
        while True:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
            if answer[9:12] == b"202":
                break
            assert answer[9:12] in (b"429", b"503"), answer
            await asyncio.sleep(0.2)  # the door is closed while too much waits to be written
    writer.close()


def _left(houses: Sequence[House], size: int) -> int:
    """How many records any stage has yet to apply; what profile has not told anybody of is among them."""
    left, applied = 0, 0
    for house in houses:
        text = httpx.get(f"{house.url}/metrics", timeout=30).text
        left += sum(int(float(found)) for found in re.findall(r"^cartera_lag_records\{.*\} (\S+)$", text, re.MULTILINE))
        told = re.findall(r'^cartera_events_total\{.*"applied",service="profile".*\} (\S+)$', text, re.MULTILINE)
        applied += sum(int(float(found)) for found in told)
    return left + max(0, size - applied)


def _in_batches(houses: Sequence[House]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for house in houses:
        text = httpx.get(f"{house.url}/metrics", timeout=30).text
        for service, seconds in re.findall(r'^cartera_batch_seconds_sum\{service="(\w+)"\} (\S+)$', text, re.MULTILINE):
            found[service] = found.get(service, 0.0) + float(seconds)
    return found


def rows(found: Mapping[str, Any]) -> list[Row]:
    """One row a mode."""
    told = []
    for mode, what in (("up", "`cartera up`"), ("serve", "four `cartera serve`, Kafka, PostgreSQL")):
        one = found[mode]
        used = ", ".join(f"{name} {value:.0f}" for name, value in one["cpu_seconds"].items())
        measured = (
            f"{one['events_per_second']:,} events/s (taken in at {one['accepted_per_second']:,}/s), "
            f"{one['peak_megabytes']} MB at most; CPU seconds: {used}"
        )
        told.append(Row(f"{found['events']:,} purchases through all four stages, {what}", "15,000/s", measured))
    return told
