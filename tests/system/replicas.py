"""The sample in production mode: every service in processes of its own, Kafka between them, PostgreSQL under them.

`python -m tests.system.replicas [HOUSEHOLDS] [REPLICAS…]` (default: all households, once with 1 replica of each service
and once with 3) compares the ends with that of the embedded run: customers, class histories, planned messages.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from services import replay
from services.composition import SERVICES
from shared.log.kafka import KafkaLog, open_log, parse
from tests.servers import kafka
from tests.servers.postgres import Schemas, running
from tests.system.house import House, eventually
from tests.system.state import compare
from tests.system.test_resume import NOW, finish, prepare


@contextmanager
def started(folder: Path, environment: dict[str, str], replicas: int) -> Iterator[dict[str, House]]:
    """All services, each in so many processes; those of a name share nothing but the group. Ended with the block."""
    houses = [
        House(folder / f"{name}{number}", environment, services=(name,), program="tests.system.reacting")
        for name in SERVICES
        for number in range(replicas)
    ]
    folder.mkdir(parents=True)
    try:
        with ThreadPoolExecutor(4) as hands:
            list(hands.map(lambda house: house.start(120), houses))
        yield {house.services[0]: house for house in houses}
        for house in houses:
            assert house.stop() == 0, house.printed()[-2000:]
    finally:
        for house in houses:
            house.end()


async def _replayed(log: KafkaLog, households: int | None, patience: float) -> None:
    """Append the sample and wait until all that follows from it is applied."""
    try:
        await replay.append_missing(log, {"now": NOW, "households": households})
        deadline = time.monotonic() + patience
        while not await replay.is_applied(log):
            assert time.monotonic() < deadline, "the sample was not applied in time"
            await asyncio.sleep(0.5)
    finally:
        await log.close()


def distributed(
    folder: Path, servers: tuple[str, Schemas], replicas: int, households: int | None, patience: float = 240
) -> int:
    """Run the sample through so many replicas; the moment (ms) at which all was applied."""
    address, schemas = servers
    prefix = f"{uuid4().hex[:8]}."
    environment = {
        **schemas.for_a_platform(),
        "CARTERA_LOG_URL": address,
        "CARTERA_TOPIC_PREFIX": prefix,
        "CARTERA_CURRENCY": "USD",
    }
    with started(folder, environment, replicas) as houses:
        asyncio.run(_replayed(open_log(parse(address), prefix), households, patience))
        campaign = houses["campaign"]
        eventually(lambda: not campaign.get("/v1/messages", state="sending", limit=1)["messages"], 120)
        return int(time.time() * 1000) - 5000


def main(households: int | None = None, counts: Sequence[int] = (1, 3)) -> int:
    """Run all and compare; 0 when all are equal to the byte."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as place, kafka.running(Path(place) / "kafka") as address, running() as url:
        folder = Path(place) / "embedded"
        prepare(folder, households)
        began = time.monotonic()
        done = finish(House(folder, sample=True).start(60), 900)
        print(f"embedded: {time.monotonic() - began:.0f} s", flush=True)
        for count in counts:
            began = time.monotonic()
            schemas = Schemas(url)
            upto = min(done, distributed(Path(place) / f"of{count}", (address, schemas), count, households, 1800))
            print(f"{count} replicas of each service: {time.monotonic() - began:.0f} s", flush=True)
            differing = compare(folder, url, upto)
            schemas.close()
            found += [f"{count} replicas: {line}" for line in differing]
    print("\n".join(found) if found else f"equal to the byte: embedded, and with {json.dumps(list(counts))} replicas")
    return 1 if found else 0


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(numbers[0] if numbers and numbers[0] else None, numbers[1:] or (1, 3)))
