"""Runs under faults end as undisturbed ones do; and what judges them sees a fault when there is one."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.log import TopicPartition
from tests.simulation.company import SERVICES, lay_out, opened
from tests.simulation.faults import Action, Calm, Point
from tests.simulation.judging import State, end_state, faults
from tests.simulation.playing import SMALL, choices
from tests.simulation.virtual import Stuck, VirtualLoop
from tests.simulation.world import World

ROOT = Path(__file__).resolve().parents[2]
Harm = Callable[[World], None]


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program from outside, as whoever plays a seed again runs it."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_some_seeds_and_a_place_of_each_sort_leave_no_trace() -> None:
    done = program("--seeds", "4", "--places", "some")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "0 failed" in done.stdout.splitlines()[-1]


def test_a_seed_goes_the_same_way_again() -> None:
    done = program("--seed", "3")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "NOT DETERMINISTIC" not in done.stdout


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, State]:
    """A small run without faults, and how it ended."""
    folder = tmp_path_factory.mktemp("calm")
    lay_out(folder, SMALL.measured)
    world = World(folder, SMALL.scenario, Calm(), 0)
    with capture_logs(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(world.run(SMALL.load()))
    return world, end_state(folder)


@pytest.fixture
def world(undisturbed: tuple[World, State]) -> Iterator[World]:
    """The small run, to be harmed: what is done to its topics is undone."""
    found, _ = undisturbed
    kept = {place: list(found.broker.records(place)) for topic in TOPICS for place in found.broker.places(topic)}
    yield found
    for place, records in kept.items():
        found.broker.records(place)[:] = records


TOPICS = ("profiles", "segment-changes", "messages")


def busiest(world: World, topic: str) -> TopicPartition:
    return max(world.broker.places(topic), key=lambda place: len(world.broker.records(place)))


def lose(world: World) -> None:
    del world.broker.records(busiest(world, "segment-changes"))[1]


def swap(world: World) -> None:
    """Two records of one customer the wrong way round."""
    records = world.broker.records(busiest(world, "profiles"))
    key = records[0].key
    first, second, *_ = [number for number, record in enumerate(records) if record.key == key]
    records[first], records[second] = records[second], records[first]


def say_otherwise(world: World) -> None:
    """The same event once more, with another content."""
    records = world.broker.records(busiest(world, "segment-changes"))
    event = json.loads(records[0].value or b"")
    event["data"]["to"] = "another"
    records.append(records[0]._replace(value=json.dumps(event).encode()))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lose, "segment-changes: .* goes from"),
        (lose, "were published, .* are in the history"),
        (swap, "profiles: version 1 of .* came after 2"),
        (say_otherwise, "segment-changes: .* came with two contents"),
    ],
)
def test_a_harmed_topic_is_seen(world: World, undisturbed: tuple[World, State], harm: Harm, told: str) -> None:
    assert faults(world, undisturbed[1]) == []
    harm(world)
    assert any(re.search(told, line) for line in faults(world, undisturbed[1]))


@pytest.mark.parametrize("part", ["customers", "events", "changes", "memberships", "due", "messages"])
def test_another_end_state_is_seen(world: World, undisturbed: tuple[World, State], part: str) -> None:
    other = {**undisturbed[1], part: undisturbed[1][part][:-1]}
    assert any(line.startswith(part) for line in faults(world, other))


def test_a_row_that_is_left_is_seen(world: World, undisturbed: tuple[World, State]) -> None:
    with opened(world.folder / "profile.db") as engine, engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("INSERT INTO outbox (part, body) VALUES (0, x'00')")
        assert faults(world, undisturbed[1]) == ["profile: 1 rows are left in the outbox"]
        connection.exec_driver_sql("DELETE FROM outbox")


def test_at_every_place_something_may_go_wrong(undisturbed: tuple[World, State]) -> None:
    fate = undisturbed[0].counter.fate
    assert isinstance(fate, Calm)
    every, some = choices(fate.points, every=True), choices(fate.points, every=False)
    assert {number for number, _ in every} == set(range(len(fate.points)))
    assert set(some) < set(every)
    sorts = {(point.process.partition("-")[0], point.what, point.when) for point in fate.points}
    assert {name for name, _, _ in sorts} == {"poster", *SERVICES}
    assert {("segment", "commit", "before"), ("segment", "commit", "after"), ("campaign", "poll", "before")} <= sorts


@pytest.mark.parametrize(("what", "actions"), [("commit", ("kill", "away")), ("append", ("kill", "away", "late"))])
def test_what_is_sent_may_also_come_later(what: str, actions: tuple[Action, ...]) -> None:
    assert Point(0, "profile-0", what, "after").actions() == actions


def test_time_passes_without_waiting_and_who_waits_for_ever_is_stuck() -> None:
    async def sleep() -> float:
        await asyncio.sleep(1_000_000)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(sleep()) >= 1_000_000
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(Stuck):
        runner.run(asyncio.Event().wait())
