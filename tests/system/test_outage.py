"""The database goes away under load and comes back: nothing that was accepted is lost, and everything is caught up."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.servers.postgres import UNSAFE, Schemas, Server, fresh_server
from tests.system.house import House, eventually

AWAY_SECONDS = 20.0


@pytest.fixture
def server(postgres: Schemas) -> Iterator[Server]:
    """A server of its own, because it is stopped; there is one where the others run on one."""
    started = fresh_server().start(UNSAFE)
    yield started
    started.remove()


def purchase(number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "outage",
        "type": "purchase.completed",
        "time": "2026-11-20T10:15:00Z",
        "data": {"customer": {"customer_id": f"C{number % 50}"}, "order_id": str(number), "total": "1.00"},
    }


class Load:
    """Posts one event after the other, and a wrong one now and then, until told to stop."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.accepted: list[int] = []
        self.letters = 0
        self.refused: Counter[int] = Counter()
        self.longest = 0.0
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            started = time.monotonic()
            answer = self._house.post({"id": str(number)} if number % 10 == 0 else purchase(number), "admin")
            self.longest = max(self.longest, time.monotonic() - started)
            if answer.status_code == 202:
                self.accepted.append(number)
            elif answer.status_code == 422:
                self.letters += 1
            else:
                self.refused[answer.status_code] += 1
                assert int(answer.headers["retry-after"]) >= 1
            time.sleep(0.02)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.mark.postgres
def test_postgres_is_away_for_a_while(server: Server, build_house: Callable[..., House]) -> None:
    environment = {"CARTERA_DATABASE_URL": server.url, "CARTERA_ADMIN_KEY": "root", "CARTERA_WRITE_KEY": "pen"}
    house = build_house(environment=environment).start()
    load = Load(house)
    time.sleep(2)
    before = len(load.accepted)
    server.stop("immediate")
    stopped = time.monotonic()
    eventually(lambda: httpx.get(house.url + "/health/ready").status_code == 503, 15)
    answer = house.ask("GET", "/v1/profiles?customer_id=C1")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert httpx.get(house.url + "/health/live").status_code == 200
    time.sleep(max(0.0, AWAY_SECONDS - (time.monotonic() - stopped)))
    server.start(UNSAFE)
    eventually(lambda: httpx.get(house.url + "/health/ready").status_code == 200, 30)
    time.sleep(1)
    load.end()
    assert before > 0
    assert load.longest < 15
    assert set(load.refused) <= {503}

    def applied() -> bool:
        found = house.get("/v1/profiles", q="C", limit=1000)["profiles"]
        return sum(one["purchases"]["count"] for one in found) == len(load.accepted)

    eventually(applied, 60)
    # one that was answered with 503 may have been kept or not
    letters = len(house.get("/v1/dead-letters", limit=1000)["dead_letters"])
    assert load.letters <= letters <= load.letters + load.refused[503]
    assert house.stop() == 0
    assert "Traceback" not in house.printed()
    print(f"{len(load.accepted)} accepted, {load.letters} letters, refused {dict(load.refused)}, {load.longest:.1f} s")
