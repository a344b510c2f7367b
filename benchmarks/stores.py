"""The profile stage on each database, side by side: events a second, and on PostgreSQL bytes of its log an event."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from services.profile.service import SERVICE
from shared.database import open_postgres, open_sqlite
from shared.events.envelope import encode
from shared.log import Record, TopicPartition
from shared.runtime.processor import Slice, claim, process
from shared.runtime.schema import prepare
from tests.builders import purchase
from tests.servers.postgres import NoServer, fresh_server

PLACE = TopicPartition("interactions", 0)
BATCH = 1000
BATCHES = 20
CUSTOMERS = 5000


def measure() -> dict[str, Any]:
    """The same batches of purchases, alternately on SQLite (`synchronous=FULL`) and on a durable PostgreSQL.

    Events a second is the median of the batches, decoding and folding included; the first quarter only fills the
    tables. WAL bytes and HOT updates are PostgreSQL's own counters.
    """
    with tempfile.TemporaryDirectory() as place:
        try:
            server = fresh_server().start()
        except NoServer as reason:
            return {"postgres": str(reason)}
        try:
            return _compared(open_sqlite(Path(place) / "profile.db"), open_postgres(server.url)("profile"))
        finally:
            server.remove()


def _compared(files: Engine, server: Engine) -> dict[str, Any]:
    engines = {"sqlite": files, "postgres": server}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        prepare(engine, SERVICE)
    held = {name: claim(engine, PLACE, "benchmark")[0] for name, engine in engines.items()}
    before = _wal(server)
    for records in _batches():
        for name, engine in engines.items():
            started = time.perf_counter()
            held[name] = process(engine, SERVICE, [Slice(held[name], records)]).claims[0]
            seconds[name].append(time.perf_counter() - started)
    wal = (_wal(server) - before) / (BATCH * BATCHES)
    rates = {name: BATCH / statistics.median(some[BATCHES // 4 :]) for name, some in seconds.items()}
    return {
        "events_per_second": {name: round(rate) for name, rate in rates.items()},
        "postgres_to_sqlite": round(rates["postgres"] / rates["sqlite"], 2),
        "wal_bytes_per_event": round(wal),
        "hot_updates": _hot(server),
    }


def _batches() -> Iterator[Sequence[Record]]:
    for number in range(BATCHES):
        start = number * BATCH
        yield [
            Record(
                "interactions", 0, at, 0, None, encode(purchase({"customer_id": f"C{at * 7919 % CUSTOMERS}"}, at=at))
            )
            for at in range(start, start + BATCH)
        ]


def _wal(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")) or 0)


def _hot(engine: Engine) -> dict[str, float]:
    """The share of updates that touched no index, per table that was updated."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    query = "SELECT relname, n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE n_tup_upd > 0 ORDER BY relname"
    with engine.connect() as connection:
        return {name: round(hot / updated, 3) for name, hot, updated in connection.execute(text(query))}
