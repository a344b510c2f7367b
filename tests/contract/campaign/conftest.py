"""The databases and the house of the campaign tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from services.campaign.service import SERVICE
from tests.conftest import Opener
from tests.contract.campaign.house import House, web_of


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    return House(engine, tmp_path)


@pytest.fixture
async def web(house: House, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with web_of(house, tmp_path) as client:
        yield client
