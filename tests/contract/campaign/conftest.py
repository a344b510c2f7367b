"""The databases and the house of the campaign tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, create_engine

from services.campaign.service import SERVICE
from shared.database import open_sqlite, transaction
from tests.contract.campaign.house import (
    POSTGRES,
    House,
    web_of,
)


@pytest.fixture(params=["sqlite", *(["postgres"] if POSTGRES else [])])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = open_sqlite(tmp_path / "campaign.db") if request.param == "sqlite" else create_engine(POSTGRES)
    with transaction(engine) as connection:
        SERVICE.metadata.drop_all(connection)
        SERVICE.metadata.create_all(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    return House(engine, tmp_path)


@pytest.fixture
async def web(house: House, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with web_of(house, tmp_path) as client:
        yield client
