"""Stopped and started, killed at random: the end is the same to the byte, nothing lost and nothing counted twice."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.postgres import Schemas
from tests.system.house import House, eventually
from tests.system.state import compare

HOUSEHOLDS = 150
NOW = 1_795_478_400_000
KILLS = 6
"""`python -m tests.system.kill 100` runs the same with the whole sample and a hundred kills."""


def prepare(folder: Path, households: int | None = HOUSEHOLDS) -> None:
    """A data folder whose sample is fixed beforehand."""
    folder.mkdir(parents=True)
    anchor = {"now": NOW, "currency": "USD", **({"households": households} if households else {})}
    (folder / "sample.json").write_text(json.dumps(anchor))


def finish(house: House, patience: float = 240) -> int:
    """Wait for the picture, let the senders come to rest, stop; the moment (ms) at which all was applied."""
    eventually(lambda: "Where to look next" in house.printed(), patience)
    eventually(lambda: not house.get("/v1/messages", state="sending", limit=1)["messages"], 60)
    done = int(time.time() * 1000) - 5000
    assert house.stop() == 0
    return done


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of a run that nobody disturbed, and when it was done (ms)."""
    folder = tmp_path_factory.mktemp("undisturbed") / "data"
    prepare(folder)
    house = House(folder, sample=True).start()
    try:
        done = finish(house)
    finally:
        house.end()
    return folder, done


def test_stopped_twice_and_started_again(
    undisturbed: tuple[Path, int], build_house: Callable[..., House], tmp_path: Path
) -> None:
    house = build_house(sample=True)
    prepare(house.folder)
    for number in (signal.SIGINT, signal.SIGTERM):
        house.start()
        time.sleep(2.5)
        assert house.stop(number) == 0
        assert "Traceback" not in house.printed()
    house.start()
    finish(house)
    assert compare(undisturbed[0], house.folder, undisturbed[1]) == []


def killed_at_random(house: House) -> None:
    prepare(house.folder)
    chance = random.Random(17)
    for _ in range(KILLS):
        house.start()
        time.sleep(chance.uniform(0.2, 3.0))
        house.kill()
    house.start()
    finish(house)


def test_killed_at_random(undisturbed: tuple[Path, int], build_house: Callable[..., House]) -> None:
    house = build_house(sample=True)
    killed_at_random(house)
    assert compare(undisturbed[0], house.folder, undisturbed[1]) == []


@pytest.mark.postgres
def test_killed_at_random_on_postgres(
    undisturbed: tuple[Path, int], build_house: Callable[..., House], postgres: Schemas
) -> None:
    house = build_house("server", environment=postgres.for_a_platform(), sample=True)
    killed_at_random(house)
    assert compare(undisturbed[0], postgres.url, undisturbed[1]) == []
