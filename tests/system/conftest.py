"""A platform per test module, and empty ones on demand."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.house import House


@pytest.fixture
def build_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes platforms that are ended with the test."""
    houses: list[House] = []

    def build(name: str = "data", **more: object) -> House:
        house = House(tmp_path / name, **more)  # type: ignore[arg-type]
        houses.append(house)
        return house

    yield build
    for house in houses:
        house.end()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One platform without the sample for all tests of a module."""
    built = House(tmp_path_factory.mktemp("house") / "data").start()
    yield built
    built.end()
