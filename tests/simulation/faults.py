"""Where something may go wrong, and who decides that it does."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple, Protocol

Action = Literal["kill", "away", "freeze", "late"]
"""The process ends; the server gives no answer; the process stands still; what was sent arrives later."""

When = Literal["before", "after"]


class Died(BaseException):
    """The process ended here. No program of ours can catch it, as none can catch kill -9."""


class Point(NamedTuple):
    """A place in a run at which something may go wrong; places are numbered from 0."""

    number: int
    process: str
    what: str
    when: When

    def actions(self) -> tuple[Action, ...]:
        """What may go wrong here."""
        if self.what == "append" and self.when == "after":
            return ("kill", "away", "late")
        return ("kill", "away")


class Fate(Protocol):
    """Decides what goes wrong."""

    def at(self, point: Point) -> Action | None:
        """What happens at a place."""


@dataclass(slots=True)
class Calm:
    """Nothing goes wrong; all places are noted."""

    points: list[Point] = field(default_factory=list)

    def at(self, point: Point) -> Action | None:
        self.points.append(point)
        return None


@dataclass(frozen=True, slots=True)
class Once:
    """One thing goes wrong at one place."""

    number: int
    action: Action

    def at(self, point: Point) -> Action | None:
        return self.action if point.number == self.number else None


@dataclass(slots=True)
class Chance:
    """Things go wrong by chance, until `healed`. Rates are per place."""

    chance: Random
    kill: float = 0.003
    away: float = 0.004
    freeze: float = 0.002
    late: float = 0.05
    healed: bool = False

    def at(self, point: Point) -> Action | None:
        if self.healed:
            return None
        if point.what == "append" and point.when == "after" and self.chance.random() < self.late:
            return "late"
        drawn = self.chance.random()
        if drawn < self.kill:
            return "kill"
        if drawn < self.kill + self.away:
            return "away"
        return "freeze" if drawn < self.kill + self.away + self.freeze else None


@dataclass(slots=True)
class Counter:
    """Numbers the places of a run and adds up what went wrong; `trace` tells one run from another."""

    fate: Fate
    points: int = 0
    happened: dict[str, int] = field(default_factory=dict)
    trace: int = 0

    def at(self, process: str, what: str, when: When) -> Action | None:
        """What happens at the next place."""
        action = self.fate.at(Point(self.points, process, what, when))
        self.points += 1
        self.trace = hash((self.trace, process, what, when, action))
        if action is not None:
            self.happened[action] = self.happened.get(action, 0) + 1
        return action


CURRENT: ContextVar["Process | None"] = ContextVar("process", default=None)
"""The process in whose name a task runs."""


@dataclass(slots=True)
class Process:
    """One process: what is done in its name ends with it. `skew` is by how many ms its clock is wrong."""

    name: str
    counter: Counter
    chance: Random
    slowest: float
    skew: int = 0
    dead: bool = False
    frozen_until: float = 0.0
    on_freeze: Callable[["Process", float], None] = lambda process, seconds: None

    def check(self) -> None:
        """Raises Died: a dead process does nothing more, whatever its `finally` asks for."""
        if self.dead:
            raise Died

    def moment(self) -> float:
        """The seconds that the next thing takes; one that stands still takes until it goes on."""
        pause = self.chance.random() * self.slowest
        return max(pause, self.frozen_until - asyncio.get_running_loop().time())

    async def step(self) -> None:
        """Take a moment."""
        await asyncio.sleep(self.moment())
        self.check()

    def decide(self, what: str, when: When = "before") -> Action | None:
        """What happens at this place; a process that is to stand still does so with the next thing it does."""
        self.check()
        action = self.counter.at(self.name, what, when)
        if action == "freeze":
            seconds = self.chance.choice((0.5, 3.0, 12.0))
            self.frozen_until = asyncio.get_running_loop().time() + seconds
            self.on_freeze(self, seconds)
        return action

    def suffer(self, action: Action | None, away: Exception) -> None:
        """Die of it, or raise what is raised without an answer."""
        if action == "kill":
            self.dead = True
            raise Died
        if action == "away":
            raise away
