"""What every service asks of its database, the same on SQLite and PostgreSQL: sets, transactions, readers, outages."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from services.composition import KEYS
from services.segment import store as segment
from services.segment.service import SERVICE as SEGMENT
from shared.database import REWRITTEN, among, guard, open_postgres, open_sqlite, put, transaction
from shared.database.opening import CONNECTIONS
from shared.errors import Conflict, Unavailable, WrongSetting
from shared.events.segments import SegmentChanged
from shared.runtime.clock import system
from shared.security import StoredKeys, stored_secret
from tests.builders import moment
from tests.conftest import Opener
from tests.servers.postgres import UNSAFE, Schemas, Server, fresh_server

tables = MetaData()
item = Table(
    "item",
    tables,
    Column("kind", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("share", Double),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("kind", "name"),
    Index("item_share", "share"),
    postgresql_with=REWRITTEN,
)


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SEGMENT, tables)


def row(name: str, count: int, share: float | None = None, body: bytes | None = None) -> dict[str, Any]:
    return {"kind": "k", "name": name, "count": count, "share": share, "body": body}


def write(engine: Engine, rows: list[dict[str, Any]], conflict: Any = "replace") -> None:
    with transaction(engine) as connection:
        put(connection, item, rows, conflict)


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {found.name: found.count for found in connection.execute(select(item))}


def test_what_is_written_comes_back_as_it_was(engine: Engine) -> None:
    rows = [
        row("quote \" \\ {,} ' %s ü 🛒", -1, 0.1, b'\x00\xff"\\{},'),
        row("", 2**62, None, b""),
        row("NULL", 0, 1e-300, None),
        row("x" * 5000, 7, None, bytes(range(256)) * 40),
    ]
    write(engine, rows)
    with engine.connect() as connection:
        found = [dict(one._mapping) for one in connection.execute(select(item))]
    assert sorted(found, key=lambda one: one["name"]) == sorted(rows, key=lambda one: one["name"])


def test_a_column_may_be_empty_in_every_row(engine: Engine) -> None:
    write(engine, [row("a", 1), row("b", 2)])
    assert counts(engine) == {"a": 1, "b": 2}


def test_a_row_that_is_there_is_replaced_left_refused_or_added_to(engine: Engine) -> None:
    write(engine, [row("a", 1, 0.5)])
    write(engine, [row("b", 2), row("a", 10, 0.25)], "ignore")
    assert counts(engine) == {"a": 1, "b": 2}
    with pytest.raises(Conflict):
        write(engine, [row("c", 3), row("a", 20)], "refuse")
    assert counts(engine) == {"a": 1, "b": 2}
    write(engine, [row("a", 30)])
    assert counts(engine) == {"a": 30, "b": 2}
    with transaction(engine) as connection:
        put(connection, item, [{"kind": "k", "name": "a", "count": 5}, {"kind": "k", "name": "z", "count": 1}], "add")
    assert counts(engine) == {"a": 35, "b": 2, "z": 1}


def test_of_two_rows_with_one_key_the_last_replaces_and_the_first_stays(engine: Engine) -> None:
    write(engine, [row("a", 1), row("a", 2)])
    write(engine, [row("b", 1), row("b", 2)], "ignore")
    assert counts(engine) == {"a": 2, "b": 1}


def test_a_refusal_names_no_data(engine: Engine) -> None:
    write(engine, [row("ana@example.com", 1)])
    with pytest.raises(Conflict) as refused:
        write(engine, [row("ana@example.com", 1)], "refuse")
    assert "ana" not in str(refused.value)


def test_rows_are_numbered_in_their_order(engine: Engine) -> None:
    table = SEGMENT.metadata.tables["change"]
    names = ["z", "b", "a", "y"]
    given = {"segmentation": "s", "version": 1, "occurred_at": 0, "body": b""}
    with transaction(engine) as connection:
        put(connection, table, [{"profile_id": name, **given} for name in names], "refuse")
    with engine.connect() as connection:
        assert list(connection.scalars(select(table.c.profile_id).order_by(table.c.seq))) == names


@pytest.mark.parametrize("size", [0, 1, 499, 501, 3000])
def test_among_many_keys(engine: Engine, size: int) -> None:
    names = [f"{number:05}" for number in range(size)]
    write(engine, [row(name, 1) for name in names])
    with engine.connect() as connection:
        one = [
            name
            for these in among(connection, item.c.name, [*names, "missing"])
            for name in connection.scalars(select(item.c.name).where(these))
        ]
        two = [
            name
            for these in among(connection, (item.c.kind, item.c.name), [*(("k", name) for name in names), ("q", "0")])
            for name in connection.scalars(select(item.c.name).where(these))
        ]
    assert sorted(one) == sorted(two) == names


@pytest.mark.postgres
def test_nobody_writes_but_in_a_transaction(postgres: Schemas) -> None:
    with postgres.open("reading", (), tables).connect() as connection, pytest.raises(DBAPIError, match="read-only"):
        connection.execute(update(item).values(count=1))


def test_a_reader_sees_one_moment(engine: Engine) -> None:
    write(engine, [row("a", 1)])
    with engine.connect() as connection:
        before = connection.scalar(select(item.c.count))
        write(engine, [row("a", 2)])
        assert connection.scalar(select(item.c.count)) == before == 1
    assert counts(engine) == {"a": 2}


@pytest.mark.postgres
def test_rows_are_locked_in_the_order_of_their_keys(postgres: Schemas) -> None:
    engine = postgres.open("locks", (), tables)
    write(engine, [row(name, 0) for name in "amz"])
    free = select(item.c.name).with_for_update(skip_locked=True)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as connection:
            connection.execute(update(item).where(item.c.name == "m").values(count=1))
            writer = pool.submit(write, engine, [row(name, 2) for name in "zma"])
            for _ in range(100):
                with transaction(engine) as probe:
                    found = set(probe.scalars(free))
                if found != {"a", "z"}:
                    break
                time.sleep(0.02)
        writer.result(20)
    assert found == {"z"}
    assert counts(engine) == {"a": 2, "m": 2, "z": 2}


@pytest.mark.postgres
def test_writers_of_the_same_rows_never_wait_for_each_other_in_a_ring(postgres: Schemas) -> None:
    engine = postgres.open("locks", (), tables)
    names = [f"{number:04}" for number in range(3000)]
    write(engine, [row(name, 0) for name in names])
    met = threading.Barrier(2)

    def repeat(order: list[str]) -> None:
        for turn in range(8):
            met.wait(20)
            write(engine, [row(name, turn) for name in order])

    with ThreadPoolExecutor(2) as pool:
        for writer in [pool.submit(repeat, names), pool.submit(repeat, names[::-1])]:
            writer.result(60)


def test_a_commit_is_on_disk(engine: Engine) -> None:
    with transaction(engine) as connection:
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        else:
            # what was set for the session, the role or the database counts for nothing
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            source = "SELECT source FROM pg_settings WHERE name = 'synchronous_commit'"
            assert connection.exec_driver_sql(source).scalar() == "session"


def waits(engine: Engine, second: Any) -> bool:
    """Whether a transaction of another thread has to wait for one that holds the guard `g` alone."""
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as connection:
            guard(connection, "g", alone=True)
            future = pool.submit(second, done)
            waited = not done.wait(0.3)
        future.result(20)
    return waited


def test_who_asks_to_be_alone_is(engine: Engine) -> None:
    def enter(name: str, done: threading.Event) -> None:
        with transaction(engine) as connection:
            guard(connection, name)
            done.set()

    assert waits(engine, partial(enter, "g"))
    assert engine.dialect.name == "sqlite" or not waits(engine, partial(enter, "another"))


def test_class_changes_are_committed_in_the_order_of_their_numbers(engine: Engine) -> None:
    change = SegmentChanged(
        profile_id="p",
        segmentation="s",
        from_=None,
        to="a",
        version=1,
        profile_version=1,
        occurred_at=moment(0),
        cause="event",
        definition_version=1,
    )

    def append(version: int, done: threading.Event) -> None:
        with transaction(engine) as connection:
            segment.save_changes(connection, [(msgspec.structs.replace(change, version=version), None)])
            done.set()

    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as connection:
            segment.save_changes(connection, [(change, None)])
            future = pool.submit(append, 2, done)
            assert not done.wait(0.3)
        future.result(20)


@pytest.mark.postgres
def test_rows_that_are_written_again_and_again_touch_no_index(postgres: Schemas) -> None:
    engine = postgres.open("hot", (), tables)
    names = [f"{number:03}" for number in range(200)]
    for turn in range(20):
        write(engine, [row(name, turn, 0.5, b"x" * 200) for name in names])
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with engine.connect() as connection:
        query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'item' AND schemaname = :s"
        updated, hot = connection.execute(text(query), {"s": "test_hot"}).one()
    assert updated == 19 * 200
    assert hot / updated > 0.95


@pytest.mark.postgres
def test_one_process_opens_ten_connections_for_all_services_together(postgres: Schemas) -> None:
    def hold(number: int) -> None:
        with engine_of(f"test_{number % 3}").connect() as connection:
            connection.execute(text("SELECT pg_sleep(0.3)"))
            with_us.append(int(connection.scalar(text(mine)) or 0))

    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'one-process'"
    with_us: list[int] = []
    separator = "&" if "?" in postgres.url else "?"
    engine_of = open_postgres(f"{postgres.url}{separator}application_name=one-process")
    with ThreadPoolExecutor(25) as pool:
        list(pool.map(hold, range(25)))
    engine_of("any").dispose()
    assert len(with_us) == 25
    assert max(with_us) == CONNECTIONS


@pytest.mark.postgres
def test_keys_and_the_secret_are_the_same_for_all_processes(postgres: Schemas) -> None:
    engine = postgres.open("keys", (KEYS,))
    here, there = (StoredKeys(partial(transaction, engine), system) for _ in range(2))
    made = here.create("read")
    assert there.scopes_of(f"Bearer {made.text}")
    assert [one is not None for one in (here.create_first("admin"), there.create_first("admin"))] == [True, False]


@pytest.mark.postgres
def test_of_two_processes_that_make_the_secret_at_once_one_does(postgres: Schemas) -> None:
    engine = postgres.open("keys", (KEYS,))
    made: list[str] = []

    def overtaken() -> AbstractContextManager[Connection]:
        """A transaction that another process gets in before, once it was seen that there is no secret."""
        if asked.pop():
            made.append(stored_secret(partial(transaction, engine), "links"))
        return transaction(engine)

    asked = [False, True, False]
    assert stored_secret(overtaken, "links") == made[0]
    assert len(made[0]) >= 32


@pytest.fixture
def server(postgres: Schemas) -> Iterator[Server]:
    started = fresh_server().start(UNSAFE)
    yield started
    started.remove()


@pytest.mark.postgres
def test_a_server_that_is_away_is_unavailable_and_used_again_when_it_is_back(server: Server) -> None:
    engine = open_postgres(server.url)("public")

    def ask() -> int | None:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT 1"))

    assert ask() == 1
    server.stop("immediate")
    for _ in range(2):
        with pytest.raises(Unavailable, match="CARTERA_DATABASE_URL"):
            ask()
    server.start(UNSAFE)
    assert ask() == 1
    with pytest.raises(Unavailable), transaction(engine):
        server.stop("immediate")
    with pytest.raises(Unavailable):
        ask()
    engine.dispose()


@pytest.mark.postgres
def test_what_the_server_undid_is_a_conflict(postgres: Schemas) -> None:
    engine = postgres.open("deadlock", (), tables)
    write(engine, [row("a", 0), row("b", 0)])
    met = threading.Barrier(2)

    def cross(names: tuple[str, str]) -> str:
        try:
            with transaction(engine) as connection:
                put(connection, item, [row(names[0], 1)])
                met.wait(5)
                put(connection, item, [row(names[1], 1)])
        except Conflict as conflict:
            return str(conflict)
        return ""

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(cross, [("a", "b"), ("b", "a")]))
    assert said[0] == ""
    assert "deadlock" in said[1]


def test_a_file_that_takes_no_writes_now_is_unavailable(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "some.db")
    with transaction(engine) as connection:
        tables.create_all(connection)

    def write() -> None:
        with transaction(engine) as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
            put(connection, item, [row("a", 1)])

    with pytest.raises(Unavailable):
        write()
    engine.dispose()


def test_an_address_that_makes_no_sense_is_told_at_once() -> None:
    with pytest.raises(WrongSetting, match="CARTERA_DATABASE_URL"):
        open_postgres("postgresql://a:b@h/db?nonsense=1")
