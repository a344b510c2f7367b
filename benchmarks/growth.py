"""Whether the profile stage slows down as customers become more: the same batches at ten thousand and at a million.

The customers are put in in bulk, as copies of one that the stage itself made. Then batches of purchases of customers
at random go through `process`, at each size in turns. PostgreSQL counts the bytes of its log and the updates that
touched no index; it is restarted before, so that every page is written whole to its log when it is first touched
(`full_page_writes`), and measured without and with `wal_compression`.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, select, text

from benchmarks.rivals.load import MONTH_MS, Purchase, customer
from benchmarks.table import Row
from services.profile import tables
from services.profile.model import own_id
from services.profile.service import SERVICE
from shared.database import inbox, open_postgres, open_sqlite, put, transaction
from shared.events.identifiers import Identifier
from shared.log import Record, TopicPartition
from shared.runtime.naming import digests
from shared.runtime.processor import Claim, Slice, claim, process
from shared.runtime.schema import prepare
from tests.servers.postgres import Server, fresh_server

PLACE = TopicPartition("interactions", 0)
STEPS = (100, 10, 1)
"""The largest number of customers is divided by these."""

BATCH = 1_000
BATCHES = 24
AT_ONCE = 10_000
TABLES = (tables.component, tables.identifier, tables.profile, tables.event, inbox)
SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def measure(size: int) -> dict[str, Any]:
    """Events a second, statements a batch, WAL and HOT at a hundredth, a tenth and all of `size` customers."""
    sizes = [size // step for step in STEPS]
    server = fresh_server().start(SETTINGS)
    found: dict[str, Any] = {"customers": sizes, "batch": BATCH}
    try:
        with tempfile.TemporaryDirectory() as place:
            files = [Stage(open_sqlite(Path(place) / f"{count}.db"), count) for count in sizes]
            found["sqlite"] = _measured(files)
        stages = [Stage(open_postgres(server.url)(f"growth_{count}"), count) for count in sizes]
        for stage in stages:
            stage.tidy()
        for compression in ("off", "lz4"):
            _restart(server, stages, {**SETTINGS, "wal_compression": compression})
            found[f"postgres, wal_compression {compression}"] = _measured(stages)
    finally:
        server.remove()
    return found


def _restart(server: Server, stages: Sequence["Stage"], settings: Mapping[str, str]) -> None:
    for stage in stages:
        stage.engine.dispose()
    server.stop()
    server.start(settings)


@dataclass(slots=True)
class Stage:
    """The profile stage on a database of its own with so many customers in it."""

    engine: Engine
    customers: int
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    held: Claim = field(init=False)
    published: int = 0
    statements: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        prepare(self.engine, SERVICE)
        self.held = claim(self.engine, PLACE, "benchmark")[0]
        self._fill(self._made())
        event.listen(self.engine, "before_cursor_execute", lambda *_: self._count())

    def batch(self) -> None:
        """Apply a batch of purchases of customers at random."""
        start = self.held.position.offset
        records = []
        for at in range(start, start + BATCH):
            who = customer(self.chance.randrange(self.customers))
            records.append(Record(*PLACE, at, 0, None, Purchase(at, who, MONTH_MS + at, self.chance).value))
        self.statements.append(0)
        started = time.perf_counter()
        applied = process(self.engine, SERVICE, [Slice(self.held, records)], published=self.published)
        self.seconds.append(time.perf_counter() - started)
        assert len(applied.events) == BATCH
        self.held, self.published = applied.claims[0], applied.outbox_seq

    def _count(self) -> None:
        if self.statements:
            self.statements[-1] += 1

    def _made(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The rows that one purchase of the first customer makes, by their table."""
        first = Purchase(0, customer(0), 0, self.chance)
        process(self.engine, SERVICE, [Slice(self.held, [Record(*PLACE, 0, 0, None, first.value)])])
        self.held = claim(self.engine, PLACE, "benchmark")[0]
        with self.engine.connect() as connection:
            return {table.name: [dict(row) for row in connection.execute(select(table)).mappings()] for table in TABLES}

    def _fill(self, made: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        for start in range(1, self.customers, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, self.customers))
            with transaction(self.engine) as connection:
                for table in TABLES:
                    put(connection, table, [row for n in numbers for row in copies(table.name, made, n)], "refuse")

    def tidy(self) -> None:
        """What autovacuum would otherwise do while we measure."""
        with self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            schema = connection.get_execution_options()["schema"]
            connection.rollback()
            for table in TABLES:
                driver.execute(f'VACUUM ANALYZE "{schema}"."{table.name}"')

    def counters(self) -> Mapping[str, int]:
        """PostgreSQL's own: bytes of its log, updates and those of them that touched no index, all so far."""
        if self.engine.dialect.name != "postgresql":
            return {}
        with self.engine.connect() as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
        query = (
            "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS wal, sum(n_tup_upd)::bigint AS updates, "
            "sum(n_tup_hot_upd)::bigint AS hot FROM pg_stat_user_tables WHERE schemaname = current_schema()"
        )
        with self.engine.connect() as connection:
            return dict(connection.execute(text(query)).mappings().one())


def copies(table: str, made: Mapping[str, Sequence[Mapping[str, Any]]], number: int) -> Iterator[Mapping[str, Any]]:
    """The rows of another customer: those of the first with his names and ids in their places."""
    if table == inbox.name:
        for row in made[table]:
            yield {**row, "id": digests((f"copy\n{number}", ""))[0]}
        return
    pairs = [(customer(0), customer(number))]
    pairs += [(_own(kind, 0), _own(kind, number)) for kind in ("customer_id", "email")]
    for row in made[table]:
        yield {column: _renamed(value, pairs) for column, value in row.items() if column != "seq"}


def _own(kind: str, number: int) -> str:
    value = customer(number) if kind == "customer_id" else f"{customer(number)}@example.com"
    return own_id(Identifier(kind, value))


def _renamed(value: Any, pairs: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, bytes):
        for former, new in pairs:
            value = value.replace(former.encode(), new.encode())
    elif isinstance(value, str):
        for former, new in pairs:
            value = value.replace(former, new)
    return value


def _measured(stages: Sequence[Stage]) -> list[Mapping[str, Any]]:
    for stage in stages:
        stage.seconds.clear()
    wal = dict.fromkeys(range(len(stages)), 0)
    before = [stage.counters() for stage in stages]
    for _ in range(BATCHES):
        for number, stage in enumerate(stages):
            start = stage.counters().get("wal", 0)
            stage.batch()
            wal[number] += stage.counters().get("wal", 0) - start
    return [_figures(stage, before[n], wal[n]) for n, stage in enumerate(stages)]


def _figures(stage: Stage, before: Mapping[str, int], wal: int) -> Mapping[str, Any]:
    figures: dict[str, Any] = {
        "events_per_second": round(BATCH / statistics.median(stage.seconds[BATCHES // 4 :])),
        "statements_per_batch": max(stage.statements[-BATCHES // 2 :]),
    }
    if before:
        after = stage.counters()
        figures["wal_bytes_per_event"] = round(wal / BATCH / BATCHES)
        figures["hot"] = round((after["hot"] - before["hot"]) / (after["updates"] - before["updates"]), 3)
    return figures


def rows(found: Mapping[str, Any]) -> list[Row]:
    """Whether it is flat, on each database; statements, WAL and HOT at the largest size."""
    told = []
    sizes = " / ".join(f"{count:,}" for count in found["customers"])
    for where in (name for name in found if name.startswith(("sqlite", "postgres"))):
        rates = [one["events_per_second"] for one in found[where]]
        shown = " / ".join(f"{rate:,}" for rate in rates)
        kept = f"{shown} events/s: {rates[-1] / rates[0]:.2f} of the first"
        told.append(Row(f"profile stage at {sizes} customers, {where}", "P9: 0.65 at a million", kept))
        statements = " / ".join(str(one["statements_per_batch"]) for one in found[where])
        told.append(Row(f"its statements a batch of {found['batch']:,}, {where}", "the same at any size", statements))
        if "hot" in found[where][0]:
            bytes_ = " / ".join(f"{one['wal_bytes_per_event']:,}" for one in found[where])
            told.append(Row(f"its WAL an event, {where}", "P10: 1,500 bytes at a million", f"{bytes_} bytes"))
            hot = " / ".join(f"{one['hot']:.1%}" for one in found[where])
            told.append(Row(f"its updates that touch no index, {where}", "P10: 95 %", hot))
    return told
