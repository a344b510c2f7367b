"""Stopped and started, killed at random: the end is the same to the byte, nothing lost and nothing counted twice."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.house import House, eventually
from tests.system.state import differences, state_of

HOUSEHOLDS = 150
NOW = 1_795_478_400_000
KILLS = 6
"""`python -m tests.system.kill 100` runs the same with the whole sample and a hundred kills."""


def prepare(folder: Path, households: int | None = HOUSEHOLDS) -> None:
    """A data folder whose sample is fixed beforehand."""
    folder.mkdir(parents=True)
    anchor = {"now": NOW, "currency": "USD", **({"households": households} if households else {})}
    (folder / "sample.json").write_text(json.dumps(anchor))


def finish(house: House, patience: float = 240) -> None:
    """Wait for the picture, let the senders come to rest, stop."""
    eventually(lambda: "Where to look next" in house.printed(), patience)
    eventually(lambda: not house.get("/v1/messages", state="sending", limit=1)["messages"], 60)
    assert house.stop() == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The end state of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "data"
    prepare(folder)
    house = House(folder, sample=True).start()
    try:
        finish(house)
    finally:
        house.end()
    return state_of(folder)


def test_stopped_twice_and_started_again(
    undisturbed: dict[str, list[str]], build_house: Callable[..., House], tmp_path: Path
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
    assert differences(undisturbed, state_of(house.folder)) == []


def test_killed_at_random(undisturbed: dict[str, list[str]], build_house: Callable[..., House]) -> None:
    house = build_house(sample=True)
    prepare(house.folder)
    chance = random.Random(17)
    for _ in range(KILLS):
        house.start()
        time.sleep(chance.uniform(0.2, 3.0))
        house.kill()
    house.start()
    finish(house)
    assert differences(undisturbed, state_of(house.folder)) == []
