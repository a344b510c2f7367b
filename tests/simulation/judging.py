"""What must hold at the end of a run, and what a run that was disturbed must have in common with one that was not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.log import Record
from tests.simulation.database import look
from tests.simulation.world import World
from tests.system.state import differences, state_of

FOREVER = 1 << 60

State = Mapping[str, list[str]]
"""Customers, class histories and all the rest, as lines of text."""


def faults(world: World, undisturbed: State) -> list[str]:
    """What is wrong with a run, told in lines; empty when nothing is."""
    return [
        *differences(dict(undisturbed), state_of(world.folder, FOREVER)),
        *_left_over(world),
        *_versions(world),
        *_changes(world),
    ]


def end_state(folder: Path) -> State:
    """Everything that is known at the end of a run."""
    return state_of(folder, FOREVER)


def _left_over(world: World) -> Iterator[str]:
    """Everything said is published, and nothing is kept to be published again."""
    for name in world.scenario.services:
        ((count,),) = look(world.folder / f"{name}.db", "SELECT count(*) FROM outbox")
        if count:
            yield f"{name}: {count} rows are left in the outbox"


def _first(world: World, topic: str) -> list[Record]:
    """The records of a topic without the copies that a crash may leave, each where it came first."""
    found: dict[Any, Record] = {}
    for place in world.broker.places(topic):
        for record in world.broker.records(place):
            if record.value is not None:
                found.setdefault(json.loads(record.value)["id"], record)
    return list(found.values())


def _versions(world: World) -> Iterator[str]:
    """Of one customer the versions of his record come first in rising order, each with one content."""
    last: dict[str, int] = {}
    for record in _first(world, "profiles"):
        data = json.loads(record.value or b"")["data"]
        if data["version"] <= last.get(data["profile_id"], 0):
            yield f"profiles: version {data['version']} of {data['profile_id']} came after {last[data['profile_id']]}"
        last[data["profile_id"]] = data["version"]
    yield from _copies(world, ("profiles", "segment-changes", "messages"))


def _copies(world: World, topics: Sequence[str]) -> Iterator[str]:
    """What comes again is the same to the byte."""
    for topic in topics:
        known: dict[str, bytes | None] = {}
        for place in world.broker.places(topic):
            for record in world.broker.records(place):
                name = json.loads(record.value or b"{}").get("id")
                if known.setdefault(name, record.value) != record.value:
                    yield f"{topic}: {name} came with two contents"


def _changes(world: World) -> Iterator[str]:
    """Of one customer and segmentation the changes form a chain from 1 on; the topic and the history have the same."""
    if "segment" not in world.scenario.services:
        return
    ends: dict[tuple[str, str], tuple[int, str | None]] = {}
    told: list[tuple[str, str, int]] = []
    for record in _first(world, "segment-changes"):
        data = json.loads(record.value or b"")["data"]
        key = (data["profile_id"], data["segmentation"])
        version, class_ = ends.get(key, (0, None))
        if (data["version"], data["from"]) != (version + 1, class_):
            yield f"segment-changes: {key} goes from {version} {class_} to {data['version']} {data['from']}"
        ends[key] = data["version"], data["to"]
        told.append((*key, data["version"]))
    path = world.folder / "segment.db"
    kept = look(path, "SELECT profile_id, segmentation, version FROM change")
    if sorted(told) != sorted(kept):
        yield f"segment-changes: {len(told)} were published, {len(kept)} are in the history"
    members = look(path, "SELECT profile_id, segmentation, class FROM membership WHERE class IS NOT NULL")
    if {(key, segmentation): class_ for key, segmentation, class_ in members} != {
        key: class_ for key, (_, class_) in ends.items() if class_ is not None
    }:
        yield "segment-changes: who is where is not what the changes lead to"
