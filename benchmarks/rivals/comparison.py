"""Runs all means in turns (ABC…ABC…) against one broker and one PostgreSQL, checks their results, and compares them."""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks.rivals.load import Purchase, expected, fill, purchases
from benchmarks.rivals.program import Task, Total
from benchmarks.table import Row
from shared.log.kafka import Plan, open_log, parse
from tests.servers.kafka import Cluster
from tests.servers.postgres import fresh_server

ROOT = Path(__file__).resolve().parents[2]
THEIRS = ROOT / ".venv-rivals" / "bin" / "python"
PARTITIONS = 6
ROUNDS = 3
FEW = 10
FEWEST = 50
"""Slow means get so many times fewer events, of as many times fewer customers: what counts is events a second."""


class Means(NamedTuple):
    """One way to do it. `state` is where its totals are and what a crash costs."""

    name: str
    program: str
    way: str
    state: str
    part: int = 1
    theirs: bool = False


OURS = "profile stage"
MEANS = (
    Means(OURS, "ours", "stage", "PostgreSQL, exactly once; also identity, timeline, whole record, published"),
    Means("profile stage, event by event", "ours", "stage one by one", "the same", part=FEWEST),
    Means("COPY of the bytes as jsonb", "floor", "copy", "PostgreSQL; nothing is added up"),
    Means("our log, reading only", "ours", "read", "none"),
    Means("our log, decoded and added up", "ours", "fold", "memory"),
    Means("FastStream, call per batch", "with_faststream", "batch", "memory", theirs=True),
    Means("FastStream, call per message", "with_faststream", "message", "memory", part=FEW, theirs=True),
    Means(
        "FastStream, upsert per message",
        "with_faststream",
        "upsert",
        "PostgreSQL, counts again after a crash",
        part=FEWEST,
        theirs=True,
    ),
    Means("Quix Streams", "with_quix", "state", "RocksDB and changelog topic, at least once", theirs=True),
    Means("Faust, dict", "with_faust", "dict", "memory", part=FEW, theirs=True),
    Means("Faust, table", "with_faust", "table", "memory and changelog topic, at least once", part=FEW, theirs=True),
)
GOALS = {
    "profile stage, event by event": ("P5", 15.0, OURS),
    "Quix Streams": ("P6", 1.0, OURS),
    "FastStream, call per message": ("P6", 2.0, OURS),
    "Faust, table": ("P6", 10.0, OURS),
    "COPY of the bytes as jsonb": ("P7", 0.25, OURS),
}
"""Our stage is to be at least so many times as fast."""


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What all means run against, and how many events lie on the two topics, by their prefixes."""

    brokers: str
    database: str
    processes: tuple[int, ...]
    events: Mapping[str, int]
    totals: Mapping[str, Mapping[str, Total]]


def measure(size: int) -> dict[str, Any]:
    """Records per second, CPU and memory of every means with `size` events, fewer for those that are slow."""
    if not THEIRS.exists():
        raise SystemExit("the other projects are not installed: run `make rivals` first")
    with tempfile.TemporaryDirectory() as place, _servers(Path(place), size) as servers:
        took: dict[str, list[Mapping[str, float]]] = {means.name: [] for means in MEANS}
        for number in range(ROUNDS):
            for means in MEANS:
                took[means.name].append(_run(means, servers, f"round{number}_{MEANS.index(means)}"))
                print(f"round {number + 1}: {means.name}: {_shown(took[means.name][-1])}", file=sys.stderr)
    return {"events": size, "rounds": ROUNDS, "means": {means.name: _summary(took, means) for means in MEANS}}


def _shown(run: Mapping[str, float]) -> str:
    return f"{run['rate']:,.0f}/s"


@contextmanager
def _servers(place: Path, size: int) -> Iterator[Servers]:
    place.chmod(0o755)
    cluster, server = Cluster(place / "kafka"), fresh_server()
    try:
        cluster.start()
        server.start()
        broker = int((cluster.folder / "broker-1" / "pid").read_text())
        counts = {_prefix(means): size // means.part for means in MEANS}
        events = {prefix: list(purchases(count)) for prefix, count in counts.items()}
        for prefix, some in events.items():
            asyncio.run(_fill(cluster.url, prefix, some))
        totals = {prefix: expected(some) for prefix, some in events.items()}
        processes = (broker, server.pid() or 0)
        yield Servers(brokers=cluster.url, database=server.url, processes=processes, events=counts, totals=totals)
    finally:
        server.remove()
        cluster.stop()


async def _fill(url: str, prefix: str, events: Sequence[Purchase]) -> None:
    log = open_log(parse(url), prefix, lambda _: Plan(PARTITIONS))
    await fill(log, events)
    await log.close()


def _prefix(means: Means) -> str:
    return f"part{means.part}."


def _run(means: Means, servers: Servers, name: str) -> Mapping[str, float]:
    prefix = _prefix(means)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            way=means.way,
            brokers=servers.brokers,
            prefix=prefix,
            events=servers.events[prefix],
            partitions=PARTITIONS,
            database=servers.database,
            schema=name,
            folder=folder,
            servers=servers.processes,
        )
        command = [str(THEIRS) if means.theirs else sys.executable, "-W", "ignore", "-m"]
        command += [f"benchmarks.rivals.{means.program}", json.dumps(asdict(task))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise SystemExit(f"{means.name} failed:\n{done.stderr[-3000:]}")
        took = json.loads(done.stdout.strip().splitlines()[-1])
        _check(means, json.loads(Path(folder, "totals.json").read_text()), servers.totals[prefix])
    with psycopg.connect(servers.database, autocommit=True) as server:
        server.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())
    return {**took, "rate": task.events / took["seconds"], "events": task.events}


def _check(means: Means, found: Mapping[str, Sequence[int]], wanted: Mapping[str, Total]) -> None:
    """Raises SystemExit unless every customer has the totals that were counted beforehand."""
    if means.way in ("read", "copy"):
        return
    wrong = [who for who in wanted.keys() | found.keys() if list(found.get(who, ())) != list(wanted.get(who, ()))]
    if wrong:
        who = min(wrong)
        what = f"{who}: {found.get(who)}, not {wanted.get(who)}"
        raise SystemExit(f"{means.name} has other totals for {len(wrong)} of {len(wanted)} customers: {what}")


def _summary(took: Mapping[str, Sequence[Mapping[str, float]]], means: Means) -> dict[str, Any]:
    mine = took[means.name]
    ratios = [ours["rate"] / other["rate"] for ours, other in zip(took[OURS], mine, strict=True)]
    return {
        "state": means.state,
        "records_per_second": round(statistics.median(run["rate"] for run in mine)),
        "cpu_us_per_record": _median(run["cpu"] / run["events"] * 1e6 for run in mine),
        "servers_cpu_us_per_record": _median(run["servers"] / run["events"] * 1e6 for run in mine),
        "peak_megabytes": round(max(run["peak"] for run in mine) / 1024 / 1024),
        "profile_stage_is": _median(ratios),
    }


def _median(values: Iterator[float] | Sequence[float]) -> float:
    return round(statistics.median(values), 2)


def rows(found: Mapping[str, Any]) -> list[Row]:
    """One row per means, with its goal where it has one."""
    told = []
    for name, one in found["means"].items():
        goal = GOALS.get(name)
        wanted = "" if goal is None else f"{goal[0]}: our stage at least {goal[1]:g} times as fast"
        measured = (
            f"{one['records_per_second']:,}/s, CPU {one['cpu_us_per_record']:.0f} µs and servers "
            f"{one['servers_cpu_us_per_record']:.0f} µs a record, {one['peak_megabytes']} MB; "
            f"our stage {one['profile_stage_is']:.2f} times as fast"
        )
        told.append(Row(f"{name} ({one['state']})", wanted, measured))
    return told
