"""Platforms for tests: one per test module or empty ones on demand, embedded or on Kafka and PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.servers.postgres import Schemas
from tests.system.house import House

PRODUCTION = pytest.param("production", marks=[pytest.mark.kafka, pytest.mark.postgres])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Everything marked `both_modes` runs twice; the rest embedded."""
    if metafunc.definition.get_closest_marker("both_modes"):
        metafunc.parametrize("mode", ["embedded", PRODUCTION], indirect=True, scope="module")


@pytest.fixture(scope="module")
def mode(request: pytest.FixtureRequest) -> str:
    """`embedded` or `production`: on which log and databases the platforms of a test run."""
    return str(getattr(request, "param", "embedded"))


@pytest.fixture(scope="module")
def place(mode: str, request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Gives the environment of a platform that has nothing yet. On the servers there is only one at a time."""

    def fresh() -> dict[str, str]:
        if mode == "embedded":
            return {}
        schemas: Schemas = request.getfixturevalue("postgres")
        url: str = request.getfixturevalue("kafka")
        return {
            **schemas.for_a_platform(),
            "CARTERA_LOG_URL": url,
            "CARTERA_TOPIC_PREFIX": f"{uuid4().hex[:8]}.",
        }

    return fresh


@pytest.fixture
def build_house(tmp_path: Path, place: Callable[[], dict[str, str]]) -> Iterator[Callable[..., House]]:
    """Makes platforms that are ended with the test; the processes of one test share its servers."""
    houses: list[House] = []
    around: dict[str, str] = {}

    def build(name: str = "data", **more: Any) -> House:
        around.update({} if around else place())
        house = House(tmp_path / name, {**around, **more.pop("environment", {})}, **more)
        houses.append(house)
        return house

    yield build
    for house in houses:
        house.end()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, place: Callable[[], dict[str, str]]) -> Iterator[House]:
    """One platform without the sample for all tests of a module."""
    built = House(tmp_path_factory.mktemp("house") / "data", place()).start()
    yield built
    built.end()
