"""The brokers and the database of the runs: started once, hurt often, emptied between runs."""

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from services.composition import SERVICES
from tests.servers.kafka import Cluster, NoBroker
from tests.servers.postgres import NoServer, Server, fresh_server

SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "256MB", "max_wal_size": "2GB"}
"""A crash of the server process loses nothing that reached the kernel, so nothing is flushed to the disk."""


LISTENING = range(15_000, 30_000)
"""Ports of servers that go away and come back: below those that the system gives to clients. With one of these, a
client that tries again and again may be given the very port that it tries, and then the server cannot have it any more.
"""

ATTEMPTS = 5
"""A machine that is busy may need longer than one start is given."""


def steady_port(count: int) -> int:
    """A port that is free, with the next ones, and those of controllers ten above."""
    while True:
        port = random.choice(LISTENING)
        if all(_is_free(port + ten + number) for ten in (0, 10) for number in range(count)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def _until_it_starts(start: Callable[[], object]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            start()
            return
        except (NoBroker, NoServer):
            if attempt == ATTEMPTS:
                raise


class Servers:
    """Brokers and one PostgreSQL."""

    def __init__(self, folder: Path, brokers: int) -> None:
        self._folder = folder
        self.cluster = Cluster(folder / "kafka", brokers)
        self.cluster.port = steady_port(brokers)
        self.database: Server = fresh_server()
        self.database.port = steady_port(1)

    def start(self) -> "Servers":
        """Start all of them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.cluster.start()
        self.database.start(SETTINGS)
        return self

    @property
    def bootstrap(self) -> str:
        """The brokers as their clients write them."""
        return self.cluster.url.removeprefix("kafka://")

    def environment(self, prefix: str, more: Mapping[str, str]) -> dict[str, str]:
        """The settings of a service that works with these servers."""
        return {
            "CARTERA_LOG_URL": self.cluster.url,
            "CARTERA_DATABASE_URL": self.database.url,
            "CARTERA_TOPIC_PREFIX": prefix,
            "CARTERA_ADMIN_KEY": "root",
            "CARTERA_WRITE_KEY": "pen",
            **more,
        }

    def empty(self) -> None:
        """A database with nothing in it."""
        with psycopg.connect(self.database.url, autocommit=True) as server:
            for name in ("keys", *SERVICES):
                server.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())

    def crash_broker(self, number: int, away: float) -> None:
        """kill -9, and started again after so many seconds; back when it answers."""
        self.cluster.kill(number)
        time.sleep(away)
        _until_it_starts(self.cluster.start)

    def pause_broker(self, number: int, seconds: float) -> None:
        """Let it hang for so long."""
        self.cluster.pause(number)
        time.sleep(seconds)
        self.cluster.resume(number)

    def crash_database(self, away: float) -> None:
        """Stop without a word to anybody, as a power failure would, and start again after so many seconds."""
        self.database.stop("immediate")
        time.sleep(away)
        _until_it_starts(lambda: self.database.start(SETTINGS))

    def versions(self) -> dict[str, str]:
        """What they are."""
        with psycopg.connect(self.database.url) as server:
            row = server.execute("SHOW server_version").fetchone()
        jars = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "target" / "dependency"
        kafka = next((one.stem.split("-")[-1] for one in jars.glob("kafka-clients-*.jar")), "unknown")
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent,
        ).stdout.strip()
        return {"PostgreSQL": str(row[0]) if row else "unknown", "Kafka": kafka, "Cartera": commit}

    def remove(self) -> None:
        """Stop all and delete their files."""
        self.cluster.stop()
        self.database.remove()
        shutil.rmtree(self._folder, ignore_errors=True)
