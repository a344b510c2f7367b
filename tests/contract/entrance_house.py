"""The entrance with everything it stands on: the real log, the real database, its REST without a socket."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from services.composition import KEYS
from services.ingest.service import SERVICE
from services.ingest.service import build as build_service
from shared.database import open_sqlite, transaction
from shared.database.migrating import migrate
from shared.events.times import to_ms
from shared.log import Record, TopicPartition
from shared.log.sqlite import SqliteLog, open_log
from shared.runtime.schema import chains_of
from shared.runtime.service import Context
from shared.runtime.web import build
from shared.security import StoredKeys
from shared.telemetry import Metrics

NOW = datetime(2026, 11, 20, 10, 15, 3, tzinfo=UTC)
JSON = {"content-type": "application/json"}


def purchase(number: int = 1, **data: Any) -> dict[str, Any]:
    content = {"customer": {"customer_id": "C-17"}, "order_id": str(number), "total": "5.00", **data}
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "shop",
        "type": "purchase.completed",
        "time": "2026-11-20T10:15:00Z",
        "data": content,
    }


class House:
    """The entrance with everything it stands on."""

    def __init__(self, client: httpx.AsyncClient, log: SqliteLog, context: Context, keys: StoredKeys) -> None:
        self.client = client
        self.log = log
        self.context = context
        self.keys = keys

    async def post(self, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post("/v1/events", content=content, headers={**JSON, **headers})

    async def topic(self, name: str) -> list[Record]:
        place = TopicPartition(name, 0)
        end = (await self.log.ends(name)).get(place, 0)
        found = [await self.log.read(place, offset) for offset in range(end)]
        return [record for record in found if record is not None]

    async def letters(self, **query: object) -> list[dict[str, Any]]:
        answer = await self.client.get("/v1/dead-letters", params={k: str(v) for k, v in query.items()})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["dead_letters"]
        return found


@asynccontextmanager
async def opened(engine: Engine, folder: Path, settings: Mapping[str, Any]) -> AsyncIterator[House]:
    log = open_log(folder / "log.db", clock=lambda: to_ms(NOW))
    context = Context(engine=engine, log=log, clock=lambda: NOW, settings=settings, nudge=lambda: None)
    keys_engine = open_sqlite(folder / "keys.db")
    migrate(keys_engine, [KEYS])
    keys = StoredKeys(lambda: transaction(keys_engine), lambda: NOW, {"admin": "admin-key", "write": "write-key"})
    app = build("ingest", [build_service(settings).router(context)], keys, {}, Metrics("test"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"authorization": "Bearer admin-key"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield House(client, log, context, keys)
    await log.close()
    keys_engine.dispose()


@asynccontextmanager
async def on_sqlite(folder: Path, settings: Mapping[str, Any]) -> AsyncIterator[House]:
    """The same on a fresh SQLite file, where the database is not the point."""
    engine = open_sqlite(folder / "ingest.db")
    migrate(engine, chains_of(SERVICE))
    async with opened(engine, folder, settings) as house:
        yield house
    engine.dispose()
